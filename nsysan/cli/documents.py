"""The document of what the user named: a report's JSON, or that of a trace, analysed on the way."""

from __future__ import annotations

import json
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan._version import __version__
from nsysan.cli.inputs import analysed, expand
from nsysan.report.read_back import ReportDocument, read_report, report_document


def document_of(
    names: tuple[str, ...], *, quiet: bool = False, population: str | None = None, batch: int | None = None
) -> ReportDocument:
    """The document of a run: of its one report JSON, or of its traces.

    population, batch: the steps that it is of; NsysanError if a report's JSON is of others.
    """
    paths = expand(names)
    documents = [path for path in paths if is_document(path)]
    if documents and len(paths) > 1:
        raise NsysanError(
            f"{documents[0]}: is a report, and stands for a whole run; name it alone", ExitCode.NOT_ONE_RUN
        )
    if documents:
        return _is_of(read_report(documents[0]), documents[0], population, batch)
    from nsysan.model.selection import Selection
    from nsysan.model.steps.populations import Choice
    from nsysan.report.build import build_report
    from nsysan.report.document import to_json

    selection = Selection(choice=Choice(population, batch))
    with analysed(paths, selection=selection, quiet=quiet) as run:
        text = to_json(build_report(run, __version__, timelines=False))
    # As a reader of the file would have it: whole numbers stay whole, tuples become lists.
    return report_document(json.loads(text), ", ".join(names))


def _is_of(document: ReportDocument, path: Path, population: str | None, batch: int | None) -> ReportDocument:
    wanted = population if population is not None else None if batch is None else f"decode_{batch}"
    if wanted in (None, document.population):
        return document
    raise NsysanError(
        f"{path}: is of {document.population or 'steps that it does not name'}, not of {wanted}; write one with "
        f"`nsysan report TRACE --population {wanted} --json FILE`",
        ExitCode.NO_STEPS,
    )


def is_document(path: Path) -> bool:
    """Whether a file is JSON, by its first character."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False
