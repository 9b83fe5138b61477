"""JSON documents as a reader of the file has them, each held to the schema that it names."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from nsysan.compare.as_json import to_json as comparison_json
from nsysan.compare.comparison import Comparison
from nsysan.report.build import Report
from nsysan.report.document import to_json as report_json

#: Schema files in nsysan/data, by the schema that a document names.
SCHEMAS = {
    "nsysan.report/2": "report.schema.json",
    "nsysan.compare/1": "compare.schema.json",
    "nsysan.info/1": "info.schema.json",
}
_SHOWN = 5


def refuse_constant(name: str) -> float:
    """For json.loads: NaN and Infinity are no JSON."""
    raise AssertionError(f"{name} in a JSON document")


def schema_of(name: str) -> dict[str, Any]:
    """The schema of that name, such as nsysan.report/2."""
    schema: dict[str, Any] = json.loads(files("nsysan.data").joinpath(SCHEMAS[name]).read_text("utf-8"))
    return schema


@cache
def validator(name: str) -> Draft202012Validator:
    """What holds documents to the schema of that name."""
    return Draft202012Validator(schema_of(name))


def held(text: str) -> dict[str, Any]:
    """The document in a text; a failure of the test where it is not as its schema says."""
    document: dict[str, Any] = json.loads(text, parse_constant=refuse_constant)
    wrong = validator(document["schema"]).iter_errors(document)
    told = [f"{error.json_path}: {error.message[:200]}" for _, error in zip(range(_SHOWN), wrong, strict=False)]
    assert told == []
    return document


def document_of(made: Report | Comparison) -> dict[str, Any]:
    """The document of a report or comparison, held to its schema."""
    return held(report_json(made) if isinstance(made, Report) else comparison_json(made))
