"""Steps from the repeating sequence of kernels (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.times import by_time
from nsysan.model.operations import Operations
from nsysan.model.steps.period import MIN_REPEATS, Repetition, find_repetition, step_marks
from nsysan.model.steps.step_kind import StepMethod
from nsysan.model.steps.step_windows import Membership, StepWindows, frame

_I64 = npt.NDArray[np.int64]
_OF_KERNELS = ("begin", "end", "context", "stream", "type", "name", "thread")
#: Copies by which data comes from the host, or goes there.
_WITH_HOST = ("memcpy HtoD", "memcpy DtoH")
#: So many of the repetitions have such a copy of their own.
_OF_THEIR_OWN = 0.9
#: Ranks of one run may differ by so many steps, as the capture cuts them.
_CUT = 2


def by_period(work: Operations, waits: pl.DataFrame) -> StepWindows | None:
    """Steps from the repeating sequence of kernels on each rank's busiest stream.

    Where every rank has a larger gap, or a hole of other work, before each k-th repetition, for one k, what repeats is
    a layer, and k make a step. It is none where each brings its own data in or out, or its host waits in each, as for a
    token. waits: thread, end of the calls in which hosts wait.
    """
    streams = {}
    for key in work.keys:
        own = work.frame(_OF_KERNELS, key)
        kernels = own.filter(pl.col("type") == "kernel").sort("begin")
        if kernels.is_empty():
            continue
        busiest = kernels.group_by("context", "stream").agg(n=pl.len()).sort("n", "stream", descending=[True, False])
        main = kernels.join(busiest.head(1), on=["context", "stream"], how="semi", maintain_order="left")
        exchanged = own.filter(pl.col("name").cast(pl.String).is_in(_WITH_HOST))["begin"].sort().to_numpy()
        waited = waits.filter(pl.col("thread").is_in(own["thread"].unique().implode()))["end"].sort().to_numpy()
        streams[key] = _Stream(main, (exchanged, waited))
    layers = _layers(streams.values())
    found = Membership(work)
    phases = _phases(streams)
    for key, stream in streams.items():
        marked = layers > 1 and stream.repetitions_a_step == layers
        starts, ends = stream.marked_steps() if marked else stream.repeated_steps(phases.get(key))
        if len(starts) >= 2:
            begun = work.frame(["begin"], key)["begin"].to_numpy()
            found.add(frame(key, starts, ends, "period"), key, by_time(begun, starts, ends))
    windows = found.windows
    if windows.is_empty():
        return None
    source = "the repeating sequence of kernels"
    if layers > 1:
        source += f", {layers} repetitions a step by {_parted(streams.values())} before each step"
    return StepWindows(StepMethod.PERIOD, source, windows, found.member)


def _layers(streams: Iterable[_Stream]) -> int:
    """Repetitions that make a step: as many on every rank, or as many on some of which others repeat whole steps.

    The last stage of a pipeline samples once a step, which parts its layers; 1 where nothing parts repetitions.
    """
    counts: dict[int, set[int]] = {}
    for stream in streams:
        if stream.repetition is not None:
            counts.setdefault(stream.repetitions_a_step, set()).add(stream.repetition.count)
    layers = max(counts, default=1)
    steps = {count // layers for count in counts.get(layers, ())} | counts.get(1, set())
    alike = counts.keys() <= {1, layers} and max(steps, default=0) - min(steps, default=0) <= _CUT
    return layers if len(counts) == 1 or alike else 1


def _phases(streams: Mapping[int, _Stream]) -> dict[int, int]:
    """Where in its repetition each rank's step begins: with the same kernel on all, where all of them repeat alike.

    That is where every rank runs dry for longest: what one alone waits for is another rank, in the midst of a step.
    """
    known = {key: stream for key, stream in streams.items() if stream.repetition is not None}
    if not known:
        return {}
    code: dict[str, int] = {}
    patterns = {
        key: np.array([code.setdefault(name, len(code)) for name in stream.pattern]) for key, stream in known.items()
    }
    first = next(iter(patterns.values()))
    if any(len(pattern) != len(first) for pattern in patterns.values()):
        return {}
    turns = {key: _occurrences(np.tile(pattern, 2), first) for key, pattern in patterns.items()}
    if not all(len(turn) for turn in turns.values()):
        return {}
    dry = [np.roll(stream.usual_gaps(), -int(turns[key][0])) for key, stream in known.items()]
    best = int(np.argmax(np.min(dry, axis=0)))
    return {key: (best + int(turn[0])) % len(first) for key, turn in turns.items()}


def _parted(streams: Iterable[_Stream]) -> str:
    return "the other work" if any(stream.holes is not None for stream in streams) else "the larger gap"


class _Stream:
    """The kernels of one stream, in time order, and what repeats in their sequence.

    exchanged: when copies between the host and the GPU begin, and when waits of the host are over, ascending.
    """

    def __init__(self, main: pl.DataFrame, exchanged: Sequence[_I64]) -> None:
        self.exchanged = exchanged
        self.begins: _I64 = main["begin"].to_numpy()
        self.ends: _I64 = main["end"].to_numpy()
        self.names = main["name"].cast(pl.String)
        self.symbols: _I64 = main["name"].rank("dense").cast(pl.Int64).to_numpy()
        self.repetition = find_repetition(self.symbols)

    def _gaps(self, repetition: Repetition) -> _I64:
        """Time for which the stream was dry before each kernel of the repetition."""
        dry = np.zeros(len(self.begins), dtype=np.int64)
        dry[1:] = self.begins[1:] - self.ends[:-1]
        return dry[repetition.first : repetition.first + repetition.length * repetition.count]

    def _marks(self) -> _I64:
        found = self.repetition
        none = np.empty(0, dtype=np.int64)
        return none if found is None or self._are_steps else step_marks(self._gaps(found), found.length)

    @cached_property
    def _are_steps(self) -> bool:
        """Whether each repetition exchanges data with the host, or is waited for: once a token, not a layer."""
        found = self.repetition
        if found is None:
            return False
        heads = self.begins[found.first : found.first + found.length * found.count : found.length]
        of = [np.searchsorted(heads, times, side="right") - 1 for times in self.exchanged]
        return any(len(np.unique(own[own >= 0])) >= _OF_THEIR_OWN * found.count for own in of)

    @cached_property
    def holes(self) -> tuple[int, _I64] | None:
        """Repetitions a step, and the index of each run's first, where other work parts runs of as many; else None.

        What follows the last run is none of its step's where the capture cuts it.
        """
        found = self.repetition
        if found is None or self._are_steps:
            return None
        heads = _occurrences(self.symbols, self.symbols[found.first : found.first + found.length])
        opens = np.flatnonzero(np.diff(heads, prepend=-found.length - 1) != found.length)
        runs = np.diff(np.append(opens, len(heads)))
        # The capture may cut the first and the last.
        inner = runs[1:-1]
        alike = len(inner) >= MIN_REPEATS and int(inner[0]) > 1 and bool((inner == inner[0]).all())
        if not alike or runs[0] > inner[0] or runs[-1] > inner[0]:
            return None
        return int(inner[0]), np.asarray(heads[opens[1:] if runs[0] < inner[0] else opens], dtype=np.int64)

    @property
    def repetitions_a_step(self) -> int:
        """Repetitions that make a step by what is between steps; 1 where nothing parts them."""
        if self.holes is not None:
            return self.holes[0]
        marks = self._marks()
        return int(marks[1] - marks[0]) // self.repetition.length if self.repetition and len(marks) else 1

    def _parted_by_work(self, heads: _I64) -> tuple[_I64, _I64]:
        """begin and finish of each step with its other work: it begins where the stream most often runs dry."""
        span = int(np.median(np.diff(heads)))
        dry = np.zeros(len(self.begins), dtype=np.int64)
        dry[1:] = self.begins[1:] - self.ends[:-1]
        inside = heads[heads >= span]
        back = int(np.argmax(np.median(dry[inside[:, None] - np.arange(span)], axis=0)))
        starts = heads[heads >= back] - back
        finish = self.ends[np.minimum(starts + span, len(self.ends)) - 1]
        finish[:-1] = self.begins[starts[1:]]
        # The last is a step if all of it is there.
        count = len(starts) if starts[-1] + span <= len(self.ends) else len(starts) - 1
        return self.begins[starts[:count]], finish[:count]

    def marked_steps(self) -> tuple[_I64, _I64]:
        """begin and finish of each step that larger gaps or other work part."""
        if self.holes is not None:
            return self._parted_by_work(self.holes[1])
        marks, found = self._marks(), self.repetition
        if found is None or not len(marks):
            return self.begins[:0], self.begins[:0]
        step = int(marks[1] - marks[0])
        whole = marks + step <= found.length * found.count
        heads = found.first + marks[whole]
        finish = self.ends[heads + step - 1]
        finish[: len(marks) - 1] = self.begins[found.first + marks[1:]][: len(heads)]
        return self.begins[heads], finish

    @property
    def pattern(self) -> list[str]:
        """The names of the kernels that repeat, once."""
        found = self.repetition
        return [] if found is None else self.names[found.first : found.first + found.length].to_list()

    def usual_gaps(self) -> npt.NDArray[np.float64]:
        """Time for which the stream is dry before each kernel of a repetition, median."""
        found = self.repetition
        if found is None:
            return np.empty(0)
        return np.asarray(np.median(self._gaps(found).reshape(found.count, found.length)[1:], axis=0))

    def repeated_steps(self, phase: int | None = None) -> tuple[_I64, _I64]:
        """begin and finish of each repetition, begun there in it, or where the stream most often runs dry."""
        found = self.repetition
        if found is None:
            return self.begins[:0], self.begins[:0]
        phase = found.first + (int(np.argmax(self.usual_gaps())) if phase is None else phase)
        heads = _occurrences(self.symbols, self.symbols[phase : phase + found.length])
        tails = heads + found.length - 1
        finish = self.ends[tails]
        follows = np.flatnonzero(heads[1:] == tails[:-1] + 1)
        finish[follows] = self.begins[heads[follows + 1]]
        return self.begins[heads], finish


def _occurrences(symbols: _I64, pattern: _I64) -> _I64:
    """Indices where the whole pattern occurs."""
    values, counts = np.unique(pattern, return_counts=True)
    anchor = int(np.flatnonzero(pattern == values[np.argmin(counts)])[0])
    heads = np.flatnonzero(symbols == pattern[anchor]) - anchor
    heads = heads[(heads >= 0) & (heads + len(pattern) <= len(symbols))]
    windows = np.lib.stride_tricks.sliding_window_view(symbols, len(pattern))
    heads = heads[np.asarray((windows[heads] == pattern).all(axis=1), dtype=np.bool_)]
    apart = np.diff(heads, prepend=-len(pattern)) >= len(pattern)
    return np.asarray(heads[apart], dtype=np.int64)
