"""`python -m experiments.decision`."""

from experiments.decision.stages import main

if __name__ == "__main__":
    main()
