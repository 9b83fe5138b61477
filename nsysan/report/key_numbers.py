"""The three numbers of a report that matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsysan.diagnosis.late_words import by_host, outermost, ranks_of, ranks_words
from nsysan.diagnosis.path_told import of_hosts
from nsysan.diagnosis.pipelines import WAITING
from nsysan.diagnosis.verdict import DOMINANT, OF_PATH, UNSPLIT, VerdictKind, on_path
from nsysan.diagnosis.verdict_says import skew_share
from nsysan.metrics.lines import ROW, Line
from nsysan.metrics.scenarios import NOTABLE
from nsysan.replay.results import MAX_ERROR
from nsysan.report.report import Report, visible_lines
from nsysan.text import counted, duration, pct, percent, rough


@dataclass(frozen=True)
class KeyNumber:
    """One number, what it is of, and the ledger line, or the kind of the critical path, that has its colour, if any."""

    value: str
    of: str
    shows: Line | VerdictKind | None = None


def key_numbers(report: Report) -> list[KeyNumber]:
    """The period, what bounds it, and what could be saved; one number where no step is a steady decode step."""
    period = report.headline["period_ns"]
    if not period:
        return [KeyNumber(str(report.steps.count), "steps, none of them a steady decode step")]
    return [_whole(report, period), _bound(report, report.paced_period or period), _saving(report)]


def _whole(report: Report, period: int) -> KeyNumber:
    steady = counted(len(report.steps.steady), "steady step")
    without = report.diagnosis.untraced
    if without is not None:
        return KeyNumber(
            duration(without.period), f"per decode step without nsys, as given; {duration(period)} as traced"
        )
    told = report.diagnosis
    if told.summed and told.what_if is not None:
        of = f"per decode step, over {len(told.summed)} kinds of them; {duration(period)} of {told.headline}"
        return KeyNumber(duration(told.what_if.period), of)
    ranks = f", then over {counted(len(report.per_rank), 'rank')}" if len(report.per_rank) > 1 else ""
    return KeyNumber(duration(period), f"per decode step: the median over {steady}{ranks}{_mean(report)}")


def _mean(report: Report) -> str:
    """The mean, where it is another."""
    spread = report.replicas[report.replica].period
    if spread is None or abs(spread.mean - spread.p50) < NOTABLE * spread.p50:
        return ""
    return f"; the mean is {duration(spread.mean)}"


def _bound(report: Report, period: int) -> KeyNumber:
    bubble = report.diagnosis.bubble
    if bubble is not None and bubble.share is not None and report.diagnosis.verdict.kind == VerdictKind.PIPELINE:
        return KeyNumber(pct(bubble.share), f"of the ranks' time is spent {WAITING}", Line.WAIT)
    verdict = report.diagnosis.verdict
    shares = verdict.shares
    if verdict.kind == VerdictKind.SKEW:
        late = outermost(report.diagnosis.late)
        who = f"for {ranks_words(ranks_of(late))}" if late else "for one rank or another"
        share = shares[verdict.kind] or 0.0
        if late and report.diagnosis.what_if is not None:
            share = skew_share(late, report.diagnosis.what_if)
        lost = f"of a step is lost to waiting {who} ({rough(share * period)})"
        # Where the path is the hosts', so is what the late ones cost.
        if late and all(map(by_host, late)) and (shares.get(VerdictKind.HOST) or 0.0) > DOMINANT:
            path = _of_path(report, VerdictKind.HOST)
            return replace(path, of=f"{path.of}; {pct(share)} {lost}")
        return KeyNumber(pct(share), lost, Line.WAIT)
    if verdict.kind == VerdictKind.INCONCLUSIVE:
        return _missing(report, period)
    if any(shares.get(kind) for kind in OF_PATH):
        return _of_path(report, max(OF_PATH, key=lambda kind: shares.get(kind) or 0.0))
    return _largest(report, period)


def _of_path(report: Report, kind: VerdictKind) -> KeyNumber:
    """What of the critical path is of the kind."""
    told = report.diagnosis
    share = of_hosts(told) if kind == VerdictKind.HOST else told.verdict.shares[kind] or 0.0
    return KeyNumber(pct(share), f"of its critical path is {on_path(kind)}", kind)


def _missing(report: Report, period: int) -> KeyNumber:
    """What keeps anything from being concluded: no share of what is not concluded."""
    told, what = report.diagnosis, report.diagnosis.what_if
    unsplit = told.verdict.shares.get("unsplit") or 0.0
    if unsplit > UNSPLIT:
        return KeyNumber(pct(unsplit), f"of it is {ROW[Line.COMM_UNSPLIT].title}", Line.COMM_UNSPLIT)
    if what is not None and (what.error or 0) > MAX_ERROR:
        return KeyNumber(pct(what.error or 0), "is what a replay of the steps misses their period by")
    return _largest(report, period)


def _largest(report: Report, period: int) -> KeyNumber:
    lines = {line: report.headline[line.column] or 0 for line in visible_lines(report)}
    largest = max(lines, key=lambda name: lines[name])
    return KeyNumber(percent(lines[largest], period), f"of it is {ROW[largest].title}", largest)


def _saving(report: Report) -> KeyNumber:
    """What the thing to do next gains."""
    step, what = report.next_step, report.diagnosis.what_if
    gains = step.gains.replace(" a step (", " (")
    if step.finding is None and gains:
        return KeyNumber("not known", f"what there is to gain: {gains}")
    if gains and not step.known:
        return KeyNumber(gains, "is the ceiling: what to do next gains an unknown part of it")
    if gains and step.finding is not None:
        if step.finding.in_throughput:
            number, _, of = step.gains.partition(" times ")
            return KeyNumber(f"{number} x", f"{of}, {step.finding.later}")
        return KeyNumber(gains, f"of a step to gain: {step.finding.title}")
    if what is None or not what.told:
        return KeyNumber("not known", "what could be gained: this trace cannot tell (see Evidence)")
    of = "" if step.finding is None else f": {step.finding.title}"
    return KeyNumber("not known", f"what there is to gain, as no trace tells it{of}")
