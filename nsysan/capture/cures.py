"""What to do about messages of nsys that people meet."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from nsysan.text import size

#: A message of nsys, what it means, and what to do; the first that is found counts.
_CURES = (
    (
        r"database is locked|database disk image is malformed|unable to open database|disk I/O error",
        "the file system of that folder has no locks, as network file systems may not: export to a local folder (-o "
        "there, or nsys export --type sqlite --output /LOCAL/NAME.sqlite NAME.nsys-rep)",
    ),
    (
        r"(?:Failed|Unable) to create (?:\w+ ){0,3}directory.*nsight_systems|nsight_systems\W+Permission denied",
        "the folder for nsys' temporary files belongs to another user: set TMPDIR to one of your own",
    ),
    (r"No space left on device", "there is no room: choose another folder (-o, TMPDIR), or a shorter window"),
    (
        r"newer version|(?:unsupported|incompatible)[^.]*version|version[^.]*(?:unsupported|not supported|newer)",
        "an nsys reads recordings of its own version and of older ones: name a newer one with --nsys",
    ),
)
#: A folder with less is full: nothing of nsys fits.
_NO_ROOM = 8 << 20
#: Where the message tells nothing.
_ANY = "if a newer nsys made the recording, name that with --nsys"


def cure_for(message: str) -> str:
    """What to do about a message of nsys export."""
    return next((cure for pattern, cure in _CURES if re.search(pattern, message, re.IGNORECASE)), _ANY)


def temporary_folder() -> Path:
    """Where nsys keeps what it collects: TMPDIR as it is set, also where Python would look for another."""
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir())


def temporary_folder_of_another() -> str | None:
    """What nsys will say, and the cure, where its temporary folder cannot be written; None where it can."""
    folder = temporary_folder()
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return f"TMPDIR {folder} is no folder that can be written: nsys keeps there what it collects; name another"
    for place in (folder / "nvidia" / "nsight_systems", folder / "nvidia"):
        if place.is_dir():
            return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written: {_CURES[1][1]}"
    return None


def no_room(*folders: Path) -> str | None:
    """What to do about the first of these folders that has no room left; None where all have."""
    for folder in folders:
        free = free_bytes(folder)
        if free is not None and free < _NO_ROOM:
            return f"{folder} has {size(free)} left: {_CURES[2][1]}"
    return None


def free_bytes(folder: Path) -> int | None:
    """Bytes that are free there; None where there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
