"""JSON documents as a reader of the file has them, each held to the schema that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema_rs import Draft202012Validator

from nsysan.compare.as_json import to_json as comparison_json
from nsysan.compare.comparison import Comparison
from nsysan.report.document import to_json as report_json
from nsysan.report.report import Report

#: Schema files in nsysan/data, by the schema that a document names.
SCHEMAS = {
    "nsysan.report/2": "report.schema.json",
    "nsysan.compare/1": "compare.schema.json",
    "nsysan.info/1": "info.schema.json",
    "nsysan.whatif/1": "whatif.schema.json",
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
    told = [f"{error.instance_path}: {error.message[:200]}" for _, error in zip(range(_SHOWN), wrong, strict=False)]
    assert told == [], "; ".join(told)
    return document


def document_of(made: Report | Comparison) -> dict[str, Any]:
    """The document of a report or comparison, held to its schema."""
    return held(report_json(made) if isinstance(made, Report) else comparison_json(made))


def leaves(schema: dict[str, Any]) -> set[str]:
    """The places that a schema has, such as `per_step[].rank`, `link.evidence[]`, `findings[].figures{}`."""
    return {place for place, _ in _walk(schema, schema, "", [])}


def emitted(schema: dict[str, Any], document: dict[str, Any]) -> set[str]:
    """Those of the places of a schema that a document has."""
    return {place for place, there in _walk(schema, schema, "", [document]) if there}


def is_as_elsewhere(node: dict[str, Any]) -> bool:
    """Whether the node is the same as at another place, where its parts are told."""
    return str(node.get("$ref", "")).startswith("#/properties/")


def resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The node, with what it refers to in the schema."""
    if "$ref" not in node:
        return node
    found: dict[str, Any] = schema
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **node}


def _walk(node: dict[str, Any], schema: dict[str, Any], place: str, values: list[Any]) -> Iterator[tuple[str, bool]]:
    """Every place at or below a node that holds no object, and whether one of the node's values has it."""
    if is_as_elsewhere(node):
        yield place, bool(values)
        return
    node = resolved(node, schema)
    objects = [value for value in values if isinstance(value, dict)]
    named, each = node.get("additionalProperties"), resolved(node.get("items") or {}, schema)
    if "properties" in node:
        for name, below in node["properties"].items():
            own = [value[name] for value in objects if name in value]
            yield from _walk(below, schema, f"{place}.{name}" if place else name, own)
    elif named and "properties" in named:
        yield from _walk(named, schema, f"{place}{{}}", [value for one in objects for value in one.values()])
    elif "properties" in each:
        entries = [value for one in values if isinstance(one, list) for value in one]
        yield from _walk(each, schema, f"{place}[]", entries)
    else:
        yield place + ("{}" if named else "[]" if node.get("type") == "array" else ""), bool(values)
