"""The names under which frames tell of GPU work, whatever an export calls it."""

from __future__ import annotations

import polars as pl

#: Few names, and millions of rows that have one.
NAME = pl.Categorical()
#: Columns of every frame of GPU work; `type` is kernel, memcpy, memset or graph. Texts are categories.
WORK = {
    "start": pl.Int64(),
    "end": pl.Int64(),
    "process": pl.Int64(),
    "device": pl.Int64(),
    "context": pl.Int64(),
    "stream": pl.Int64(),
    "correlation": pl.Int64(),
    "graph_node": pl.Int64(),
    "graph": pl.Int64(),
    "name": NAME,
    "demangled": NAME,
    "bytes": pl.Int64(),
    "type": NAME,
}
#: Columns more of kernels, where they are asked for: "132 x 1 x 1", null where not told.
SHAPE = {"grid": NAME, "block": NAME}
#: Stands for the name of a kernel whose name is not in the export.
UNNAMED = "?"
