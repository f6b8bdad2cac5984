"""`python -m experiments.latents`."""

from experiments.latents.cells import main

if __name__ == "__main__":
    main()
