"""One analysed run: its model, and the ledger of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property

import polars as pl

from nsysan.metrics.ledger import build_ledger
from nsysan.model.narrow import WHOLE, Narrow
from nsysan.model.run import Model, build_model
from nsysan.trace.export import Trace


class Run(Model):
    """The model of a run (see there for its frames), with the ledger that all other figures rest on."""

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The ledger per step and rank (see metrics.ledger.build_ledger)."""
        return build_ledger(self.work, self.windows)


def analyze(
    traces: Trace | Sequence[Trace], steps: str | None = None, *, use_nvtx: bool = True, narrow: Narrow = WHOLE
) -> Run:
    """Analyse a run from its report, or from its reports; arguments and errors are those of build_model."""
    model = build_model(traces, steps, use_nvtx=use_nvtx, narrow=narrow)
    return Run(**{field.name: getattr(model, field.name) for field in fields(model)})
