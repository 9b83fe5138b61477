"""A report that can be given away: the same figures, without what its texts tell."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import polars as pl

from nsysan.metrics.link import Link
from nsysan.redact.file import check_is_file, examined
from nsysan.redact.scrub import Scrubber
from nsysan.report.build import Report


def redact_report(report: Report, traces: Iterable[Path]) -> Report:
    """The report with its traces numbered, and every text masked by what the traces tell of people and places.

    NsysanError for a trace whose secrets cannot be listed, which is one that is not an SQLite file.
    """
    scrubbers = [_scrubber(path) for path in traces]
    names = {
        name: f"trace {i}"
        for i, name in enumerate(dict.fromkeys([*(i.name for i in report.inputs), *report.left_out]), 1)
    }
    any_name = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))

    def scrub(text: str) -> str:
        text = any_name.sub(lambda match: names[match[0]], text)
        for scrubber in scrubbers:
            text = scrubber.label(text)
        return text

    return cast(Report, _masked(report, scrub))


def _scrubber(path: Path) -> Scrubber:
    check_is_file(path)
    return Scrubber(examined(path).secrets)


def _masked(value: object, scrub: Callable[[str], str]) -> object:
    """The value with every text in it masked, however deep; what nsysan's own tables say stays."""
    masked: object = value
    if isinstance(value, str):
        masked = scrub(value)
    elif isinstance(value, pl.DataFrame):
        texts = [name for name, dtype in value.schema.items() if dtype == pl.String]
        masked = value.with_columns(_column(value[name], scrub) for name in texts)
    elif isinstance(value, dict):
        masked = {key: _masked(entry, scrub) for key, entry in value.items()}
    elif isinstance(value, list | tuple):
        masked = type(value)(_masked(entry, scrub) for entry in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type | Link):
        parts = {field.name: _masked(getattr(value, field.name), scrub) for field in dataclasses.fields(value)}
        masked = dataclasses.replace(value, **parts)
    return masked


def _column(texts: pl.Series, scrub: Callable[[str], str]) -> pl.Series:
    known = {text: scrub(text) for text in texts.unique().drop_nulls()}
    return pl.Series(texts.name, [None if text is None else known[text] for text in texts], dtype=pl.String)
