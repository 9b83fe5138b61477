"""Files and folders under way: hidden beside what they become, gone if whoever makes them is killed.

Each is held by a lock (flock), so that what nobody holds any more is told from what is being written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".nsysan-"
#: Between its making and its lock, one is nobody's for a moment.
_YOUNG_S = 60.0
#: Waits until its maker has ended, in whatever way, and removes a folder.
_AFTERWARDS = "import shutil, sys; sys.stdin.buffer.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


def unfinished(folder: Path) -> Path:
    """A new name in a folder, for what is not finished."""
    return folder / f"{_PREFIX}{os.urandom(8).hex()}"


def held(descriptor: int) -> None:
    """Lock a file or folder as long as it is open, where its file system has locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder of its own that is gone afterwards, also if this process is killed: a copy in it may tell secrets."""
    sweep(parent)
    folder = unfinished(parent)
    folder.mkdir(0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    held(descriptor)
    watcher = _watcher(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
        if watcher is not None and watcher.stdin is not None:
            watcher.stdin.close()
            watcher.wait()


def sweep(folder: Path) -> None:
    """Remove what earlier processes left unfinished in a folder: those that were killed, or lost their machine."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and not entry.is_symlink():
                _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    is_folder = entry.is_dir(follow_symlinks=False)
    with contextlib.suppress(OSError):
        told = entry.stat(follow_symlinks=False)
        if told.st_uid != os.geteuid() or time.time() - told.st_mtime < _YOUNG_S:
            return
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.path, ignore_errors=True) if is_folder else os.unlink(entry.path)
        finally:
            os.close(descriptor)


def _watcher(folder: Path) -> subprocess.Popen[bytes] | None:
    command = [sys.executable, "-I", "-S", "-c", _AFTERWARDS, str(folder.absolute())]
    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True, cwd="/"
        )
    except OSError:  # no room for a process: the next run will sweep
        return None
