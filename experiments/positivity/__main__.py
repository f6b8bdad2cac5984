"""`python -m experiments.positivity`."""

from experiments.positivity.arms import main

if __name__ == "__main__":
    main()
