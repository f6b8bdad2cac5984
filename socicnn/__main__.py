"""`python -m socicnn` is the command `socicnn`."""

from socicnn_cli import main

main()
