"""States of a project tree, kept in a folder of the workspace and restored from there.

    checkpoints/objects/….pack          contents
    checkpoints/manifests/NAME-DIGEST   what stood where
    checkpoints/intents/DIGEST          what is being restored right now

Nothing is ever written over: whoever dies between writing a manifest or an intent and putting its
digest on record leaves what was on record before as it was. All of it survives a power cut.

Everything here can be damaged by a command that runs as the same user. Contents are checked by
their hash whenever they are read; manifests and intents by their digest, which `save` and
`announce` give and which is kept where a command cannot get at it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator

from openloop.core.text import printable
from openloop.fs import dirfd, files, restore
from openloop.fs.content import Mismatch, Source, Tick, copy, digest, idle
from openloop.fs.manifest import Entry, Manifest, to_text
from openloop.fs.object_store import ChangedMeanwhile, Objects, Pack, sources
from openloop.fs.restore import Failure, Intent
from openloop.fs.snapshot import Wanted, everything

_OBJECTS = b"objects"
_MANIFESTS = b"manifests"
_INTENTS = b"intents"
_NOTHING = Manifest({}, 0)


class Damaged(Exception):
    """A manifest or an intent that is missing or not what was written."""


class Incomplete(Exception):
    """Some paths could not be put back; all others were."""

    def __init__(self, failures: Iterable[Failure]) -> None:
        self.failures = tuple(failures)
        shown = "; ".join(f"{printable(to_text(one.path))}: {one.why}" for one in self.failures[:5])
        more = f" and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        super().__init__(f"cannot restore {shown}{more}")


class Vault:
    """The contents of some files in a file without a name, beyond the reach of `rm -rf`.

    Close it to let the disk space go; that happens by itself when the process ends.
    """

    def __init__(
        self,
        root: str,
        manifest: Manifest,
        paths: Iterable[bytes],
        *,
        folder: str,
        tick: Tick = idle,
    ) -> None:
        """paths: of which files; others than hashed ones are passed over. folder: on whose disk.
        tick: see Checkpoints. Raises ChangedMeanwhile, OSError."""
        self._tick = tick
        self._offsets: dict[str, int] = {}
        self._descriptor = _nameless(folder)
        try:
            self._fill(root, manifest, paths)
        except BaseException:
            self.close()
            raise

    def _fill(self, root: str, manifest: Manifest, paths: Iterable[bytes]) -> None:
        once = {
            entry.content: path for path, entry in manifest.only(paths).items() if entry.is_hashed
        }
        end = 0
        for path, entry, source in sources(root, manifest, once.values()):
            try:
                copy(source, self._descriptor, entry.content, self._tick)
            except Mismatch:
                raise ChangedMeanwhile(path) from None
            self._offsets[entry.content] = end
            end += entry.size

    def find(self, entry: Entry) -> Iterator[Source]:
        """Where the bytes are, if they are here; not checked yet."""
        if entry.content in self._offsets:
            yield Source(self._descriptor, self._offsets[entry.content], entry.size)

    def close(self) -> None:
        os.close(self._descriptor)


class Checkpoints:
    """The store. One process at a time; nothing is held open between two calls."""

    def __init__(self, folder: str, tick: Tick = idle) -> None:
        """folder: absolute path; made when it is first written to. Its parent must be there.
        tick: called between pieces of long work; what it raises ends that."""
        self._parent, name = os.path.split(folder)
        self._name = os.fsencode(name)
        self._tick = tick
        self._packs: dict[str, Pack] = {}
        self._kept: tuple[Wanted, Manifest] = (everything, _NOTHING)
        self._saved: dict[tuple[str, str], Manifest] = {}

    def keep(self, root: str, manifest: Manifest, wanted: Wanted = everything) -> None:
        """Copy the contents of all hashed files that are not in the store yet. wanted: which files.

        Raises ChangedMeanwhile when a file is not what the manifest says any more (what was
        copied until then stays), OSError.
        """
        with self._objects() as objects:
            known, kept = self._kept
            since = kept if known == wanted else _NOTHING
            missing = {
                entry.content: prefix + name
                for prefix, _, listing in manifest.changed_folders(since)
                for name, entry in listing.rows()
                if entry.is_hashed and wanted(prefix + name) and not objects.has(entry.content)
            }
            if missing:
                self._copy(root, manifest, missing.values(), objects)
            self._kept = (wanted, manifest)

    def _copy(
        self, root: str, manifest: Manifest, paths: Iterable[bytes], objects: Objects
    ) -> None:
        changed: ChangedMeanwhile | None = None
        with objects.writer() as writer:
            try:
                for path, entry, source in sources(root, manifest, paths):
                    try:
                        writer.add(entry.content, source)
                    except Mismatch:
                        raise ChangedMeanwhile(path) from None
            except ChangedMeanwhile as error:  # what was copied until then stays
                changed = error
        if changed:
            raise changed

    def save(self, name: str, manifest: Manifest) -> str:
        """Keep a manifest, durably. Returns its digest. Raises OSError.

        Of a tree that is as it was when it was saved last under that name nothing is written."""
        with self._inside(_MANIFESTS) as folder:
            for (known, digest), saved in self._saved.items():
                here = known == name and files.exists(_manifest(name, digest), folder=folder)
                if here and manifest.is_taken_over(saved):
                    return digest
            data = manifest.to_bytes()
            digest = hashlib.sha256(data).hexdigest()
            files.replace(_manifest(name, digest), data, folder=folder, durable=True)
        self._saved[name, digest] = manifest
        return digest

    def load(self, name: str, digest: str) -> Manifest:
        """A saved manifest. digest: what `save` returned. Raises Damaged."""
        with self._inside(_MANIFESTS) as folder:
            try:
                return Manifest.from_bytes(_read(_manifest(name, digest), digest, folder))
            except (OSError, ValueError) as error:
                raise Damaged(f"the manifest {name!r} is missing or damaged: {error}") from None

    def read(self, entry: Entry, limit: int = 1 << 30) -> bytes:
        """The bytes of one kept file, `limit` of them at most. Raises Damaged."""
        with self._objects() as objects:
            for source in objects.find(entry):
                if digest(source, tick=self._tick) == entry.content:
                    return os.pread(source.descriptor, min(entry.size, limit), source.offset)
        raise Damaged(f"the content {entry.content} is missing or damaged")

    def prune(self, keep: Iterable[tuple[str, str]]) -> int:
        """Remove all manifests but these, and the contents that none of these needs; returns how
        many contents.

        keep: (name, digest). Raises Damaged, and removes nothing, when one cannot be read.
        """
        kept = {one: self._saved.get(one) or self.load(*one) for one in keep}
        with self._inside(_MANIFESTS) as folder:
            names = {_manifest(*one) for one in kept}
            if lost := names.difference(os.listdir(folder)):
                raise Damaged(f"the manifest {min(lost)} is missing")
            for name in set(os.listdir(folder)) - names:
                dirfd.remove(os.fsencode(name), folder)
        self._saved = kept
        if not any(self._kept[1].is_taken_over(manifest) for manifest in kept.values()):
            self._kept = (everything, _NOTHING)
        manifests = (*kept.values(), *self._pending())
        listings = {id(each): each for tree in manifests for each in tree.listings.values()}
        needed = {content for listing in listings.values() for content in listing.contents}
        with self._objects() as objects:
            return objects.prune(needed)

    def places(self, entries: Iterable[Entry]) -> list[str]:
        """Where the contents of these files are kept, and everything that says what was kept:
        absolute paths."""
        home = os.path.join(self._parent, os.fsdecode(self._name))
        contents = [entry.content for entry in entries if entry.is_hashed]
        with self._objects() as objects:
            found = [os.path.join(home, "objects", name) for name in objects.places(contents)]
        manifests = os.path.join(home, os.fsdecode(_MANIFESTS))
        with contextlib.suppress(FileNotFoundError):
            found += [os.path.join(manifests, name) for name in sorted(os.listdir(manifests))]
        return found

    # --- putting back ---

    def restore(
        self,
        root: str,
        current: Manifest,
        target: Manifest,
        paths: Iterable[bytes],
        *,
        vault: Vault | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """Put exactly these paths back to what `target` says.

        current: the tree as it stands. A path that is not in `target` is removed; a folder only
        when nothing is left in it that was not listed. A folder of `target` is made and gets its
        mode; what is in it comes back only if it is listed too. Whatever stands in the way is
        removed, but a folder that holds something not listed is renamed to NAME.edited-1.
        vault: mends the store first. announce: called with the intent's digest before the tree
        is touched.

        After a crash `recover` finishes. Raises Incomplete when all but some paths could be put
        back, OSError when the intent cannot be written (then nothing has changed).
        """
        intent = restore.plan(root, current, target, paths)
        if not intent.paths:
            return
        with self._objects() as objects:
            if vault:
                _refill(objects, intent, vault)
            data = intent.to_bytes()
            digest = hashlib.sha256(data).hexdigest()
            with self._inside(_INTENTS) as folder:
                files.replace(digest, data, folder=folder, durable=True)
            if announce:
                announce(digest)
            self._finish(intent, objects)

    def recover(self, root: str, digest: str) -> tuple[bytes, ...]:
        """Finish a restore that was cut off; returns the paths it was about, none if it was
        finished.

        digest: the one that was announced; any other intent was never begun, or put there by
        somebody else. Raises Damaged for an intent that is not to be followed (it is set aside),
        and what `restore` raises.
        """
        with self._inside(_INTENTS) as folder:
            try:
                intent = Intent.from_bytes(_read(digest, digest, folder))
                if intent.root != root:
                    raise ValueError(f"it is about {printable(intent.root)}")
            except FileNotFoundError:
                return ()
            except (OSError, ValueError) as error:
                aside = files.set_aside(digest, folder=folder)
                what = f"an intent to put files back cannot be followed: {error}"
                raise Damaged(f"{what}; it is kept as {aside}") from None
        with self._objects() as objects:
            self._finish(intent, objects)
        return intent.paths

    def _finish(self, intent: Intent, objects: Objects) -> None:
        failures = restore.carry_out(intent, objects.find, tick=self._tick)
        if all(failure.lost for failure in failures):  # the others are worth another attempt
            with self._inside(_INTENTS) as folder:
                for name in _names(folder):  # this one, and those that were never begun
                    dirfd.remove(os.fsencode(name), folder)
                os.fsync(folder)
        if failures:
            raise Incomplete(failures)

    def _pending(self) -> Iterator[Manifest]:
        """What intents that lie there would put back."""
        with self._inside(_INTENTS) as folder:
            for name in _names(folder):
                with contextlib.suppress(OSError, ValueError):
                    yield Intent.from_bytes(_read(name, name, folder)).target

    # --- the folders of the store, each time anew: a command may have replaced them ---

    @contextlib.contextmanager
    def _inside(self, *names: bytes) -> Iterator[int]:
        with dirfd.footing(self._parent) as way:
            yield way.folder(b"/".join((self._name, *names)), dirfd.open_or_make)

    @contextlib.contextmanager
    def _objects(self) -> Iterator[Objects]:
        with self._inside(_OBJECTS) as folder:
            objects = Objects(folder, self._packs, self._tick)
            if not objects.is_as_known:
                self._kept = (everything, _NOTHING)
            yield objects


def _refill(objects: Objects, intent: Intent, vault: Vault) -> None:
    """Put what only the vault has into the store: after a crash there is no vault any more."""
    lost = [e for e in intent.target.values() if e.is_hashed and not objects.holds(e)]
    if lost:
        with objects.writer() as writer:
            for entry in lost:
                for source in vault.find(entry):
                    with contextlib.suppress(Mismatch):
                        writer.add(entry.content, source)


def _manifest(name: str, digest: str) -> str:
    return f"{name}-{digest}"


def _names(folder: int) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _read(name: str, digest: str, folder: int) -> bytes:
    """The bytes of a file. Raises ValueError when they are not those of the digest, OSError."""
    data = files.read(name, folder=folder)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("it is not what was written")
    return data


def _nameless(folder: str) -> int:
    """A file that no path leads to."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # not every file system can
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    path = os.path.join(folder, f".vault-{os.urandom(8).hex()}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return descriptor
