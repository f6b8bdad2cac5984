"""`python -m experiments.peers`."""

from experiments.peers.cells import main

if __name__ == "__main__":
    main()
