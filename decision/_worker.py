"""A worker of `decide(..., jobs=...)`: reads blocks from its standard input, writes what it finds to its output."""

from __future__ import annotations

import os
import sys
import warnings

from decision._messages import receive, send


def main() -> None:
    """Serve until the input ends."""
    import pickle

    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a solver prints is no message
    warnings.simplefilter("ignore")  # the caller has been warned
    try:
        work, goal = receive(source)
        while True:
            block = receive(source)
            try:
                answer = pickle.dumps(work.judged(block, goal))
            except Exception as error:  # the caller raises it
                answer = pickle.dumps(error)
            send(target, answer)
    except EOFError:
        return


if __name__ == "__main__":
    main()
