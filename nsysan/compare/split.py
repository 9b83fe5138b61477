"""How a rank's compute divides over more ranks: of each place what stays and what is shared out, a + b/n.

DEFINITIONS.md, section 11a. `fitted` finds it in captures at several degrees; whoever knows it otherwise (of one
capture, from a model) makes a Split of its own, and all that predicts takes either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nsysan.compare.aligned import aligned
from nsysan.compare.step_work import F64, StepWork
from nsysan.text import pct

#: Of the change that a + b/n gives a place, so much may be wrong: of one kernel at all degrees, of kernels that change.
DOUBT, DOUBT_OTHER = 0.25, 0.5
#: ... half of it where a third degree shows by how much a + b/n misses.
TESTED = 0.5
#: Clocks and placement: by so much the compute of two captures of one workload differs.
BETWEEN_CAPTURES = 0.015
#: Steps of which less than this share can be aligned are taken as a whole.
ALIGNED = 0.5
WHOLE = "compute"


@dataclass(frozen=True)
class Split:
    """Of a step at `degree` ranks, by place (kernel at its position): what it computes, and ns of one rank.

    at n ranks: fixed + shards / n. doubt: share of the change from `degree` that may be wrong; spread: ns that may
    be wrong at any number. place_of: places of the step's compute kernels. basis: how it was found, in words; share:
    of the step's compute that was found place by place.
    """

    degree: int
    kinds: tuple[str, ...]
    place_of: tuple[int, ...]
    fixed: F64
    shards: F64
    doubt: F64
    spread: F64
    basis: str
    share: float = 1.0

    def at(self, ranks: int) -> F64:
        """ns of each place."""
        return self.fixed + self.shards / ranks

    def total(self, ranks: int) -> float:
        """ns of compute a step."""
        return float(self.at(ranks).sum())

    @cached_property
    def fixed_total(self) -> float:
        """ns of compute a step that no number of ranks shares out."""
        return float(self.fixed.sum())

    def factors(self, ranks: int) -> F64:
        """Of each place, by what its kernels' times are to be multiplied."""
        now = self.at(self.degree)
        return np.divide(self.at(ranks), now, out=np.ones_like(now), where=now > 0)

    def error(self, ranks: int) -> float:
        """ns by which the compute of a step may be wrong.

        Places of one kind err together (they are layers of one model), kinds by themselves.
        """
        each = self.doubt * np.abs(self.at(ranks) - self.at(self.degree)) + self.spread
        codes = {kind: code for code, kind in enumerate(dict.fromkeys(self.kinds))}
        by_kind = np.bincount([codes[kind] for kind in self.kinds], each) if len(each) else np.zeros(1)
        clocks = BETWEEN_CAPTURES * (self.total(ranks) + abs(self.total(ranks) - self.total(self.degree)))
        return float(np.hypot(np.sqrt((by_kind**2).sum()), clocks))


def fitted(sides: Sequence[tuple[int, StepWork]], degree: int) -> Split:
    """Of captures of one model at different numbers of ranks, of which one is of `degree`."""
    base = next(work for ranks, work in sides if ranks == degree)
    others = [(ranks, work) for ranks, work in sides if ranks != degree]
    pairs = [aligned(base.kinds, work.kinds) for _, work in others]
    shares = [0.0 if pair is None else _share(base, work, pair) for (_, work), pair in zip(others, pairs, strict=True)]
    if min(shares) < ALIGNED:
        return _whole(sides, base, degree, min(shares))
    times = np.full((len(sides), len(base.kinds)), np.nan)
    same = np.ones(len(base.kinds), dtype=bool)
    times[0] = base.ns
    for row, ((_, work), pair) in enumerate(zip(others, pairs, strict=True), 1):
        assert pair is not None
        there = np.flatnonzero(pair >= 0)
        times[row, there] = work.ns[pair[there]]
        same[there] &= [base.names[i] == work.names[j] for i, j in zip(there, pair[there], strict=True)]
    ranks = np.array([degree, *(n for n, _ in others)], dtype=np.float64)
    fixed, shards, off = _fit(ranks, times)
    missing = np.isnan(times).any(axis=0)
    # What has no counterpart stays as it is here.
    fixed[missing], shards[missing], off[missing] = base.ns[missing], 0.0, 0.0
    off += _unpaired(base, others, pairs, missing) * base.ns / base.total
    return Split(
        degree,
        base.kinds,
        base.place_of,
        fixed,
        shards,
        np.where(same, DOUBT, DOUBT_OTHER) * np.where((~np.isnan(times)).sum(axis=0) > 2, TESTED, 1.0),
        off,
        f"{pct(min(shares))} of the compute aligned kernel by kernel, each as a + b/n",
        min(shares),
    )


def _share(base: StepWork, work: StepWork, pair: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    there = pair >= 0
    return min(float(base.ns[there].sum()) / base.total, float(work.ns[pair[there]].sum()) / work.total)


def _fit(ranks: F64, times: F64) -> tuple[F64, F64, F64]:
    """fixed, shards, and by how much the fit misses, of each column; nan is left out. None of them is negative.

    Least squares; where one of the two would be negative the other alone.
    """
    inverse = (1 / ranks)[:, None] * np.ones_like(times)
    known = ~np.isnan(times)
    count = known.sum(axis=0)
    x, y = np.where(known, inverse, 0.0), np.where(known, times, 0.0)
    sx, sy, sxx, sxy = x.sum(axis=0), y.sum(axis=0), (x * x).sum(axis=0), (x * y).sum(axis=0)
    level = count * sxx - sx * sx
    shards = np.divide(count * sxy - sx * sy, level, out=np.zeros_like(sx), where=level > 0)
    fixed = np.divide(sy - shards * sx, count, out=np.zeros_like(sx), where=count > 0)
    shrinks_more = fixed < 0
    shards = np.where(shrinks_more, np.divide(sxy, sxx, out=np.zeros_like(sx), where=sxx > 0), shards)
    fixed = np.where(shrinks_more, 0.0, fixed)
    grows = shards < 0
    fixed = np.where(grows, np.divide(sy, count, out=np.zeros_like(sx), where=count > 0), fixed)
    shards = np.where(grows, 0.0, shards)
    off = np.where(known, np.abs(times - fixed - shards * inverse), 0.0).max(axis=0)
    return fixed, shards, off


def _unpaired(
    base: StepWork,
    others: Sequence[tuple[int, StepWork]],
    pairs: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]] | None],
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> float:
    """By how much work without a counterpart may be wrong: what all of it differs by between the sides, ns."""
    here = float(base.ns[missing].sum())
    rest = []
    for (_, work), pair in zip(others, pairs, strict=True):
        assert pair is not None
        rest.append(work.total - float(work.ns[pair[pair >= 0]].sum()))
    return max(abs(ns - here) for ns in rest)


def _whole(sides: Sequence[tuple[int, StepWork]], base: StepWork, degree: int, share: float) -> Split:
    """Of the compute as a whole: places that cannot be told apart all go as it does."""
    order = sorted(sides, key=lambda side: side[0] != degree)
    fixed, shards, off = _fit(
        np.array([ranks for ranks, _ in order], dtype=np.float64), np.array([[work.total] for _, work in order])
    )
    part = base.ns / base.total
    return Split(
        degree,
        tuple([WHOLE] * len(base.kinds)),
        base.place_of,
        fixed * part,
        shards * part,
        np.ones(len(part)),
        off * part,
        f"only {pct(share)} of the compute could be aligned kernel by kernel, so all of it as one a + b/n, which may "
        "be wrong by as much as it changes",
        share,
    )
