"""States of a project tree, kept in a folder of the workspace and restored from there.

    checkpoints/objects/….pack          contents
    checkpoints/manifests/NAME-DIGEST   the tree's entries
    checkpoints/intents/DIGEST          a restore in progress

No file is ever overwritten, so a process that dies before it records a new digest leaves the
recorded files intact. All of them survive a power cut.

A command that runs as the same user can damage this folder. Contents are checked by their hash at
every read; manifests and intents by the digest that `save` returns and `announce` is given, which
the caller keeps out of a command's reach.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from openloop.core.text import printable
from openloop.fs import dirfd, files, restore
from openloop.fs.content import FileSection, HashMismatch, Tick, copy, digest, no_tick
from openloop.fs.manifest import Entry, Manifest, to_text
from openloop.fs.object_store import ChangedMeanwhile, ObjectStore, Pack, sources
from openloop.fs.restore import NotRestored, RestoreIntent
from openloop.fs.snapshot import Hasher, Wanted, accept_all

_OBJECTS = b"objects"
_MANIFESTS = b"manifests"
_INTENTS = b"intents"
_NOTHING = Manifest({}, 0)
KeepReplaced = Callable[[RestoreIntent], None]  # copies what a restore will replace; may raise


class DamagedStore(Exception):
    """A manifest, an intent or a content is missing or has been altered."""


class IncompleteRestore(Exception):
    """Some paths could not be restored; all others were."""

    def __init__(self, failures: Iterable[NotRestored]) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(f"{printable(to_text(one.path))}: {one.why}" for one in self.failures[:5])
        more = f" and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        super().__init__(f"cannot restore {shown}{more}")


class UnlinkedCopy:
    """The contents of some files in one unlinked file, beyond the reach of `rm -rf`.

    Closing it, or the end of the process, frees its disk space.
    """

    def __init__(
        self,
        root: str,
        manifest: Manifest,
        paths: Iterable[bytes],
        *,
        folder: str,
        tick: Tick = no_tick,
    ) -> None:
        """paths: files to copy; those that are not hashed are skipped. folder: the copy is on its
        disk. tick: see Checkpoints. Raises ChangedMeanwhile, OSError."""
        self._tick = tick
        self._offsets: dict[str, int] = {}
        with dirfd.open_tree(folder) as opened:
            descriptor = files.create_unlinked_file(opened.folder(b""))
        self._file = open(descriptor, "r+b")  # noqa: SIM115
        self._descriptor = self._file.fileno()
        try:
            self._fill(root, manifest, paths)
        except BaseException:
            self.close()
            raise

    def _fill(self, root: str, manifest: Manifest, paths: Iterable[bytes]) -> None:
        found = manifest.only(paths).items()
        once = {entry.content: (path, entry) for path, entry in found if entry.is_hashed}
        end = 0
        for path, entry, source in sources(root, once.values()):
            try:
                copy(source, self._descriptor, entry.content, self._tick)
            except HashMismatch:
                raise ChangedMeanwhile(path) from None
            self._offsets[entry.content] = end
            end += entry.size

    def find(self, entry: Entry) -> Iterator[FileSection]:
        """The entry's bytes if they are here, unchecked."""
        if entry.content in self._offsets:
            yield FileSection(self._descriptor, self._offsets[entry.content], entry.size)

    def close(self) -> None:
        self._file.close()


class Checkpoints:
    """The store, for one process at a time; it keeps no file open between two calls."""

    def __init__(self, folder: str, tick: Tick = no_tick) -> None:
        """folder: absolute path; created at the first write. Its parent must exist.
        tick: called between pieces of long work, which ends when it raises."""
        self._parent, name = os.path.split(folder)
        self._name = os.fsencode(name)
        self._tick = tick
        self._packs: dict[str, Pack] = {}
        self._kept: dict[Wanted, Manifest] = {}  # what the latest `keep` of each kind had
        self._saved: dict[tuple[str, str], Manifest] = {}

    def keep(self, root: str, manifest: Manifest, wanted: Wanted = accept_all) -> None:
        """Copy the contents of hashed files that are not in the store yet. wanted: which files.

        Raises ChangedMeanwhile when a file no longer matches the manifest (the contents copied so
        far stay), OSError.
        """
        with self._objects() as objects:
            since = self._kept.get(wanted, _NOTHING)
            missing = (
                (prefix + name, entry)
                for prefix, _, listing in manifest.changed_folders(since)
                for name, entry in listing.rows()
                if entry.is_hashed and wanted(prefix + name) and not objects.has(entry.content)
            )
            if first := next(missing, None):
                self._copy(root, chain([first], missing), objects)
            self._kept[wanted] = manifest

    @contextlib.contextmanager
    def hasher(self, wanted: Wanted) -> Iterator[Hasher]:
        """For a scan: copies the contents of wanted files into the store as it hashes them. What it
        cannot copy is left for `keep`. Raises OSError."""
        with self._objects() as objects, objects.writer() as writer:
            yield lambda path, source: objects.hashed(source, writer if wanted(path) else None)

    def _copy(
        self, root: str, entries: Iterable[tuple[bytes, Entry]], objects: ObjectStore
    ) -> None:
        changed: ChangedMeanwhile | None = None
        with objects.writer() as writer:
            try:
                new = (each for each in entries if each[1].content not in writer.offsets)
                for path, entry, source in sources(root, new):
                    try:
                        writer.add(entry.content, source)
                    except HashMismatch:
                        raise ChangedMeanwhile(path) from None
            except ChangedMeanwhile as error:  # the contents copied so far stay
                changed = error
        if changed:
            raise changed

    def save(self, name: str, manifest: Manifest) -> str:
        """Save a manifest durably; returns its digest. Raises OSError.

        Writes nothing when the tree is the same as one saved or loaded under that name."""
        with self._inside(_MANIFESTS) as folder:
            for (known, digest), saved in self._saved.items():
                here = known == name and files.exists(_manifest_file(name, digest), folder=folder)
                if here and manifest.is_unchanged_since(saved):
                    return digest
            pieces = manifest.to_pieces()
            hashed = hashlib.sha256()
            for piece in pieces:
                hashed.update(piece)
            digest = hashed.hexdigest()
            files.replace(_manifest_file(name, digest), pieces, folder=folder, durable=True)
        self._saved[name, digest] = manifest
        return digest

    def load(self, name: str, digest: str, like: Manifest | None = None) -> Manifest:
        """The manifest whose digest `save` returned. like: see `Manifest.from_bytes`. Raises
        DamagedStore."""
        with self._inside(_MANIFESTS) as folder:
            try:
                data = _read(_manifest_file(name, digest), digest, folder)
                manifest = self._saved[name, digest] = Manifest.from_bytes(data, like)
            except (OSError, ValueError) as error:
                raise DamagedStore(
                    f"the manifest {name!r} is missing or damaged: {error}"
                ) from None
        return manifest

    def read(self, entry: Entry, limit: int = 1 << 30) -> bytes:
        """At most `limit` bytes of one stored file. Raises DamagedStore."""
        with self._objects() as objects:
            for source in objects.find(entry):
                if digest(source, tick=self._tick) == entry.content:
                    return os.pread(source.descriptor, min(entry.size, limit), source.offset)
        raise DamagedStore(f"the content {entry.content} is missing or damaged")

    def prune(self, keep: Iterable[tuple[str, str]]) -> int:
        """Remove all manifests but these, and the contents that these do not need; returns the
        number of contents removed.

        keep: (name, digest). Raises DamagedStore, and removes nothing, when one cannot be read.
        """
        kept = {one: self._saved.get(one) or self.load(*one) for one in keep}
        with self._inside(_MANIFESTS) as folder:
            names = {_manifest_file(*one) for one in kept}
            if lost := names.difference(os.listdir(folder)):
                raise DamagedStore(f"the manifest {min(lost)} is missing")
            for name in set(os.listdir(folder)) - names:
                dirfd.remove(os.fsencode(name), folder)
        self._saved = kept
        for wanted, tree in tuple(self._kept.items()):
            if not any(tree.is_unchanged_since(manifest) for manifest in kept.values()):
                del self._kept[wanted]
        manifests = (*kept.values(), *self._pending())
        listings = {id(each): each for tree in manifests for each in tree.listings.values()}
        needed = {content for listing in listings.values() for content in listing.contents}
        with self._objects() as objects:
            return objects.prune(needed)

    def places(self, entries: Iterable[Entry]) -> list[str]:
        """Absolute paths of the packs that hold these files' contents, and of all manifests."""
        home = os.path.join(self._parent, os.fsdecode(self._name))
        contents = [entry.content for entry in entries if entry.is_hashed]
        with self._objects() as objects:
            found = [os.path.join(home, "objects", name) for name in objects.places(contents)]
        manifests = os.path.join(home, os.fsdecode(_MANIFESTS))
        with contextlib.suppress(FileNotFoundError):
            found += [os.path.join(manifests, name) for name in sorted(os.listdir(manifests))]
        return found

    # --- restoring ---

    def restore(
        self,
        root: str,
        current: Manifest,
        target: Manifest,
        paths: Iterable[bytes],
        *,
        unlinked: UnlinkedCopy | None = None,
        announce: Callable[[str], None] | None = None,
        keep_replaced: KeepReplaced | None = None,
    ) -> None:
        """Restore exactly these paths to their state in `target`.

        current: the tree as it stands. A path that `target` lacks is removed, a folder only once
        it is empty. A folder of `target` is created and gets its mode; its contents are restored
        only if they are listed too. An obstacle is removed, but a folder that holds unlisted files
        is renamed to NAME.edited-1. unlinked: repairs the store first. announce: called with the
        intent's digest before the tree is touched. keep_replaced: called after that, also by
        `recover`.

        After a crash, `recover` finishes the work. Raises IncompleteRestore when some paths could
        not be restored, OSError when the intent cannot be written (then nothing has changed).
        """
        intent = restore.plan(root, current, target, paths)
        if not intent.paths:
            return
        with self._objects() as objects:
            if unlinked:
                _refill(objects, intent, unlinked)
            data = intent.to_bytes()
            digest = hashlib.sha256(data).hexdigest()
            with self._inside(_INTENTS) as folder:
                files.replace(digest, data, folder=folder, durable=True)
            if announce:
                announce(digest)
            self._finish(intent, objects, keep_replaced)

    def recover(
        self, root: str, digest: str, keep_replaced: KeepReplaced | None = None
    ) -> tuple[bytes, ...]:
        """Finish an interrupted restore; returns its paths, none if it was finished.

        digest: the announced one; any other intent was never begun, or was planted. Raises
        DamagedStore for an intent that must not be followed (it is set aside), and what `restore`
        raises.
        """
        with self._inside(_INTENTS) as folder:
            try:
                intent = RestoreIntent.from_bytes(_read(digest, digest, folder))
                if intent.root != root:
                    raise ValueError(f"it is for {printable(intent.root)}")
            except FileNotFoundError:
                return ()
            except (OSError, ValueError) as error:
                aside = files.set_aside(digest, folder=folder)
                what = f"an interrupted restore cannot be finished: {error}"
                raise DamagedStore(f"{what}; its intent is kept as {aside}") from None
        with self._objects() as objects:
            self._finish(intent, objects, keep_replaced)
        return intent.paths

    def _finish(
        self, intent: RestoreIntent, objects: ObjectStore, keep_replaced: KeepReplaced | None
    ) -> None:
        if keep_replaced:
            keep_replaced(intent)
        failures = restore.carry_out(intent, objects.find, tick=self._tick)
        if all(failure.lost for failure in failures):  # otherwise a later attempt may succeed
            with self._inside(_INTENTS) as folder:
                for name in _names(folder):  # this one, and any that were never begun
                    dirfd.remove(os.fsencode(name), folder)
                os.fsync(folder)
        if failures:
            raise IncompleteRestore(failures)

    def _pending(self) -> Iterator[Manifest]:
        """The targets of the intents in the store."""
        with self._inside(_INTENTS) as folder:
            for name in _names(folder):
                with contextlib.suppress(OSError, ValueError):
                    yield RestoreIntent.from_bytes(_read(name, name, folder)).target

    # --- the store's folders, reopened at every use: a command may have replaced them ---

    @contextlib.contextmanager
    def _inside(self, *names: bytes) -> Iterator[int]:
        with dirfd.open_tree(self._parent) as opened:
            yield opened.folder(b"/".join((self._name, *names)), dirfd.open_or_make)

    @contextlib.contextmanager
    def _objects(self) -> Iterator[ObjectStore]:
        with self._inside(_OBJECTS) as folder:
            objects = ObjectStore(folder, self._packs, self._tick)
            if not objects.is_unchanged:
                self._kept.clear()
            yield objects


def _refill(objects: ObjectStore, intent: RestoreIntent, unlinked: UnlinkedCopy) -> None:
    """Store the contents that only the unlinked copy has: after a crash it no longer exists."""
    lost = [e for e in intent.target.values() if e.is_hashed and not objects.holds(e)]
    if lost:
        with objects.writer() as writer:
            for entry in lost:
                for source in unlinked.find(entry):
                    with contextlib.suppress(HashMismatch):
                        writer.add(entry.content, source)


def _manifest_file(name: str, digest: str) -> str:
    return f"{name}-{digest}"


def _names(folder: int) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _read(name: str, digest: str, folder: int) -> bytes:
    """The bytes of a file. Raises ValueError when they do not match the digest, OSError."""
    data = files.read(name, folder=folder)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("it has been altered")
    return data
