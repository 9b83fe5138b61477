"""Late ranks and what-ifs of a report's JSON, read back."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.report.json_values import Fields, UnusableJson

#: What is taken off a period may be summed otherwise than the period, and leave less than nothing.
ANY = -(1 << 63)


_OF_MEAN = ("mean_costs_ns", "mean_saves_ns", "mean_period_ns")


@dataclass(frozen=True)
class LateRank:
    """The late rank that saves most: what it saves a step, and as a share of the period.

    Documents before the replay have what the others wait for it instead.
    """

    rank: int
    cause: str | None
    caused_ns: int
    share: float


@dataclass(frozen=True)
class Late:
    """Ranks that cost time together or alone: ns that they cost with all others put right, and save alone, of the
    median step and of the mean one, and what that takes; 0 in documents that do not tell.
    """

    ranks: tuple[int, ...]
    cause: str | None
    costs_ns: int
    saves_ns: int
    mean_costs_ns: int = 0
    mean_saves_ns: int = 0
    mean_period_ns: int = 0


def durations(row: Fields, least: int) -> dict[str, int | None]:
    """What a row has in ns, by its keys without their unit."""
    return {key.removesuffix("_ns"): row.whole_or_none(key, least) for key in row.keys("_ns")}


def straggler_from(row: Fields | None) -> LateRank | None:
    """The late rank that saves most."""
    return (
        None
        if row is None
        else LateRank(row.whole("rank"), row.text_or_none("cause"), row.whole("caused_ns"), row.number("share"))
    )


def late_from(row: Fields) -> Late:
    """A row of late[]."""
    ranks = row.values.get("ranks")
    numbers = tuple(ranks) if isinstance(ranks, list) and all(type(rank) is int for rank in ranks) else ()
    if not numbers:
        raise UnusableJson(f"{row.place}.ranks is no list of ranks")
    mean = [row.whole(key) if key in row.values else 0 for key in _OF_MEAN]
    return Late(numbers, row.text_or_none("cause"), row.whole("costs_ns"), row.whole("saves_ns"), *mean)


def replay_error_from(row: Fields | None) -> float | None:
    """replay_error of a what_if."""
    told = row is not None and row.values.get("replay_error") is not None
    return row.number("replay_error") if row is not None and told else None


def what_if_from(row: Fields | None) -> dict[str, int | None]:
    """Periods by what is changed."""
    return {} if row is None else durations(row, ANY)
