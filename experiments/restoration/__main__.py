"""`python -m experiments.restoration`."""

from experiments.restoration.cells import main

if __name__ == "__main__":
    main()
