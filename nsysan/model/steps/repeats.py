"""Steps from the repeating sequence of kernels (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.times import by_time
from nsysan.model.operations import Operations
from nsysan.model.steps.period import Repetition, find_repetition, step_marks
from nsysan.model.steps.step_windows import Membership, StepMethod, StepWindows, frame

_I64 = npt.NDArray[np.int64]
_OF_KERNELS = ("begin", "end", "context", "stream", "type", "name")


def by_period(work: Operations) -> StepWindows | None:
    """Steps from the repeating sequence of kernels on each rank's busiest stream.

    Where every rank has a larger gap before each k-th repetition, for one k, what repeats is a layer, and k make
    a step.
    """
    streams = {}
    for key in work.keys:
        kernels = work.frame(_OF_KERNELS, key).filter(pl.col("type") == "kernel").sort("begin")
        if kernels.is_empty():
            continue
        busiest = kernels.group_by("context", "stream").agg(n=pl.len()).sort("n", "stream", descending=[True, False])
        streams[key] = _Stream(
            kernels.join(busiest.head(1), on=["context", "stream"], how="semi", maintain_order="left")
        )
    repeats = {stream.repetitions_a_step for stream in streams.values() if stream.repetition is not None}
    layers = repeats.pop() if len(repeats) == 1 else 1
    found = Membership(work)
    for key, stream in streams.items():
        starts, ends = stream.marked_steps() if layers > 1 else stream.repeated_steps()
        if len(starts) >= 2:
            begun = work.frame(["begin"], key)["begin"].to_numpy()
            found.add(frame(key, starts, ends, "period"), key, by_time(begun, starts, ends))
    windows = found.windows
    if windows.is_empty():
        return None
    source = "the repeating sequence of kernels"
    if layers > 1:
        source += f", {layers} repetitions a step by the larger gap before each step"
    return StepWindows(StepMethod.PERIOD, source, windows, found.member)


class _Stream:
    """The kernels of one stream, in time order, and what repeats in their sequence."""

    def __init__(self, main: pl.DataFrame) -> None:
        self.begins: _I64 = main["begin"].to_numpy()
        self.ends: _I64 = main["end"].to_numpy()
        self.symbols: _I64 = main["name"].rank("dense").cast(pl.Int64).to_numpy()
        self.repetition = find_repetition(self.symbols)

    def _gaps(self, repetition: Repetition) -> _I64:
        """Time for which the stream was dry before each kernel of the repetition."""
        dry = np.zeros(len(self.begins), dtype=np.int64)
        dry[1:] = self.begins[1:] - self.ends[:-1]
        return dry[repetition.first : repetition.first + repetition.length * repetition.count]

    def _marks(self) -> _I64:
        found = self.repetition
        return np.empty(0, dtype=np.int64) if found is None else step_marks(self._gaps(found), found.length)

    @property
    def repetitions_a_step(self) -> int:
        """Repetitions that make a step by the larger gaps between steps; 1 where none stand out."""
        marks = self._marks()
        return int(marks[1] - marks[0]) // self.repetition.length if self.repetition and len(marks) else 1

    def marked_steps(self) -> tuple[_I64, _I64]:
        """begin and finish of each step that larger gaps part."""
        marks, found = self._marks(), self.repetition
        if found is None or not len(marks):
            return self.begins[:0], self.begins[:0]
        step = int(marks[1] - marks[0])
        whole = marks + step <= found.length * found.count
        heads = found.first + marks[whole]
        finish = self.ends[heads + step - 1]
        finish[: len(marks) - 1] = self.begins[found.first + marks[1:]][: len(heads)]
        return self.begins[heads], finish

    def repeated_steps(self) -> tuple[_I64, _I64]:
        """begin and finish of each repetition, begun where the stream most often runs dry."""
        found = self.repetition
        if found is None:
            return self.begins[:0], self.begins[:0]
        gaps = np.median(self._gaps(found).reshape(found.count, found.length)[1:], axis=0)
        phase = found.first + int(np.argmax(gaps))
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
