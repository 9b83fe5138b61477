"""When nsys stopped a thread to empty or to get its buffers."""

from __future__ import annotations

import polars as pl

from nsysan.trace.tables import I64, Tables

#: Flushes and allocations of the profiler, on the thread that is stopped for them.
OVERHEAD = "PROFILER_OVERHEAD"
#: Shorter ones are no more than a launch call takes.
_LEAST_NS = 20_000


def read_flushes(tables: Tables) -> pl.DataFrame:
    """start, end (ns), thread of those that take 20 us or more; none where the export has no such table."""
    columns = {"start": I64, "end": I64, "globalTid": I64}
    if OVERHEAD not in tables:
        return pl.DataFrame(schema={"start": I64, "end": I64, "thread": I64})
    found = tables.timed(tables.read(OVERHEAD, columns).drop_nulls(), "stops of the profiler")
    return found.rename({"globalTid": "thread"}).filter(pl.col("end") - pl.col("start") >= _LEAST_NS)
