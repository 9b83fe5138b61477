"""What a step lost against the usual one: to which cause, on which rank, at which call.

DEFINITIONS.md, section 4 (the tail). `losses_of` is all that tail and slowest steps know of it.
"""

from __future__ import annotations

import polars as pl

from nsysan.metrics.chain import PLACE, chains, with_before
from nsysan.metrics.lines import LEDGER, Kind, Line
from nsysan.metrics.skew import no_time
from nsysan.metrics.tail import NEAR
from nsysan.metrics.tail_causes import TAIL_OF, TailCause
from nsysan.run.questions import spent_of, together
from nsysan.run.run import Run

#: So many steps, those nearest to the median, tell how a rank usually spends its time.
_USUAL_STEPS = 15
_PARTS = list(TAIL_OF)
_SCHEMA = {"step": pl.Int64(), "cause": pl.String(), "rank": pl.Int64(), "ns": pl.Int64(), "call": pl.Int64()}
#: What is looked at of a call, of which a frame has many columns.
_OF_CALLS = ("row", "rank", "family", "step", "call", "number", "begin", "end", "last")
_OF_LINE = {
    Line.COMPUTE: TailCause.COMPUTE,
    Line.WAIT: TailCause.COMMUNICATION,
    Line.FUSED: TailCause.COMMUNICATION,
    Line.WIRE: TailCause.COMMUNICATION,
    Line.COMM_UNSPLIT: TailCause.COMMUNICATION,
    Line.COPY: TailCause.COPY,
    Line.GRAPH: TailCause.GRAPH,
    Line.IDLE: TailCause.IDLE,
}


def losses_of(run: Run, arrived: pl.DataFrame, slow: list[int]) -> tuple[pl.DataFrame, list[int]]:
    """What steps lost, and which steps make the tail: those beyond 1.05 times the median.

    The frame has step, cause (TailCause), rank (null for what is of no single one), ns, call (number in the step
    of that at which most was lost, null where that is none); of a step the losses are no more than what it exceeds the
    median by.
    Of the steps of the tail, and of those in `slow`. arrived: as skew.arrivals gives it.
    """
    steady = run.steady_steps
    calls = with_before(arrived.select(_OF_CALLS), run.windows) if len(arrived) else arrived
    links = chains(calls, steady) if arrived["step"].is_in(steady).any() else pl.DataFrame()
    if links.is_empty():
        periods = run.ledger.filter("steady").group_by("step").agg(ns=pl.median("period_ns"))
    else:
        periods = links.group_by("step").agg(ns=(pl.col("moved") + pl.col("took")).sum())
    beyond = periods.with_columns(excess=pl.col("ns") - pl.median("ns"), near=NEAR * pl.median("ns"))
    tail = beyond.filter(pl.col("excess") > pl.col("near"))["step"].sort().to_list()
    chosen = beyond.filter(pl.col("step").is_in([*tail, *slow]) & (pl.col("excess") > 0))
    if chosen.is_empty():
        return pl.DataFrame(schema=_SCHEMA), tail
    if links.is_empty():
        found = _by_lines(run, chosen["step"].to_list())
    else:
        usual = beyond.sort(pl.col("excess").abs(), "step")["step"].head(_USUAL_STEPS).to_list()
        found = _by_links(run, calls, links.filter(pl.col("step").is_in(chosen["step"].to_list())), steady, usual)
    return _within(_told_by_host(run, found), chosen), tail


def _by_links(
    run: Run, calls: pl.DataFrame, links: pl.DataFrame, steady: list[int], usual_steps: list[int]
) -> pl.DataFrame:
    """What each link of the chains took beyond its place's usual: the arrival by parts, the transfer of nobody."""
    usual = calls.filter(pl.col("step").is_in(steady)).group_by(PLACE).agg(pl.median("elapsed"), pl.median("moving"))
    at = calls.select(*PLACE, "row", "number", nth=pl.int_range(pl.len(), dtype=pl.Int64)).join(
        usual, on=PLACE, how="left", maintain_order="left"
    )
    moved = links.join(at, left_on="left", right_on="nth").select(
        "step",
        cause=pl.lit(TailCause.WIRE.value),
        rank=pl.lit(None, dtype=pl.Int64),
        ns=pl.col("moved") - pl.col("moving"),
        call=pl.lit(None, dtype=pl.Int64),
    )
    came = links.join(at, left_on="came", right_on="nth").select(
        "step", *PLACE, "row", "number", lost=pl.col("took") - pl.col("elapsed")
    )
    parts = _parts(run, calls, came, usual_steps)
    long = came.join(parts, on="row", how="left").unpivot(
        on=_PARTS, index=["step", *PLACE, "row", "number", "lost"], variable_name="part", value_name="grown"
    )
    # Of what it lost, each part has its share of what grew.
    grown = (
        pl.when(pl.col("lost") > 0)
        .then(pl.col("grown").clip(lower_bound=0))
        .otherwise(pl.col("grown").clip(upper_bound=0))
    )
    shared = long.with_columns(grown=grown).with_columns(all=pl.sum("grown").over("row"))
    told = shared.filter(pl.col("all") != 0).select(
        "step",
        cause=pl.col("part").replace_strict({part.value: cause.value for part, cause in TAIL_OF.items()}),
        rank="rank",
        ns=pl.col("lost") * pl.col("grown") / pl.col("all"),
        call="number",
    )
    return pl.concat([moved.cast({"ns": pl.Float64}), told.cast({"ns": pl.Float64})])


def _parts(run: Run, calls: pl.DataFrame, came: pl.DataFrame, usual_steps: list[int]) -> pl.DataFrame:
    """row, and what the rank spent since its call before, by part, beyond what it usually spends there."""
    places = came.select(PLACE).unique()
    usual = calls.filter(pl.col("step").is_in(usual_steps)).join(places, on=PLACE, how="semi")
    wanted = pl.concat([came["row"], usual["row"]]).unique()
    numbered = calls.with_columns(wanted=pl.col("row").is_in(wanted.implode()))
    # The time since the call before is asked for: that call goes along.
    needed = pl.col("wanted") | (pl.col("wanted").shift(-1) & (pl.col("rank") == pl.col("rank").shift(-1)))
    asked = numbered.filter(needed).select("row", "rank", "begin", "end", "wanted", family=pl.lit(0, dtype=pl.Int64))
    kept = asked.select("row", "rank", "family", "wanted")
    spent = together([no_time(asked), *run.ask_each(spent_of, run.by_trace(kept))])
    timed = calls.select("row", "step", *PLACE).join(spent, on="row")
    means = timed.filter(pl.col("step").is_in(usual_steps)).group_by(PLACE).agg(pl.median(part) for part in _PARTS)
    own = timed.filter(pl.col("row").is_in(came["row"].implode()))
    against = own.join(means, on=PLACE, how="left", suffix="_usual")
    return against.select("row", *(pl.col(part) - pl.col(f"{part}_usual") for part in _PARTS))


def _by_lines(run: Run, steps: list[int]) -> pl.DataFrame:
    """What grew in the ledger where no call ties the ranks together: of its rank where there is but one."""
    steady = run.ledger.filter("steady")
    lines = [row.id for row in LEDGER if row.kind != Kind.WAITING]
    long = steady.select("step", "rank", *(pl.col(line.column).alias(line) for line in lines)).unpivot(
        index=["step", "rank"], variable_name="line", value_name="ns"
    )
    grown = long.drop_nulls("ns").with_columns(ns=pl.col("ns") - pl.median("ns").over("rank", "line"))
    causes = {line.value: _OF_LINE[line].value for line in lines}
    alone = len(run.ranks) == 1
    return (
        grown.filter(pl.col("step").is_in(steps))
        .group_by("step", "line", *(["rank"] if alone else []))
        .agg(pl.median("ns"))
        .select(
            "step",
            cause=pl.col("line").replace_strict(causes),
            rank=pl.col("rank") if alone else pl.lit(None, dtype=pl.Int64),
            ns=pl.col("ns").cast(pl.Float64),
            call=pl.lit(None, dtype=pl.Int64),
        )
    )


def _told_by_host(run: Run, found: pl.DataFrame) -> pl.DataFrame:
    """Idle time as the host's, as far as that of the rank grew before launch calls that began too late."""
    idle = run.gaps.group_by("step", "rank").agg(
        host=pl.col("ns").filter(pl.col("host")).sum(), rest=pl.col("ns").filter(~pl.col("host").fill_null(False)).sum()
    )
    usual = (
        idle.filter(pl.col("step").is_in(run.steady_steps)).group_by("rank").agg(pl.median("host"), pl.median("rest"))
    )
    more = idle.join(usual, on="rank", suffix="_usual").select(
        "step",
        "rank",
        *((pl.col(name) - pl.col(f"{name}_usual")).clip(lower_bound=0) for name in ("host", "rest")),
    )
    # The gap before a step's first work is of the step before.
    both = pl.concat([more, more.with_columns(pl.col("step") + 1)]).group_by("step", "rank").agg(pl.sum("host", "rest"))
    share = both.select("step", "rank", share=pl.col("host") / (pl.col("host") + pl.col("rest"))).fill_nan(None)
    known = found.join(share, on=["step", "rank"], how="left").with_columns(pl.col("share").fill_null(0.0))
    is_idle = pl.col("cause") == TailCause.IDLE
    hosts = known.filter(is_idle & (pl.col("share") > 0)).with_columns(
        cause=pl.lit(TailCause.HOST.value), ns=pl.col("ns") * pl.col("share")
    )
    rest = known.with_columns(ns=pl.when(is_idle).then(pl.col("ns") * (1 - pl.col("share"))).otherwise("ns"))
    return pl.concat([hosts, rest]).drop("share")


def _within(found: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """By step, cause and rank; of what is lost in one place and won in another only the difference, and no more than
    the step exceeds the median by."""
    at = found.sort("ns", descending=True).group_by("step", "cause", "rank", maintain_order=True)
    sums = at.agg(pl.sum("ns"), pl.first("call")).filter(pl.col("ns") > 0)
    joined = sums.join(chosen.select("step", "excess"), on="step")
    factor = (pl.col("excess") / pl.sum("ns").over("step")).clip(upper_bound=1.0)
    whole = joined.with_columns(ns=(pl.col("ns") * factor).round().cast(pl.Int64))
    ordered = whole.filter(pl.col("ns") > 0).sort(
        ["step", "ns", "cause", "rank"], descending=[False, True, False, False]
    )
    return ordered.select(list(_SCHEMA)).cast(_SCHEMA)  # type: ignore[arg-type]
