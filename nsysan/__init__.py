"""nsysan: the Nsight Systems trace analyzer for tensor-parallel inference.

import nsysan

run = nsysan.analyze(nsysan.open_trace("trace.sqlite"))
run.ledger.to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsysan._errors import ExitCode, NsysanError
from nsysan._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nsysan.model.selection import Selection
    from nsysan.run.run import Run
    from nsysan.trace.trace import Trace

__all__ = ["ExitCode", "NsysanError", "__version__", "analyze", "open_trace"]


def open_trace(path: str | Path) -> Trace:
    """Open an nsys SQLite export, read-only; NsysanError says what is wrong with any other file."""
    from pathlib import Path

    from nsysan.trace.trace import Trace

    return Trace(Path(path))


def analyze(
    traces: Trace | Path | Sequence[Trace | Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    selection: Selection | None = None,
) -> Run:
    """Find ranks, steps and collectives of a trace, or of a run's traces (see nsysan.run.analyze)."""
    from nsysan.model.selection import WHOLE
    from nsysan.run.analyze import analyze

    return analyze(traces, steps, use_nvtx=use_nvtx, selection=selection or WHOLE)
