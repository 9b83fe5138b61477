"""The sampled counters under a timeline, as lines of so many points as can be seen."""

from __future__ import annotations

import polars as pl

from nsysan.run.samples import METRICS

#: A line of more points looks the same; of each stretch the largest is kept.
MAX_POINTS = 400


def counter_lanes(samples: pl.DataFrame, origin: int, finish: int) -> pl.DataFrame:
    """The counters from origin to finish: rank, metric, unit, time (ns after origin), value, peak (of the lane).

    samples: as run.samples.load_samples gives them. A value holds from its time to the next time of its lane.
    """
    inside = samples.filter((pl.col("end") > origin) & (pl.col("begin") < finish))
    lane = ["rank", "metric", "unit"]
    position = pl.int_range(pl.len()).over(lane)
    # One point of a line ends it, so a line has room for one stretch less.
    stretch = position // ((pl.len().over(lane) + MAX_POINTS - 2) // (MAX_POINTS - 1))
    drawn = inside.group_by(*lane, stretch=stretch, maintain_order=True).agg(
        pl.min("begin"), pl.max("end"), pl.max("value")
    )
    ends = drawn.group_by(lane, maintain_order=True).agg(time=pl.max("end"), value=pl.last("value"))
    points = pl.concat([drawn.select(*lane, "value", time="begin"), ends.select(*lane, "value", "time")])
    return lanes_in_order(
        points.with_columns(time=pl.col("time").clip(origin, finish) - origin, peak=pl.max("value").over(lane))
    )


def lanes_in_order(lanes: pl.DataFrame) -> pl.DataFrame:
    """Points of lanes by rank, counter and time."""
    return lanes.sort("rank", pl.col("metric").cast(pl.Enum(METRICS)), "time", maintain_order=True)
