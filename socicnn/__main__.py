"""`python -m socicnn` is the command `socicnn`."""

from socicnn.cli import main

main()
