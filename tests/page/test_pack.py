"""Bytes of a page's tables: in parts as in one, and compressed as they come."""

from __future__ import annotations

import base64
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsysan.columns.threads import Beside
from nsysan.page.pack import Packing, packed
from nsysan.page.planes import Planes


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(-(1 << 40), 1 << 40), max_size=4), min_size=1, max_size=4), st.booleans())
def test_a_table_in_parts_is_the_one_in_one(parts: list[list[int]], has_signs: bool) -> None:
    columns = [np.array(part if has_signs else [abs(n) for n in part], dtype=np.int64) for part in parts]
    whole, rows = np.concatenate(columns), [sum(map(len, parts))]
    found: list[bytes] = []
    alone: list[bytes] = []
    told = Planes(found.append).add_parts(({"n": column} for column in columns), rows)
    assert told == Planes(alone.append).add({"n": whole}, rows)
    assert b"".join(found) == b"".join(alone)
    [[name, width, sign]] = told["columns"]
    planes = np.frombuffer(b"".join(found), dtype=np.uint8).reshape(width, len(whole)).astype(np.int64)
    value = np.bitwise_or.reduce([plane << 8 * number for number, plane in enumerate(planes)])
    read = np.where(value % 2, -(value + 1) // 2, value // 2) if sign else value
    assert (name, sign, read.tolist()) == ("n", int((whole < 0).any()), whole.tolist())


def test_parts_are_compressed_as_one() -> None:
    content = [b"a" * 70_000, b"", bytes(range(256)) * 300]
    with Beside() as beside, Packing(beside) as packing:
        for part in content:
            packing.add(part)
        text = packing.packed()
    assert gzip.decompress(base64.b64decode(text)) == b"".join(content)
    # What begins a gzip, and what redact looks for.
    assert text[:4] == packed(b"a")[:4] == "H4sI"


def test_an_error_on_the_way_leaves_nobody_waiting() -> None:
    def broken() -> None:
        with Beside() as beside, Packing(beside) as packing:
            packing.add(b"a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
