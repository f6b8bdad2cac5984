"""`python -m experiments.smoothing`."""

from experiments.smoothing.cells import main

if __name__ == "__main__":
    main()
