"""A document's text is what the standard library writes."""

import json

import pytest

from nsysan.report.indented_json import indented

VALUES = [
    {},
    [],
    "text",
    {"a": {}, "b": []},
    [[]],
    [{"a": 1}, {}],
    [{"a": 1.5, "b": None}, {"a": True, "b": "}, {"}],
    {"rows": [{"a": "x}", "{b": 2}, {"c": "},\n  {"}], "none": None},
    [[{"a": 1}, {"a": 2}], [1, (2, 3)]],
    {2: {3: [1]}, None: "\u00e9", True: [{}]},
]


@pytest.mark.parametrize("value", VALUES)
def test_it_is_the_text_of_the_standard_library(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=1)


def test_what_is_no_number_of_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        indented({"a": [{"b": float("nan")}]})
