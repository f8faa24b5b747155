"""Hash and copy the bytes of files; holes stay holes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from openloop.fs import files

LARGE = 64 << 20  # bytes; of files this large only the non-zero blocks are hashed
SMALL = _CHUNK = 1 << 20  # bytes read at a time
_BLOCK = 1 << 16  # bytes; the unit in which a large file is hashed or skipped
_ZEROS = bytes(_BLOCK)

# Called between pieces of long work; may raise to end it. Its argument: the number of files that a
# scan has seen, 0 in other work.
Tick = Callable[[int], None]


class HashMismatch(Exception):
    """Bytes do not have the expected hash."""


class FileSection(NamedTuple):
    """A stretch of an open file."""

    descriptor: int
    offset: int
    size: int  # bytes


def no_tick(seen: int) -> None:
    """A tick that does nothing."""


def hash_of(data: bytes) -> str:
    """The sha256 in hex; for fewer bytes than LARGE the same as `digest` of a file with them."""
    return hashlib.sha256(data).hexdigest()


def digest(source: FileSection, tick: Tick = no_tick) -> str:
    """The sha256 in hex of the source's bytes.

    For a large file it covers its size and each non-zero block after its position: a hole costs
    nothing and equals zeros. Raises OSError, and what `tick` raises.
    """
    return _digest_and_copy(source, None, tick)


def _digest_and_copy(source: FileSection, target: int | None, tick: Tick) -> str:
    if source.size >= LARGE:
        return _digest_blocks(source, target, tick)
    found = hashlib.sha256()
    position, end = source.offset, source.offset + source.size
    while position < end:
        chunk = os.pread(source.descriptor, min(end - position, _CHUNK), position)
        if not chunk:
            break
        found.update(chunk)
        if target is not None:
            files.write_all(target, chunk)
        position += len(chunk)
        tick(0)
    return found.hexdigest()


def copy(source: FileSection, target: int, content: str, tick: Tick = no_tick) -> None:
    """Append the source's bytes to an open file. Raises HashMismatch when their hash is not
    `content` (the bytes written stay), OSError, and what `tick` raises."""
    if _digest_and_copy(source, target, tick) != content:
        raise HashMismatch(content)


def _digest_blocks(source: FileSection, target: int | None, tick: Tick) -> str:
    found = hashlib.sha256(b"%d\n" % source.size)
    start = os.lseek(target, 0, os.SEEK_CUR) if target is not None else 0
    for position, block in _blocks(source, tick):
        found.update(b"%d\n" % position)
        found.update(block)
        if target is not None:
            os.lseek(target, start + position, os.SEEK_SET)
            files.write_all(target, block)
    if target is not None:
        os.ftruncate(target, start + source.size)
        os.lseek(target, 0, os.SEEK_END)
    return found.hexdigest()


def _blocks(source: FileSection, tick: Tick) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of every non-zero block."""
    position = 0
    while position < source.size:
        data, hole = _data_from(source, position)
        position = max(position, data // _BLOCK * _BLOCK)
        while position < min(hole, source.size):
            size = min(_BLOCK, source.size - position)
            block = os.pread(source.descriptor, size, source.offset + position)
            if not block:
                return
            if block != _ZEROS[: len(block)]:
                yield position, block
            position += _BLOCK
            tick(0)


def _data_from(source: FileSection, position: int) -> tuple[int, int]:
    """(start, end) of the next stretch of data; both are the file's end when there is none."""
    descriptor, offset = source.descriptor, source.offset
    try:
        data = os.lseek(descriptor, offset + position, os.SEEK_DATA)
        return data - offset, os.lseek(descriptor, data, os.SEEK_HOLE) - offset
    except OSError as error:
        if error.errno == errno.ENXIO:
            return source.size, source.size
        if error.errno == errno.EINVAL:  # a file system without holes
            return position, source.size
        raise
