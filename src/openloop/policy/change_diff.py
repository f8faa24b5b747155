"""What a change did to the project: a unified diff of bounded size, and its numbers."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from openloop.fs.manifest import FILE, SYMLINK, Entry, Manifest, to_text

LARGEST = 1 << 20  # bytes of a diff
COMPARED = 512 << 10  # bytes of a file whose lines are compared
_PAIRS = 16_000_000  # lines before times lines after that are compared, of all files together
_NO_END = b"\\ No newline at end of file\n"
Read = Callable[[bytes, Entry], bytes | None]  # path, entry → content, None when it is not kept


class ChangeDiff(NamedTuple):
    """files: how many differ. added, removed: lines of text. is_whole: whether the lines of all
    files are counted, and all of them are in the text."""

    text: bytes
    files: int
    added: int
    removed: int
    is_whole: bool


class _File(NamedTuple):
    """The part of one file. is_whole: see ChangeDiff."""

    text: bytes
    added: int = 0
    removed: int = 0
    is_whole: bool = True


class _Unquotable(Exception):
    """The reason why a content is not shown."""


def describe(
    paths: Iterable[bytes], before: Manifest, now: Manifest, read_before: Read, read_now: Read
) -> ChangeDiff:
    """The diff of files and symlinks at these paths. A file that is no text, too large or not kept
    is only named."""
    differ = _Differ(read_before, read_now)
    parts: list[bytes] = []
    files = added = removed = size = left_out = 0
    is_whole = True
    for path in paths:
        files += 1
        if size > LARGEST:
            left_out += 1
            continue
        found = differ.file(path, before.get(path), now.get(path))
        added, removed = added + found.added, removed + found.removed
        is_whole = is_whole and found.is_whole
        size += len(found.text)
        if size > LARGEST:
            left_out += 1
        else:
            parts.append(found.text)
    if left_out:
        words = "the diff of 1 file is" if left_out == 1 else f"the diffs of {left_out} files are"
        parts.append(f"# {words} left out: a diff holds {LARGEST} bytes at most\n".encode())
    return ChangeDiff(b"".join(parts), files, added, removed, is_whole and not left_out)


class _Differ:
    """Compares files one by one, until it has compared very many lines."""

    def __init__(self, read_before: Read, read_now: Read) -> None:
        self._read_before = read_before
        self._read_now = read_now
        self._pairs = _PAIRS

    def file(self, path: bytes, old: Entry | None, new: Entry | None) -> _File:
        head = b"".join(_head(path, old, new))
        try:
            was = self._text(path, old, self._read_before)
            is_now = self._text(path, new, self._read_now)
        except _Unquotable as error:
            return _File(head + f"# not shown: {error}\n".encode(), is_whole=False)
        names = (_name(b"a/", path, old), _name(b"b/", path, new))
        lines = list(self._hunks(_lines(was), _lines(is_now), names))
        added = sum(line.startswith(b"+") for line in lines[2:])
        removed = sum(line.startswith(b"-") for line in lines[2:])
        return _File(head + b"".join(map(_ended, lines)), added, removed)

    def _text(self, path: bytes, entry: Entry | None, read: Read) -> bytes:
        """Raises _Unquotable."""
        if entry is None:
            return b""
        if entry.kind == SYMLINK:
            return entry.target
        if entry.kind != FILE:
            raise _Unquotable("not a regular file")
        if entry.size > COMPARED:
            raise _Unquotable(f"{entry.size} bytes, over {COMPARED}")
        data = read(path, entry)
        if data is None:
            raise _Unquotable("its content before the change was not kept")
        if b"\0" in data:
            raise _Unquotable(f"binary, {entry.size} bytes")
        return data

    def _hunks(
        self, was: list[bytes], is_now: list[bytes], names: tuple[bytes, bytes]
    ) -> Iterator[bytes]:
        """The lines of the hunks; of very many lines the one half removed and the other added."""
        self._pairs -= len(was) * len(is_now)
        if self._pairs >= 0:
            import difflib  # slow to import, and many a run changes nothing

            return difflib.diff_bytes(difflib.unified_diff, was, is_now, *names)
        ranges = f"@@ -1,{len(was)} +1,{len(is_now)} @@\n".encode()
        return iter(
            [
                *(b"--- %b\n" % names[0], b"+++ %b\n" % names[1], ranges),
                *(b"-" + line for line in was),
                *(b"+" + line for line in is_now),
            ]
        )


def _head(path: bytes, old: Entry | None, new: Entry | None) -> Iterator[bytes]:
    """The header of a file's diff, as git writes it."""
    yield b"diff --git %b %b\n" % (_quoted(b"a/" + path), _quoted(b"b/" + path))
    if old is None and new is not None:
        yield b"new file mode %o\n" % _mode(new)
    elif new is None and old is not None:
        yield b"deleted file mode %o\n" % _mode(old)
    elif old and new and _mode(old) != _mode(new):
        yield b"old mode %o\nnew mode %o\n" % (_mode(old), _mode(new))


def _mode(entry: Entry) -> int:
    if entry.kind == SYMLINK:
        return stat.S_IFLNK
    return stat.S_IFREG | (0o755 if entry.mode & stat.S_IXUSR else 0o644)


def _name(prefix: bytes, path: bytes, entry: Entry | None) -> bytes:
    return _quoted(prefix + path) if entry else b"/dev/null"


def _quoted(path: bytes) -> bytes:
    """The path, in quotes with escapes where it would not stay on its line."""
    text = to_text(path)
    if text.isprintable() and not set(text) & {'"', "\\"}:
        return path
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in path
    )
    return f'"{escaped}"'.encode()


def _lines(data: bytes) -> list[bytes]:
    """The lines with their line ends; the last one may have none."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n" + _NO_END
