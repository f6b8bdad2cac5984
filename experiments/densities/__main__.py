"""`python -m experiments.densities`."""

from experiments.densities.cells import main

if __name__ == "__main__":
    main()
