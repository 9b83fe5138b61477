"""A part of a run: from and to a time, and some steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.steps import Steps
from nsysan.trace.export import Trace


@dataclass(frozen=True)
class Narrow:
    """What of a run to analyse; None: all of it.

    begin, end: ns from the start of each trace's session; GPU work that starts outside is not read.
    steps: first and last number, both included.
    """

    begin: int | None = None
    end: int | None = None
    steps: tuple[int, int] | None = None

    def apply_to(self, trace: Trace) -> None:
        """Let the trace read no more than is needed."""
        trace.narrow(self.begin, self.end)

    def of_steps(self, steps: Steps) -> Steps:
        """The steps asked for, and those at a cut not among the steady ones; NsysanError if none is left."""
        windows = steps.windows
        cuts = [(self.begin, pl.min("step"), "--from"), (self.end, pl.max("step"), "--to")]
        for bound, number, option in cuts:
            if bound is not None:
                at_cut = (pl.col("step") == number) & pl.col("excluded").is_null()
                excluded = pl.when(at_cut).then(pl.lit(f"may be cut by {option}")).otherwise("excluded")
                windows = windows.with_columns(excluded=excluded)
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
        self, work: pl.DataFrame, in_step: npt.NDArray[np.bool_], windows: pl.DataFrame, offset: int
    ) -> npt.NDArray[np.int64] | None:
        """Which of the operations (begin, end, on a clock that is `offset` ns behind) can matter to these windows.

        None for all.
        """
        if self.steps is None:
            return None
        begin, finish = windows.select(pl.min("begin") - offset, pl.max("finish") - offset).row(0)
        # The operation that ends the last step's idle time begins where the window ends.
        near = (work["end"].to_numpy() > begin) & (work["begin"].to_numpy() <= finish)
        return np.flatnonzero(near | in_step)


#: All of a run.
WHOLE = Narrow()
