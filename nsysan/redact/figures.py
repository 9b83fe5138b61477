"""Whether a copy says what its original says: the two reports beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nsysan._errors import NsysanError
from nsysan._version import __version__
from nsysan.redact.scrub import Scrubber


def differences(original: Path, copy: Path, scrubber: Scrubber) -> list[str]:
    """Top-level keys of the JSON reports that differ between two traces; names of the files may, and masked names."""
    first, second = _document(original), _document(copy)
    return [key for key in {**first, **second} if not _same(first.get(key), second.get(key), scrubber)]


def _same(one: object, other: object, scrubber: Scrubber) -> bool:
    """Whether values are equal but for what is masked in texts."""
    if one == other:
        return True
    if isinstance(one, str) and isinstance(other, str):
        return other in (scrubber.code(one), scrubber.label(one))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key], scrubber) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair, scrubber) for pair in zip(one, other, strict=True))
    return False


def _document(path: Path) -> dict[str, Any]:
    from nsysan.report.build import build_report
    from nsysan.report.document import to_document
    from nsysan.run.analyze import analyze

    try:
        document = to_document(build_report(analyze(path), __version__, timelines=False))
    except NsysanError as error:
        return {"error": error.exit_code}
    for named in document["inputs"]:
        del named["name"]
    for rank in document["ranks"]:
        del rank["report"]
    return document
