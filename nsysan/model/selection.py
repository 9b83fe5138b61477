"""A part of a run: from and to a time, and some steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.times import Shift
from nsysan.model.steps.numbering import FIRST, Steps
from nsysan.model.steps.populations import DEFAULT, Choice
from nsysan.trace.trace import Trace

#: Columns of windows that tell why a step does not count.
_REASONS = ("left_out", "excluded")
#: The shapes of kernels are read along in traces of at most so many bytes.
_SHAPES_BYTES = 500_000_000


@dataclass(frozen=True)
class Selection:
    """What of a run to analyse; None: all of it.

    begin, end: ns from `origin`; GPU work that starts outside is not read. origin: ns since 1970, by default where each
    trace's session starts. steps: first and last number, both included. choice: the population to head with.
    shapes: whether the shapes of kernels are read along with them; whoever wants them else reads them once more.
    """

    begin: int | None = None
    end: int | None = None
    steps: tuple[int, int] | None = None
    origin: int | None = None
    choice: Choice = DEFAULT
    shapes: bool = False

    @property
    def in_time(self) -> bool:
        """Whether it is a part by time."""
        return (self.begin, self.end) != (None, None)

    @property
    def span(self) -> str:
        """The time from begin to end in words."""
        said = [f"{word} {ns / 1e9:g} s" for word, ns in (("from", self.begin), ("to", self.end)) if ns is not None]
        return " ".join(said)

    def apply_to(self, trace: Trace) -> None:
        """Let the trace read no more than is needed."""
        started = trace.session_start_utc_ns if self.origin is not None else None
        later = 0 if self.origin is None or started is None else self.origin - started
        bounds = (None if bound is None else bound + later for bound in (self.begin, self.end))
        # In larger traces most kernels are in steps that no page has room for.
        trace.limit(*bounds, shapes=self.shapes and trace.path.stat().st_size <= _SHAPES_BYTES)

    def of_steps(self, steps: Steps) -> Steps:
        """The steps asked for, and those at a cut not among the steady ones; NsysanError if none is left."""
        windows = steps.windows
        notes = list(steps.notes)
        if self.in_time:
            notes.append(f"read {self.span} of the session, and numbered from the first that was read")
        if self.begin is not None:
            # The first that was read is not the capture's.
            windows = windows.with_columns(
                pl.when((pl.col(name) != FIRST).fill_null(True)).then(name).alias(name) for name in _REASONS
            )
        cuts = [(self.begin, pl.min("step"), "--from"), (self.end, pl.max("step"), "--to")]
        for bound, number, option in cuts:
            if bound is not None:
                # A rank may have been cut a step before the others.
                at_cut = pl.col("step").is_in(windows.group_by("rank_key").agg(number)["step"].unique().to_list())
                why = pl.lit(f"may be cut by {option}")
                windows = windows.with_columns(
                    pl.when(at_cut).then(why).otherwise(name).alias(name) for name in _REASONS
                )
        steps = replace(steps, notes=notes)
        if self.steps is None:
            return replace(steps, windows=windows)
        first, last = self.steps
        chosen = windows.filter(pl.col("step").is_between(first, last))
        if chosen.is_empty():
            most = int(windows["step"].max())  # type: ignore[arg-type]
            raise NsysanError(f"no step {first}:{last} here; steps: 0:{most}", ExitCode.NO_STEPS)
        return replace(
            steps,
            windows=chosen,
            membership=steps.membership.filter(pl.col("step").is_between(first, last)),
            passing=steps.passing.filter(pl.col("step").is_between(first, last)),
            notes=[*steps.notes, f"steps {first} to {last} of {windows['step'].n_unique()}, as asked for"],
        )

    def of_work(
        self, work: pl.DataFrame, in_step: npt.NDArray[np.bool_], windows: pl.DataFrame, shift: Shift
    ) -> npt.NDArray[np.int64]:
        """Which of the operations (begin, end) can matter to these windows, to whose clock `shift` leads."""
        if windows.is_empty():
            return np.flatnonzero(in_step)
        begin, finish = map(shift.back, windows.select(pl.min("begin"), pl.max("finish")).row(0))
        # The operation that ends the last step's idle time begins where the window ends.
        near = (work["end"].to_numpy() > begin) & (work["begin"].to_numpy() <= finish)
        return np.flatnonzero(near | in_step)


#: All of a run.
WHOLE = Selection()
