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


@dataclass(frozen=True)
class Caused:
    """What all late ranks put right together save, ns of a step of period_ns: the median one, or the mean one if
    `mean`. ranks: none where nobody is late, or each in turn.
    """

    ranks: tuple[int, ...]
    saves_ns: int
    period_ns: int
    mean: bool


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


def _ranks(row: Fields, least: int) -> tuple[int, ...]:
    """The key ranks."""
    ranks = row.values.get("ranks")
    if not isinstance(ranks, list) or len(ranks) < least or not all(type(rank) is int for rank in ranks):
        raise UnusableJson(f"{row.place}.ranks is no list of ranks")
    return tuple(ranks)


def caused_from(row: Fields) -> Caused | None:
    """caused of a document or a replica; None where it is null, or not told yet by the nsysan that wrote it."""
    found = row.below_or_none("caused") if "caused" in row.values else None
    if found is None:
        return None
    return Caused(_ranks(found, 0), found.whole("saves_ns"), found.whole("period_ns"), found.text("of") == "mean")


def late_from(row: Fields) -> Late:
    """A row of late[]."""
    numbers = _ranks(row, 1)
    mean = [row.whole(key) if key in row.values else 0 for key in _OF_MEAN]
    return Late(numbers, row.text_or_none("cause"), row.whole("costs_ns"), row.whole("saves_ns"), *mean)


def replay_error_from(row: Fields | None) -> float | None:
    """replay_error of a what_if."""
    told = row is not None and row.values.get("replay_error") is not None
    return row.number("replay_error") if row is not None and told else None


def what_if_from(row: Fields | None) -> dict[str, int | None]:
    """Periods by what is changed."""
    return {} if row is None else durations(row, ANY)
