"""What hosts do in a step, on the page, where their calls into the operating system were traced."""

from __future__ import annotations

from nsysan.page.charts import entitled
from nsysan.page.elements import plot, section, table
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS
from nsysan.replay.results import HostTime
from nsysan.report.report import Report
from nsysan.text import percent, plain, us

_NOTE = (
    "What the thread that launches most of a rank's work does in a step, by its calls into the operating system; mean "
    "over the steps that are replayed. Waits are for others (another thread, process, file or socket), a sleep is the "
    "host's own. Calls of less than 1 µs are not traced; a loop that asks memory without a call shows as work. What "
    "each wait is for is on the timeline, where that is told."
)
#: What a host does, its field of HostTime, and whose colour it has: that of its lane.
_PARTS = (
    ("works", "works", "nvtx"),
    ("CUDA calls", "cuda", "launch"),
    ("waits", "waits", "host_wait"),
    ("sleeps", "sleeps", "host_sleep"),
)
_HEAD = (
    "rank",
    *(f"{name}, µs" for name, _, _ in _PARTS),
    "share waited",
    "of waits not told what for, µs",
    "mostly in",
)


def hosts_section(plots: dict[str, str], report: Report) -> str:
    """HTML: the section; nothing where no host's calls into the operating system are in the trace."""
    pace, ranks = report.diagnosis.pace, {rank.rank for rank in report.ranks}
    hosts = [host for host in (() if pace is None else pace.hosts) if host.rank in ranks]
    if not hosts:
        return ""
    rows = [_row(host) for host in hosts]
    most = max(hosts, key=lambda host: host.waits + host.sleeps)
    share = percent(most.waits + most.sleeps, _whole(most))
    return section(
        "Hosts",
        _NOTE,
        plot(plots, "host-times", _bars(hosts)),
        table(_HEAD, rows, text=(0, len(_HEAD) - 1), caption="What each rank's host does in a step"),
        anchor="hosts",
        folded=f"How much of a step each host works, is in CUDA calls, waits and sleeps: rank {most.rank}'s waits or "
        f"sleeps most, {share} of it",
    )


def _whole(host: HostTime) -> int:
    return host.cuda + host.works + host.waits + host.sleeps


def _row(host: HostTime) -> list[str]:
    parts = [us(getattr(host, part)) for _, part, _ in _PARTS]
    return [str(host.rank), *parts, percent(host.waits, _whole(host)), us(host.untold), plain(host.call, 60) or "-"]


def _bars(hosts: list[HostTime]) -> Figure:
    figure = Figure()
    shown = [row for row in _PARTS if any(getattr(host, row[1]) for host in hosts)]
    for name, part, line in shown:
        figure.add_bar(
            y=[f"rank {host.rank}" for host in hosts],
            x=[getattr(host, part) / 1e3 for host in hosts],
            orientation="h",
            name=name,
            marker={"color": COLOURS[line]},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + name + "</extra>",
        )
    figure.update_layout(barmode="stack", height=110 + 34 * len(hosts), legend={"traceorder": "normal"})
    entitled(figure, "What hosts do in a step, by rank (mean)")
    figure.update_xaxes(title="µs per step")
    return figure.update_yaxes(autorange="reversed")
