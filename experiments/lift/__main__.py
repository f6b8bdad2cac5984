"""`python -m experiments.lift`: put the rows into docs/results/lift.md."""

from experiments.lift.page import main

if __name__ == "__main__":
    main()
