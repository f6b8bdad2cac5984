"""`python -m experiments.theory`."""

from experiments.theory.study import main

if __name__ == "__main__":
    main()
