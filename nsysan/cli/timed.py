"""--timings: where the time and the memory of a command went, for whoever wants it faster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from importlib import import_module
from typing import TypeVar

import click

from nsysan import timings
from nsysan.text import counted, table
from nsysan.timings import IDLE, REST, STARTED, Spent, Timings

_Command = TypeVar("_Command", bound=Callable[..., None])
_HELP = (
    "Say on stderr, after the run, where its time and memory went: by stage seconds by the clock and of processors, "
    "rows, and the most memory; of processes that read traces (--jobs) too."
)
#: What every report needs: loaded first, so that no stage has it in its time.
_LOADED = ("report.build", "run.analyze", "workers")
#: Tables of fewer rows are told together.
_FEW_ROWS = 1_000
_READ = "read "
_HEADER = ("stage", "seconds", "of CPU", "rows", "MB at most")


def timed(command: _Command) -> _Command:
    """The option --timings."""

    @wraps(command)
    def measured(*args: object, timings: bool, **options: object) -> None:
        if timings:
            _measured(lambda: command(*args, **options))
        else:
            command(*args, **options)

    option: Callable[[_Command], _Command] = click.option("--timings", is_flag=True, help=_HELP)
    return option(measured)  # type: ignore[arg-type]


def _measured(run: Callable[[], None]) -> None:
    timings.begin()
    try:
        with timings.stage(REST):
            with timings.stage("imports"):
                for module in _LOADED:
                    import_module(f"nsysan.{module}")
            run()
    finally:
        found = timings.taken()
    click.echo("\n".join(lines(found)), err=True)


def lines(found: Timings) -> list[str]:
    """The table: stages in the order in which they began, what is of none, the sum; then of the processes together."""
    shown = [*table(_HEADER, _rows(found.stages, found.summed))]
    if found.processes:
        together = _together(found.processes)
        peaks = [own.summed.peak or 0 for own in found.processes]
        head = (f"{counted(len(peaks), 'process', 'processes')} that read traces", *_HEADER[1:])
        shown += ["", *table(head, _rows(together.stages, together.summed))]
        shown += [
            "",
            f"Of processes: seconds and rows are sums, memory is that of the largest. All of them and this one: "
            f"{_mb(sum(peaks) + (found.summed.peak or 0))} MB, if each had its most at once.",
        ]
    return shown


def _together(processes: Iterable[Timings]) -> Timings:
    """The stages of processes, summed; memory is that of the largest."""
    whole = Timings()
    for process in processes:
        for name, spent in process.stages.items():
            _add(whole.stages, name, spent)
    return whole


def _fewer(stages: Mapping[str, Spent]) -> dict[str, Spent]:
    """The stages with those that read small tables as one."""
    found: dict[str, Spent] = {}
    for name, spent in stages.items():
        small = name.startswith(_READ) and spent.rows is not None and spent.rows < _FEW_ROWS and not spent.beside
        _add(found, "read small tables" if small else name, spent)
    return found


def _add(stages: dict[str, Spent], name: str, more: Spent) -> None:
    own = stages.setdefault(name, Spent(beside=more.beside))
    own.wall += more.wall
    own.cpu += more.cpu
    own.rows = more.rows if own.rows is None else own.rows + (more.rows or 0)
    own.peak = more.peak if own.peak is None else max(own.peak, more.peak or 0)


def _rows(stages: Mapping[str, Spent], whole: Spent) -> list[tuple[str, ...]]:
    stages, last = _fewer(stages), (REST, IDLE)
    order = [STARTED, *(name for name in stages if name not in (STARTED, *last)), *last]
    rows = [_row(name, stages[name]) for name in order if name in stages]
    return [*rows, _row("in all", whole)]


def _row(name: str, spent: Spent) -> tuple[str, ...]:
    cpu = "" if spent.beside else f"{spent.cpu / 1e9:.3f}"
    return name, f"{spent.wall / 1e9:.3f}", cpu, "" if spent.rows is None else f"{spent.rows:,}", _mb(spent.peak)


def _mb(peak: int | None) -> str:
    return "" if peak is None else f"{peak / 1e6:,.0f}"
