"""Whether a copy says what its original says: the two reports beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nsysan._errors import NsysanError
from nsysan._version import __version__


def differences(original: Path, copy: Path) -> list[str]:
    """Top-level keys of the JSON reports that differ between two traces; names of the files may."""
    first, second = _document(original), _document(copy)
    return [key for key in {**first, **second} if first.get(key) != second.get(key)]


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
