"""An answer as a table for people."""

from __future__ import annotations

from nsysan.ask.answered import Answer, Asked
from nsysan.text import counted, numbered, pct, percent, plain, table, us

_NAMES = 3


def to_text(answer: Answer, *, standard: bool, width: int | None = None) -> str:
    """The table; standard: with the what-ifs of a report."""
    steps = counted(answer.replayed, "step")
    of = ", all steady ones" if answer.replayed == answer.steady else f" of {counted(answer.steady, 'steady one')}"
    kinds = f"; periods are over {answer.kinds} kinds of decode steps" if answer.kinds > 1 else ""
    lines = [f"Replica {answer.replica}, {numbered('rank', answer.ranks)}: {steps} replayed{of}{kinds}", ""]
    rows = [("as measured", us(answer.traced), "", "")]
    if answer.hosts is not None and answer.gaps is not None:
        rows.append(("without nsys", us(answer.period), "", ""))
    rows += [_row(answer, one.text, one.period, one.bounds) for one in answer.asked]
    if answer.together is not None:
        rows.append(_row(answer, answer.together.text, answer.together.period, answer.together.bounds))
    if standard:
        rows += [_row(answer, name, ns, answer.bounds.get(name)) for name, ns in answer.standard.items()]
        rows += [_row(answer, f"rank[{rank}]=level", ns, None) for rank, ns in answer.ranks_right.items()]
    lines += table(("", "period, µs", "saves, µs", ""), rows, width=width)
    lines += [
        "",
        f"replay_error {pct(answer.error)}: so far off is a replay with usual delays from the measured steps",
    ]
    if answer.hosts is not None and answer.gaps is not None:
        lines.append(
            f"without nsys, hosts take {pct(answer.hosts)} of their traced time, gaps between operations "
            f"{pct(answer.gaps)}; savings are of that step"
        )
    if answer.unknown:
        lines.append(f"no saving can be told: {answer.unknown}")
    if answer.unknown_hosts:
        lines.append(answer.unknown_hosts)
    if any(one.bounds for one in answer.asked) or (standard and answer.bounds):
        lines.append(
            "at least: the trace does not tell whether hosts, or streams, wait for each other; the most stands behind"
        )
    lines += [line for one in answer.asked if (line := _changes(one))]
    return "\n".join(lines)


def _row(answer: Answer, text: str, period: int | None, bounds: tuple[int, int] | None) -> tuple[str, str, str, str]:
    shown = plain(text, 60)
    if period is None:
        return shown, "-", "-", "-"
    saves = answer.period - period
    if bounds is None:
        return shown, us(period), us(saves), percent(saves, answer.period)
    return shown, us(period), f"at least {us(saves)}, {us(answer.period - bounds[0])}", percent(saves, answer.period)


def _changes(one: Asked) -> str:
    if not one.names or one.per_step is None:
        return ""
    more = f" and {len(one.names) - _NAMES} more" if len(one.names) > _NAMES else ""
    shown = ", ".join(plain(name, 60) for name in one.names[:_NAMES])
    return f"{plain(one.text, 60)} changes {one.per_step:.3g} operations a step on each rank: {shown}{more}"
