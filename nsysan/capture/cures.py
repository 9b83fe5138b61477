"""What to do about messages of nsys that people meet."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

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
#: Where the message tells nothing.
_ANY = "if a newer nsys made the recording, name that with --nsys"


def cure_for(message: str) -> str:
    """What to do about a message of nsys export."""
    return next((cure for pattern, cure in _CURES if re.search(pattern, message, re.IGNORECASE)), _ANY)


def temporary_folder_of_another() -> str | None:
    """What nsys will say, and the cure, where its temporary folder cannot be written; None where it can."""
    folder = Path(tempfile.gettempdir(), "nvidia")
    for place in (folder / "nsight_systems", folder):
        if place.is_dir():
            return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written: {_CURES[1][1]}"
    return None
