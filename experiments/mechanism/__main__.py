"""`python -m experiments.mechanism`."""

from experiments.mechanism.study import main

if __name__ == "__main__":
    main()
