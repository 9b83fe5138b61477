"""How large the grid and the blocks of kernels are: asked for some spans of time, as only a timeline shows them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nsysan.trace.gpu_work import KERNELS
from nsysan.trace.tables import I64, Tables
from nsysan.trace.where import Where

_AXES = "XYZ"
_SOURCE = {"start": I64, "end": I64, "globalPid": I64, "deviceId": I64, "streamId": I64}
#: What says which kernel it is.
KEY = ("process", "device", "start", "end", "stream")
_NAMES = {"globalPid": "process", "deviceId": "device", "streamId": "stream"}


def kernel_shapes(tables: Tables, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """KEY, grid, block ("132 x 1 x 1", null where not told) of kernels that start in these spans (ns), each once."""
    sides = {f"{what}{axis}": I64 for what in ("grid", "block") for axis in _AXES}
    rows = tables.read(KERNELS, {**_SOURCE, **sides}, [Where("start", spans=spans)])
    shapes = (
        pl.concat_str([pl.col(f"{what}{axis}") for axis in _AXES], separator=" x ").alias(what)
        for what in ("grid", "block")
    )
    return rows.rename(_NAMES).select(*KEY, *shapes).unique(KEY, keep="first", maintain_order=True)
