"""Requests of other processes to a coordinator: one file each, in a folder that it watches.

A request outlives a coordinator that dies before it is granted; the next one finds it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence

from openloop.core.errors import RecordError
from openloop.fs import files

CANCEL, RETRY = "cancel", "retry"
_FOLDER = "requests"


def post(folder: str, verb: str, names: Sequence[str]) -> None:
    """Leave a request. Raises RecordError."""
    place = os.path.join(folder, _FOLDER)
    try:
        os.makedirs(place, exist_ok=True)
        descriptor = files.open_folder(place)
        try:
            name = f"{time.time_ns()}-{os.getpid()}.json"
            data = json.dumps({"verb": verb, "tasks": list(names)}).encode()
            files.replace(name, data, folder=descriptor, durable=True)
        finally:
            os.close(descriptor)
    except OSError as error:
        what = f"the request to {verb} cannot be written: {error.strerror}"
        raise RecordError(what, where=place, fix="make room or give yourself permission") from None


def pending(folder: str) -> Iterator[tuple[str, str, list[str]]]:
    """(path, verb, tasks) of each request, the oldest first. Other files are left alone."""
    place = os.path.join(folder, _FOLDER)
    try:
        names = sorted(name for name in os.listdir(place) if name[0] != ".")
    except OSError:
        return
    for name in names:
        path = os.path.join(place, name)
        try:
            found = json.loads(files.read(path))
            yield path, found["verb"], [str(task) for task in found["tasks"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
