"""The process in which untrusted templates are built and rendered: it reads requests, answers them, and may be killed.

Frames on standard input and output: four bytes of length (big endian), then msgpack. One ready frame comes first. The
process ends when its input does. It opens no network connection, gets no secrets in its environment, and cannot grow
beyond its limits of memory, processor time and file size.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import BinaryIO

import msgspec

from portal.message_templates.build import BuildAnswer, BuildRequest, RenderAnswer, RenderRequest, build, render

MAX_MEMORY = 512 * 1024 * 1024  # bytes of address space
CPU_SECONDS = 6  # per request; the parent's wall clock is stricter, this ends a child whose parent died


def main() -> None:
    """Answer requests until standard input ends."""
    _limit()
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    _write(outgoing, b"ready")
    try:
        while frame := _read(incoming):
            _more_time()
            _write(outgoing, msgspec.msgpack.encode(_answer(_decoder.decode(frame))))
    except MemoryError:
        # The arenas are likely fragmented: a fresh process is safer than this one.
        os._exit(1)
    except BrokenPipeError:
        # The parent ended while this worked for it.
        os._exit(0)


_decoder = msgspec.msgpack.Decoder(BuildRequest | RenderRequest)


def _answer(request: BuildRequest | RenderRequest) -> BuildAnswer | RenderAnswer:
    return build(request) if isinstance(request, BuildRequest) else render(request)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def _more_time() -> None:
    """Processor time counts from the start of the process, so the limit moves with every request."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _read(stream: BinaryIO) -> bytes:
    head = stream.read(4)
    return stream.read(int.from_bytes(head)) if len(head) == 4 else b""


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(4) + frame)
    stream.flush()


if __name__ == "__main__":
    main()
