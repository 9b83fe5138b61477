"""What each of some rows takes on a rank that is right, by what the ranks take at its place (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.replay.by_step import Cells, in_steps
from nsysan.replay.engine import I64

#: So many standard errors lie between what is noise and what is not, of a place or group over the steps.
ERRORS = 4.0
#: So many standard deviations, and so large a share of the period, is a step's own excess at a place.
DEVIATIONS = 6.0
#: Other work in the place of what a rank lacks is as good as that unless it takes longer by this share.
_ALIKE = 0.05
_PAIR = 2
#: What varies on all ranks alike is no noise: where what is left beside the others is this much less, in so many steps.
_IN_COMMON, _STEPS = 0.5, 8
#: What is one place of one step.
_AT_ONCE = ("stretch", "step", "place")
#: Of normal noise: deviation by the median absolute deviation; standard error of a median.
BY_MAD, OF_MEDIAN = 1.4826, 1.2533


def right_of(
    rows: pl.DataFrame,
    kind: pl.Expr,
    peers: pl.DataFrame,
    excess: int,
    summed: npt.NDArray[np.bool_] | None = None,
    alike: float = 1.0,
    much: float = 0.25,
) -> tuple[I64, npt.NDArray[np.bool_]]:
    """What each row takes on a rank that is right; and whether it is what most ranks do not have.

    rows: stretch, step, rank, segment, place (null where nothing is alike on other ranks), group (a number), ns, and
    what kind each is told by. peers: rank, stage, and how many ranks do the same. excess: ns that a step must lose.
    summed: the rows that may together lose them, others only one by one. Not those of hosts, whose noise is of the
    step: what one is held up by it is at many places; nor what takes longer by less than so much of what it usually
    takes (much), as all kernels do now and then. alike: up to so many times as long as its level a rank is right in
    most steps.
    """
    if rows.is_empty():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    rows = rows.join(peers, on="rank", how="left", maintain_order="left")
    # A place is one of a stage, and so is a group.
    rows = rows.with_columns(
        place=pl.col("place") * (pl.col("stage").max() + 1) + pl.col("stage"),
        group=pl.col("group") * (pl.col("stage").max() + 1) + pl.col("stage"),
    )
    at, own = (pl.Series(codes(rows.select(key).get_columns())[0]) for key in (_AT_ONCE, ("rank", "place")))
    rows = rows.with_columns(at=at, own=own)
    at_once = rows.group_by("at").agg(
        pl.first(*_AT_ONCE, "segment", "stage", "peers"),
        n=pl.len(),
        total=pl.sum("ns"),
        then=lower_median("ns").cast(pl.Int64),
    )
    # Of two ranks that one has it is no more than that the other has not, whose time is the shorter.
    at_once = at_once.with_columns(
        extra=pl.col("place").is_not_null()
        & ((2 * pl.col("n") < pl.col("peers")) | ((pl.col("peers") == _PAIR) & (pl.col("n") == 1))).fill_null(
            value=False
        )
    )
    instead = None
    if at_once["extra"].any():
        at_once = _without_moved(rows.with_columns(kind=kind), at_once)
        instead = _instead(rows, at_once)
    rows = rows.hstack(at_once.sort("at").select("n", "total", "then", "extra")[at])
    usual = _usual(rows, alike)
    told = rows.select("rank", "segment", "place", "ns", "then", "extra", "own").hstack(
        usual.sort("own").select("usual", "level", "deviation", "in_common", "late", "factor")[own]
    )
    if instead is None:
        told = told.with_columns(instead=pl.lit(None, dtype=pl.Float64))
    else:
        told = told.join(instead, on=["rank", "segment", "place"], how="left", maintain_order="left")
    told = told.with_columns(
        other=pl.col("extra") & pl.col("instead").is_not_null(), constant=pl.Series(_is_constant(told))
    )
    ns, wide, longer = pl.col("ns"), DEVIATIONS * pl.col("deviation"), pl.col("usual") - pl.col("level")
    cells = Cells.of_rows(rows)
    # By itself no place need show it: another layer's expert has most of the work.
    beyond = told.select(ns - pl.max_horizontal("usual", "then"), wide=wide)
    common = told.select(~pl.col("extra") & pl.col("place").is_not_null()).to_series()
    by_far = (common & (beyond["ns"] > beyond["wide"])).fill_null(value=False).to_numpy()
    lost = np.where(by_far, beyond["ns"].to_numpy(), 0.0)
    if summed is not None:
        large = summed & told.select(ns > (1 + much) * pl.max_horizontal("usual", "then")).to_series().to_numpy()
        lost = np.where(large, cells.sums(np.where(large, lost, 0.0))[cells.of], lost)
    told = told.with_columns(alone=pl.Series(by_far & (lost > excess)))
    # Late in most steps, and not in this one.
    beside = pl.when("in_common").then(ns - pl.col("then")).otherwise(ns - pl.col("level"))
    spared = pl.col("late") & (beside < longer / 2) & (longer > wide)
    factor = pl.when("late").then(pl.col("level") / pl.col("usual")).otherwise("factor")
    right = (
        pl.when(pl.col("place").is_null() | spared)
        .then(ns)
        .when("alone")
        .then(pl.min_horizontal("then", "ns"))
        .when(pl.col("late") & pl.col("constant"))
        .then((ns - longer).clip(0))
        .otherwise(ns * factor)
    )
    told = told.with_columns(right=pl.when(common).then(right.cast(pl.Float64)))
    if summed is not None:
        have, measured, elsewhere = (told[name].cast(pl.Float64).to_numpy() for name in ("right", "ns", "then"))
        found = in_steps(cells, np.where(summed, have, np.nan), measured, elsewhere, DEVIATIONS, excess, alike)
        told = told.with_columns(right=pl.Series(np.where(summed, found, have)).fill_nan(None))
    extra = pl.col("extra") & ~pl.col("other")
    whole = (
        pl.when(extra).then(0).when("other").then((ns * pl.col("instead")).round()).otherwise(pl.coalesce("right", ns))
    )
    result = told.select(right=whole.round().cast(pl.Int64), extra=extra)
    return result["right"].to_numpy(), result["extra"].to_numpy()


def _usual(rows: pl.DataFrame, alike: float) -> pl.DataFrame:
    """own, usual, level, deviation, in_common, late, factor of each place of each rank; rows: as right_of has them.

    What varies on all ranks alike is taken beside what the others take in that step: usual and level are then as in a
    step in which all take what they usually do.
    """
    ns, then = pl.col("ns"), pl.col("then")
    # Of two ranks the lower one is the median, beside which it never varies.
    other = ns - pl.when(pl.col("n") == _PAIR).then(pl.col("total") - ns).otherwise(then)
    usual = rows.group_by("own").agg(
        pl.first("rank", "place", "group"),
        # What is mostly extra there is in no sum of what all have.
        common=~pl.col("extra").cast(pl.Float64).mean().gt(0.5).fill_null(value=False),
        steps=pl.len(),
        usual=pl.median("ns"),
        spread=(ns - pl.median("ns")).abs().median(),
        over=(ns - then).median(),
        apart=(other - other.median()).abs().median(),
    )
    # Noise is that of the place; a rank that is late in half of its steps is no noise.
    usual = usual.with_columns(
        *(pl.col(name) * BY_MAD for name in ("spread", "apart")),
        over=pl.col("over") - lower_median("over").over("place"),
        enough=pl.min("steps").over("place") >= _STEPS,
        level=lower_median("usual").over("place"),
    ).with_columns(lower_median("spread", "apart").over("place"))
    in_common = (pl.col("apart") < _IN_COMMON * pl.col("spread")) & pl.col("enough") & pl.col("place").is_not_null()
    usual = usual.with_columns(in_common=in_common.fill_null(value=False)).with_columns(
        usual=pl.when("in_common").then(pl.col("level") + pl.col("over")).otherwise("usual"),
        deviation=pl.when("in_common").then("apart").otherwise("spread"),
    )
    error = ERRORS * OF_MEDIAN * pl.col("deviation") / pl.col("steps").sqrt()
    usual = usual.with_columns(
        late=(pl.col("usual") - pl.col("level") > error) & (pl.col("usual") > alike * pl.col("level"))
    )
    # Of what no place shows alone the places of a group may show it together.
    # A place of few steps is no more of a step than that, and tells no noise.
    most = pl.col("steps").filter(pl.col("place").is_not_null()).max().over("rank")
    part, often = pl.col("steps") / most, pl.col("steps") >= pl.min_horizontal(most / 2, _STEPS)
    total = part * pl.when("late").then("level").otherwise("usual")
    usual = usual.with_columns(total=total, error=pl.when("late").then(0.0).otherwise((part * error) ** 2))
    rest = (
        usual.filter(pl.col("common") & often & pl.col("place").is_not_null())
        .group_by("rank", "group")
        .agg(pl.sum("total"), error=pl.col("error").sum().sqrt())
    )
    rest = rest.with_columns(level=lower_median("total").over("group"))
    slower = (pl.col("total") - pl.col("level") > pl.col("error")) & (pl.col("total") > alike * pl.col("level"))
    rest = rest.select("rank", "group", factor=pl.when(slower).then(pl.col("level") / pl.col("total")).otherwise(1.0))
    return usual.join(rest, on=["rank", "group"], how="left").with_columns(pl.col("factor").fill_null(1.0))


def _is_constant(told: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether what a rank takes longer is as long in each step, where the steps differ in common, and no share."""
    asked = told.with_columns(asked=pl.col("in_common") & pl.col("late"))
    if not asked["asked"].any():
        return np.zeros(len(told), dtype=np.bool_)
    ns, then, usual, level = (pl.col(name) for name in ("ns", "then", "usual", "level"))
    cut, share = (one.abs().median().over("own") for one in (ns - (usual - level) - then, ns * level / usual - then))
    return asked.select((pl.col("asked") & (cut < share)).fill_null(value=False)).to_series().to_numpy()


def _without_moved(rows: pl.DataFrame, at_once: pl.DataFrame) -> pl.DataFrame:
    """at_once, with nothing extra of which the rank has no more than others have, somewhere else in their steps."""
    extra = rows.join(at_once.filter("extra").select("at"), on="at", how="semi")
    kinds = rows.join(extra.select("stage", "kind").unique(), on=["stage", "kind"], how="semi")
    counts = kinds.group_by("stage", "kind", "rank").agg(pl.first("peers"), n=pl.len().cast(pl.Int64))
    # Of the lower median: a rank that has none of the kind counts as well.
    at = (pl.first("peers") - 1) // 2 - (pl.first("peers") - pl.len())
    level = counts.group_by("stage", "kind").agg(
        level=pl.when(at >= 0).then(pl.col("n").sort().gather(at.clip(0)).first()).otherwise(0)
    )
    mine = extra.group_by("stage", "kind", "rank").agg(extra=pl.len())
    moved = mine.join(counts, on=["stage", "kind", "rank"]).join(level, on=["stage", "kind"])
    moved = moved.filter(pl.col("n") - pl.col("level") < pl.col("extra") / 2)
    places = extra.join(moved, on=["stage", "kind", "rank"], how="semi")["at"].unique()
    return at_once.with_columns(extra=pl.col("extra") & ~pl.col("at").is_in(places.implode()))


def _instead(rows: pl.DataFrame, at_once: pl.DataFrame) -> pl.DataFrame:
    """rank, segment, place, instead: of what a rank alone has in the place of what others have, by another name, the
    share that these take.
    """
    where = ("stretch", "step", "segment")
    own = rows.join(at_once.filter("extra").select("at"), on="at", how="semi")
    sums = own.group_by(*where, "rank", "stage").agg(pl.sum("ns"))
    partly = at_once.filter(
        pl.col("place").is_not_null(),
        pl.col("n") < pl.col("peers"),
        ~pl.col("extra") | (pl.col("peers") == _PAIR),
    )
    lacking = partly.join(sums.select(*where, "stage", "rank"), on=[*where, "stage"]).join(
        rows.select(*where[:2], "place", "rank"), on=[*where[:2], "place", "rank"], how="anti"
    )
    lacking = lacking.group_by(*where, "rank").agg(lacks=pl.sum("then"))
    # A step that is cut off lacks what it has in all others.
    told = sums.join(lacking, on=[*where, "rank"], how="left").with_columns(pl.col("lacks").fill_null(0))
    told = told.group_by("rank", "segment").agg(pl.median("ns", "lacks")).filter(pl.col("lacks") > 0)
    share = pl.col("lacks") / pl.col("ns")
    told = told.select("rank", "segment", instead=pl.when(share < 1 - _ALIKE).then(share).otherwise(1.0).fill_nan(1.0))
    return own.select("rank", "segment", "place").unique().join(told, on=["rank", "segment"])


def lower_median(*columns: str) -> pl.Expr:
    """Of 2 the less, of 4 the second."""
    return pl.col(columns).quantile(0.5, "lower")
