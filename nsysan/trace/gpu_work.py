"""What GPUs did, from the tables of an export: kernels, copies, and graph replays recorded as one block.

DEFINITIONS.md, section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.rows import kept, taken
from nsysan.columns.threads import each_of
from nsysan.trace.globals import PROCESS_MASK
from nsysan.trace.tables import I64, SMALL, Tables
from nsysan.trace.vocabulary import NAME, SHAPE, UNNAMED, WORK
from nsysan.trace.where import Where

KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
GRAPH_TRACE = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
MEMCPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
_MEMSET = "CUPTI_ACTIVITY_KIND_MEMSET"
_MEMCPY_KINDS = {1: "HtoD", 2: "DtoH", 8: "DtoD", 10: "PtoP"}
#: What no recording holds: an operation of the GPU of more than an hour, or a hundred days away from the others.
_LONGEST_NS = 3_600 * 10**9
_WIDEST_NS = 100 * 86_400 * 10**9
_MOST_DEVICES = 1 << 8
#: With a larger share of unusable rows, the rest is no account of the run.
_MAX_UNUSABLE = 0.01
_SOURCE: dict[str, pl.DataType] = {
    "start": I64,
    "end": I64,
    "globalPid": I64,
    "deviceId": SMALL,
    "contextId": SMALL,
    "streamId": SMALL,
    "correlationId": SMALL,
    "graphNodeId": SMALL,
}
_NAMES = {
    "globalPid": "process",
    "deviceId": "device",
    "contextId": "context",
    "streamId": "stream",
    "correlationId": "correlation",
    "graphNodeId": "graph_node",
}
_SIDES = {what: [f"{what}{axis}" for axis in "XYZ"] for what in SHAPE}
#: The process that work which names none may be of.
LoneProcess = Callable[[], int]


def extent(tables: Tables) -> tuple[int, int] | None:
    """Start of the first kernel or replay, and of the last; None without any (ns)."""
    starts = pl.concat([tables.read(table, {"start": I64}) for table in (KERNELS, GRAPH_TRACE)])["start"]
    first, last = starts.min(), starts.max()
    return None if first is None or last is None else (int(first), int(last))  # type: ignore[arg-type]


def lacking(tables: Tables) -> list[str]:
    """What GPU work does not tell of itself, having lost the column: process, device, stream, graph_node."""
    of_replays = tables.columns(GRAPH_TRACE) if GRAPH_TRACE in tables else tuple(_NAMES)
    columns = tables.columns(KERNELS) or of_replays
    wanted = ("globalPid", "deviceId", "streamId", *(("graphNodeId",) if KERNELS in tables else ()))
    return [_NAMES[name] for name in wanted if name not in columns]


def within(begin: int | None, end: int | None) -> list[Where]:
    """The condition of GPU work that starts from `begin` to before `end` (ns)."""
    return [] if begin is None and end is None else [Where("start", at_least=begin, below=end)]


def kernel_rows(tables: Tables, where: Sequence[Where], *, shapes: bool) -> pl.DataFrame:
    """The rows of kernels as they are in the file, with their shapes or without."""
    sides = [side for of in _SIDES.values() for side in of] if shapes else []
    return tables.read(KERNELS, {**_SOURCE, **dict.fromkeys(["shortName", "demangledName", *sides], SMALL)}, where)


def kernels(tables: Tables, rows: pl.DataFrame, lone_process: LoneProcess) -> pl.DataFrame:
    """Every kernel: the columns of WORK, and those of SHAPE where the rows have them; rows: as `kernel_rows` gives
    them.
    """
    _ = tables.strings  # once, for both
    named = each_of(lambda id_: tables.named(rows[id_]), ("shortName", "demangledName"), len(rows))
    found = rows.rename(_NAMES).with_columns(name=named[0], demangled=named[1])
    if _SIDES["grid"][0] in rows.columns:
        found = found.with_columns(_shapes(rows))
    return _as_work(tables, _with_short_names(tables, found), "kernel", lone_process)


def kernel_shapes(tables: Tables, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """process, device, start, end, stream, grid, block of the kernels that start in these spans (ns).

    grid, block: as "132 x 1 x 1", null where not told. Few are asked for, so that they are not kept.
    """
    kernel = ["start", "end", "globalPid", "deviceId", "streamId"]
    columns = dict.fromkeys([*kernel, *(side for of in _SIDES.values() for side in of)], I64)
    rows = tables.read(KERNELS, columns, [Where("start", spans=spans)])
    return rows.select(*kernel, *_shapes(rows)).rename({name: _NAMES[name] for name in kernel if name in _NAMES})


def _shapes(rows: pl.DataFrame) -> list[pl.Series]:
    """grid and block of each row; the few that there are, as categories."""
    number, distinct = codes([rows[side] for of in _SIDES.values() for side in of])
    told = distinct.select(pl.concat_str(of, separator=" x ").cast(NAME).alias(what) for what, of in _SIDES.items())
    return [taken(column, pl.Series(number)) for column in told.get_columns()]


def copies(tables: Tables, where: Sequence[Where], lone_process: LoneProcess) -> pl.DataFrame:
    """Every memory copy and memory set: the columns of WORK."""
    found = tables.read(MEMCPY, {**_SOURCE, "bytes": I64, "copyKind": I64}, where)
    direction = pl.col("copyKind").replace_strict(_MEMCPY_KINDS, default="other", return_dtype=pl.String)
    found = found.with_columns(name=(pl.lit("memcpy ") + direction).cast(NAME))
    sets = tables.read(_MEMSET, {**_SOURCE, "bytes": I64}, where)
    sets = sets.with_columns(name=pl.lit("memset", NAME))
    return pl.concat(
        (
            _as_work(tables, found.rename(_NAMES), "memcpy", lone_process),
            _as_work(tables, sets.rename(_NAMES), "memset", lone_process),
        ),
        how="vertical_relaxed",
    )


def graph_replays(tables: Tables, where: Sequence[Where], lone_process: LoneProcess) -> pl.DataFrame:
    """CUDA graph replays recorded as one block (graph-level tracing): the columns of WORK."""
    source = {name: dtype for name, dtype in _SOURCE.items() if name != "graphNodeId"}
    frame = tables.read(GRAPH_TRACE, {**source, "graphId": I64, "graphExecId": I64}, where)
    replays = frame.rename({old: new for old, new in _NAMES.items() if old in source}).with_columns(
        graph=pl.coalesce("graphExecId", "graphId"), name=pl.lit("CUDA graph replay", NAME)
    )
    return _as_work(tables, replays, "graph", lone_process)


def _as_work(tables: Tables, frame: pl.DataFrame, kind: str, lone_process: LoneProcess) -> pl.DataFrame:
    """The columns of WORK; rows whose time or device cannot be are left out, NsysanError if they are many."""
    blank = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in WORK.items() if name not in frame.columns]
    frame = frame.with_columns(blank)
    # A column that is missing, or empty throughout, is a lesser export; a gap in one is damage.
    present = [name for name in ("process", "device") if frame[name].null_count() < len(frame)]
    ids = [_is_id(name) for name in present]
    usable = tables.timed(kept(frame, *ids) if ids else frame, f"{kind} rows", _LONGEST_NS)
    if len(usable):
        middle = pl.col("start").median().cast(I64)
        usable = kept(usable, (pl.col("start") - middle).abs() < _WIDEST_NS)
    lost = tables.unusable[f"{kind} rows"] = len(frame) - len(usable)
    if lost > _MAX_UNUSABLE * len(frame):
        raise tables.damaged(f"{lost} of {len(frame)} {kind} rows have impossible times, processes or devices")
    return usable.with_columns(
        pl.col("process").fill_null(lone_process() if "process" not in present and len(frame) else 0),
        pl.col("device").fill_null(0),
        type=pl.lit(kind, NAME),
        name=pl.col("name").fill_null(pl.lit(UNNAMED, NAME)),
    ).select([*WORK, *(name for name in SHAPE if name in usable.columns)])


def _with_short_names(tables: Tables, found: pl.DataFrame) -> pl.DataFrame:
    """Kernels without a short name get it from the demangled one."""
    if not found["name"].null_count():
        return found
    bare = pl.col("value").str.replace_all("(anonymous namespace)::", "", literal=True)
    bare = bare.str.replace(r"[<(].*$", "").str.extract(r"(\w+)\s*$")
    short = tables.named(found["demangledName"], bare)
    return found.with_columns(name=pl.coalesce("name", short))


def _is_id(name: str) -> pl.Expr:
    """Whether a column holds what nsys writes for a process (a globalPid) or a device (a small number)."""
    if name == "process":
        return pl.col(name).is_not_null() & (pl.col(name) & pl.lit(~PROCESS_MASK, dtype=I64) == 0)
    return pl.col(name).is_between(0, _MOST_DEVICES - 1)
