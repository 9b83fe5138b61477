"""Writing results: whole or not at all, and never over a file that nobody offered."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from nsysan import scratch
from nsysan._errors import ExitCode, NsysanError

#: At the end of a page: that nsysan wrote it, of what (see subject), and the SHA-256 of all before, in pieces, as it is
#: no secret to be found.
_SIGNATURE = "<!-- nsysan wrote this page of {}: {} -->\n"
_SIGNED = re.compile(
    rb"<!-- nsysan wrote this page of ([0-9a-f]{8} [0-9a-f]{8}): ([0-9a-f]{8}(?: [0-9a-f]{8}){7}) -->\n\Z"
)
_SIGNED_IN = len(_SIGNATURE) + 17 + 71
#: A larger file is nobody's page.
_LARGEST = 1 << 28


def subject(of: Iterable[object]) -> str:
    """What a page is of, in so many hexadecimal digits that two are not alike by chance."""
    return _digest(repr(list(of)).encode("utf-8"))[:17]


def signed(page: str, of: str) -> str:
    """A page with a last line by which a later run knows it for its own; of: its subject."""
    return page + _SIGNATURE.format(of, _digest(f"{page}{of}".encode()))


def own_page(path: Path, of: str | None = None) -> bool:
    """Whether nsysan wrote the file as a page (of that subject), and nobody changed it since."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        content = path.read_bytes()
    except OSError:
        return False
    found = _signature_of(content)
    if found is None or of not in (None, found[1].decode()):
        return False
    return _digest(content[: found.start()] + found[1]).encode() == found[2]


def _signature_of(content: bytes) -> re.Match[bytes] | None:
    return _SIGNED.search(content, max(0, len(content) - _SIGNED_IN))


def _digest(content: bytes) -> str:
    whole = hashlib.sha256(content).hexdigest()
    return " ".join(whole[at : at + 8] for at in range(0, len(whole), 8))


def check_writable(path: Path, *, force: bool, source: Path | None = None, of: str | None = None) -> None:
    """Raise NsysanError before the work is done, where writing afterwards would fail or replace `source`.

    of: the subject of the page that will be written, where that is known by then.
    """
    try:
        _check(path, force=force, source=source, of=of)
    except OSError as error:  # a name that is too long, or a working directory that is gone
        raise NsysanError(f"{path}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error


def _check(path: Path, *, force: bool, source: Path | None, of: str | None) -> None:
    if path.is_dir():
        raise NsysanError(f"{path}: is a folder; name a file in it", ExitCode.OUTPUT_UNWRITABLE)
    if path.exists() and not path.is_file():
        raise NsysanError(f"{path}: is a device or pipe; name a file", ExitCode.OUTPUT_UNWRITABLE)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise NsysanError(f"{path}: is the trace itself; name another output with -o", ExitCode.OUTPUT_UNWRITABLE)
    # A link that leads nowhere is a name that somebody gave, too.
    if os.path.lexists(path) and not force and not own_page(path, of):
        raise exists(path, of)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise NsysanError(f"{path}: there is no folder {path.parent}; create it first", ExitCode.OUTPUT_UNWRITABLE)
    if not os.access(folder, os.W_OK):
        raise NsysanError(f"{path}: the folder is not writable; name another with -o", ExitCode.OUTPUT_UNWRITABLE)


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write the file as UTF-8, in one step (see write_bytes)."""
    write_bytes(path, text.encode("utf-8"), force=force)


def write_bytes(path: Path, content: bytes, *, force: bool) -> None:
    """Write the file in one step: under its name there is the old content or all of the new.

    A page that nsysan wrote, and nobody changed since, makes room for one of the same subject without `force`.

    Of several that write one new file at once, without `force`, one does; the others' NsysanError says that it exists.
    """
    signature = _signature_of(content)
    # What is no page replaces none.
    of = "" if signature is None else signature[1].decode()
    check_writable(path, force=force, of=of)
    # Named before it is made: an interrupt between its making and its naming would leave it behind.
    temporary = scratch.unfinished(path.absolute().parent)
    scratch.sweep(temporary.parent)
    try:
        with temporary.open("xb") as file:
            scratch.held(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put(temporary, path, force=force or own_page(path, of))
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise NsysanError(f"{path}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error
        raise


def put(made: Path, path: Path, *, force: bool) -> None:
    """Give a finished file of the same file system its name; NsysanError where that is taken, unless `force`."""
    try:
        if force:
            made.replace(path)
        else:
            os.link(made, path)
            made.unlink()
    except FileExistsError:
        raise exists(path) from None
    except OSError:
        if force:
            raise
        _put_without_links(made, path)


def _put_without_links(made: Path, path: Path) -> None:
    """The same on a file system that has no hard links: the name is an empty file's for a moment."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise exists(path) from None
    made.replace(path)


def exists(path: Path, of: str | None = None) -> NsysanError:
    """The error for an output that is there already; of: the subject of the page that would replace it."""
    which = ", a page of another trace, comparison or history" if of and own_page(path) else ""
    return NsysanError(
        f"{path}: exists already{which}; pass --force to replace it, or another name{' (-o)' if which else ''}",
        ExitCode.OUTPUT_EXISTS,
    )
