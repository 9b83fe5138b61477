"""The JSON document of what the user named: a report's, or that of a trace, analysed on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nsysan
from nsysan._errors import ExitCode, NsysanError
from nsysan.cli.inputs import analysed, expand

_SCHEMA_FAMILY = "nsysan.report/"


def document_of(names: tuple[str, ...], *, quiet: bool = False) -> dict[str, Any]:
    """The document of a run: of its one report JSON, or of its traces."""
    paths = expand(names)
    documents = [path for path in paths if is_document(path)]
    if documents and len(paths) > 1:
        raise NsysanError(
            f"{documents[0]}: is a report, and stands for a whole run; name it alone", ExitCode.NOT_ONE_RUN
        )
    if documents:
        return read_document(documents[0])
    from nsysan.report.build import build_report
    from nsysan.report.document import to_json

    with analysed(paths, quiet=quiet) as run:
        text = to_json(build_report(run, nsysan.__version__, timelines=False))
    # As a reader of the file would have it: whole numbers stay whole, tuples become lists.
    document: dict[str, Any] = json.loads(text)
    return document


def is_document(path: Path) -> bool:
    """Whether the file is JSON, by its first character."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False


def read_document(path: Path) -> dict[str, Any]:
    """The document that `nsysan report --json` wrote to `path`."""
    if not path.exists():
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE)
    how = "write one with `nsysan report TRACE --json FILE`"
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NsysanError(f"{path}: cannot be read as JSON; {how}", ExitCode.DAMAGED) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_SCHEMA_FAMILY):
        raise NsysanError(f"{path}: is not a report of nsysan; {how}", ExitCode.NOT_NSYS)
    if not isinstance(document.get("per_rank"), list):
        raise NsysanError(f"{path}: a report without figures; {how}", ExitCode.DAMAGED)
    return dict(document)
