"""`python -m experiments.tables`."""

from experiments.tables.cells import main

if __name__ == "__main__":
    main()
