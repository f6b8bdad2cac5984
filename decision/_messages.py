"""Messages between a process and its workers: the length, then a pickle."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any

SIZE = struct.Struct("<Q")


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
