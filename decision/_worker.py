"""A worker of `decide(..., jobs=...)`: reads blocks from its standard input, writes what it finds to its output."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import warnings
from typing import IO, Any

SIZE = struct.Struct("<Q")


def main() -> None:
    """Serve until the input ends."""
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


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(SIZE.pack(len(message)))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message; EOFError at the end of the stream."""
    head = stream.read(SIZE.size)
    if len(head) < SIZE.size:
        raise EOFError
    return pickle.loads(stream.read(SIZE.unpack(head)[0]))


if __name__ == "__main__":
    main()
