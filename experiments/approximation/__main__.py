"""`python -m experiments.approximation`."""

from experiments.approximation.cells import main

if __name__ == "__main__":
    main()
