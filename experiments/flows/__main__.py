"""`python -m experiments.flows`."""

from experiments.flows.cells import main

if __name__ == "__main__":
    main()
