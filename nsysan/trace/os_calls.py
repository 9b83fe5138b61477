"""Calls of threads into the operating system, where nsys traced them (--trace=osrt), and which of them wait."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files

import polars as pl

from nsysan.trace.tables import I64, SMALL, Tables
from nsysan.trace.vocabulary import NAME
from nsysan.trace.where import Where

OS_CALLS = "OSRT_API"
_SCHEMA = {"start": I64, "end": I64, "thread": I64, "name": NAME, "waits": pl.String()}
#: So many threads are asked for by number; of more all are read.
_THREADS = 1_000


class Waits(StrEnum):
    """What a call does that waits, as in data/os_calls.toml."""

    FOR_OTHERS = "for_others"
    SLEEPS = "sleeps"
    YIELDS = "yields"


@cache
def _kinds() -> dict[str, str]:
    """What a call does that waits, by its name (data/os_calls.toml)."""
    document = tomllib.loads(files("nsysan.data").joinpath("os_calls.toml").read_text("utf-8"))
    return {name: Waits(row["waits"]).value for row in document["calls"] for name in row["names"]}


def _kind() -> pl.Expr:
    """The same of names in `value`, null of what works."""
    plain = pl.col("value").str.replace(r"^_+", "").str.replace(r"(64|_chk|64_chk)$", "")
    return plain.replace_strict(_kinds(), default=None, return_dtype=pl.String)


def read_os_calls(tables: Tables, threads: Sequence[int], begin: int, end: int) -> pl.DataFrame:
    """start, end, thread, name, waits (of Waits, null of a call that works) of the calls of these threads that begin
    from `begin` to before `end` (ns), in file order; none where the export has no such table.

    nsys leaves out calls shorter than it was told to look at (1 us, unless told otherwise).
    """
    if OS_CALLS not in tables:
        return pl.DataFrame(schema=_SCHEMA)
    wanted = [Where("start", at_least=begin, below=end)]
    few = sorted(set(threads))
    wanted += [Where("globalTid", one_of=few)] if len(few) <= _THREADS else []
    columns = {"start": I64, "end": I64, "globalTid": I64, "nameId": SMALL}
    frame = tables.read(OS_CALLS, columns, wanted).rename({"globalTid": "thread"})
    # What has no name may wait or not.
    frame = frame.drop_nulls().filter(pl.col("thread").is_in(few))
    frame = frame.with_columns(name=tables.named(frame["nameId"]), waits=tables.named(frame["nameId"], _kind()))
    frame = tables.timed(frame.drop_nulls("name"), "calls into the operating system")
    return frame.select(list(_SCHEMA)).cast(pl.Schema(_SCHEMA))


def were_asked_for(options: Sequence[tuple[str, str]]) -> bool:
    """Whether a capture was to trace these calls; options: as Trace.capture_options has them."""
    return any(name.endswith("CAPTURE_EVENT_TYPE") and value == "OSRuntime" for name, value in options)
