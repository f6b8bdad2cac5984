"""`python -m experiments.predict_then_optimize`."""

from experiments.predict_then_optimize.cells import main

if __name__ == "__main__":
    main()
