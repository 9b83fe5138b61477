"""The tables of the page, beside its figures."""

from __future__ import annotations

from functools import partial

import polars as pl

from nsysan.diagnosis.collectives import POPULATION, several_populations
from nsysan.diagnosis.verdict import THRESHOLDS
from nsysan.metrics.causes import GAPS, GapCause
from nsysan.metrics.lines import BESIDE
from nsysan.metrics.scenarios import NOTABLE
from nsysan.page.elements import safe
from nsysan.page.elements import table as _table
from nsysan.page.finding_anchor import finding_anchor
from nsysan.page.glossary import HEADS, STATUS
from nsysan.report.nccl_text import algorithm_by_size
from nsysan.report.report import Report, visible_lines
from nsysan.report.sentences import expectation_sentence
from nsysan.text import duration, number, pct, pct_limit, percent, plain, sentence, us

#: More rows than this are for the JSON.
MAX_ROWS = 400
table = partial(_table, terms=HEADS)


def ledger(report: Report) -> str:
    """Medians per rank: us, and shares of the period."""
    lines = ["period", *visible_lines(report), *BESIDE]
    rows, shares = [], []
    for row in report.per_rank.iter_rows(named=True):
        rows.append([f"rank {row['rank']}", *(us(row[f"{line}_ns"]) for line in lines)])
        shares.append([f"rank {row['rank']}", *(percent(row[f"{line}_ns"], row["period_ns"]) for line in lines[1:])])
    marks = [f'data-rank="{rank}"' for rank in report.per_rank["rank"]]
    own = table(["rank", *lines], rows, caption="Ledger, µs per step", marks=marks)
    of_it = table(["rank", *lines[1:]], shares, caption="Ledger, share of the rank's period", marks=marks)
    return f'<div class="pair"><div>{own}</div><div>{of_it}</div></div>'


def lateness(report: Report) -> str:
    """Waiting and wire of each rank's calls, and what its lateness costs."""
    caused = report.diagnosis.caused.filter(pl.col("step").is_in(report.steps.steady))
    costs = dict(caused.group_by("rank").agg(pl.median("ns")).iter_rows())
    header = ["rank", "costs the others", "last to arrive", *(f"{w} {q}" for w in ("wait", "wire") for q in _QUANTILES)]
    rows = [
        [
            f"rank {s.rank}",
            us(costs.get(s.rank)),
            pct(s.last_share),
            *(us(values[q]) for values in (s.wait, s.wire) for q in _QUANTILES),
            step_link(s.worst_wait_step, s.rank),
            step_link(s.worst_wire_step, s.rank),
        ]
        for s in report.diagnosis.spreads
    ]
    marks = [f'data-rank="{s.rank}"' for s in report.diagnosis.spreads]
    return table(
        [*header, "most wait in", "most wire in"],
        rows,
        raw=(len(header), len(header) + 1),
        caption="What each rank costs the others, µs per step (median); share of the calls to which it came last; "
        "waiting and wire, µs per call",
        marks=marks,
    )


_QUANTILES = ("p50", "p95", "p99", "max")


def step_link(step: int, rank: int | None = None) -> str:
    """HTML: a step's number, which shows the step in the timeline."""
    which = "" if rank is None else f"&amp;rank={rank}"
    return f'<a href="#step={step}{which}">step {step}</a>'


def slowest(report: Report) -> str:
    """The slowest steps, and what was different in them."""
    rows = [
        [
            step_link(o.step, o.rank),
            plain(report.steps.labels[o.step], 60),
            duration(o.period),
            us(o.excess),
            o.line or "cannot be told",
            "-" if o.rank is None else f"rank {o.rank}",
            o.cause or "-",
            us(o.growth),
            "-" if o.call is None else str(o.call),
            "-" if o.call is None else us(o.lost_at_call),
        ]
        for o in report.diagnosis.outliers
        if o.excess >= NOTABLE * (o.period - o.excess)
    ]
    header = ["step", "range", "period", "over the median, µs", "line that grew most", "on", "cause", "grew by, µs"]
    header += ["collective that lost most", "lost there, µs"]
    caption = f"Slowest steps: those {pct_limit(NOTABLE)} or more over the median"
    return table(header, rows, text=(0, 1), raw=(0,), caption=caption) if rows else _STEADY


_STEADY = f"<p>No steady step is {pct_limit(NOTABLE)} or more over the median.</p>"


def steps(report: Report) -> str:
    """Every step: its period, what it is made of (medians over the ranks), and why it is left out, if it is."""
    lines = visible_lines(report)
    named = [f"{line}_ns" for line in ("period", *lines)]
    medians = report.per_step.group_by("step").agg(pl.col(named).median()).sort("step")
    rows = []
    for row in medians.head(MAX_ROWS).iter_rows(named=True):
        step = int(row["step"])
        figures = [us(row[name]) for name in named]
        rows.append(
            [step_link(step), plain(report.steps.labels[step], 60), *figures, report.steps.excluded.get(step, "")]
        )
    left = f" (the first {MAX_ROWS} of {len(medians)}; the JSON has all)" if len(medians) > MAX_ROWS else ""
    header = ["step", "range", "period", *lines, "left out of the medians"]
    body = table(
        header, rows, text=(0, 1, len(header) - 1), raw=(0,), caption=f"All steps, µs, median over the ranks{left}"
    )
    return f"<details><summary>All {len(medians)} steps</summary>{body}</details>"


def left_out(report: Report) -> str:
    """The steps that do not count, with the reason."""
    excluded = list(report.steps.excluded.items())[:MAX_ROWS]
    rows = [[step_link(step), plain(report.steps.labels[step], 60), reason] for step, reason in excluded]
    head = ["step", "range", "reason"]
    return table(head, rows, text=(0, 1, 2), raw=(0,), caption="Left out of the medians") if rows else ""


def gaps(report: Report) -> str:
    """Idle time by cause and rank."""
    found = report.diagnosis.gaps.filter(pl.col("ns") > 0)
    ns = {(rank, cause): value for rank, cause, value in found.select("rank", "cause", "ns").iter_rows()}
    ranks = [rank.rank for rank in report.ranks]
    causes = [cause for cause in GapCause if cause in set(found["cause"])]
    rows = [[cause.words, *(us(ns.get((rank, cause), 0)) for rank in ranks), GAPS[cause].meaning] for cause in causes]
    header = ["cause", *(f"rank {rank}" for rank in ranks), "meaning"]
    last = len(header) - 1
    return table(header, rows, text=(0, last), wrap=last, caption="Idle, µs per step") if rows else ""


def collectives(report: Report) -> str:
    """One row a family of collectives, then what is named like one but is in no catalogue."""
    header = ["kernel", "kind", "size", "ranks", "calls", "after last arrival p50", "after p99"]
    header += ["wait p50", "wait p99", "floor", "p50 over floor", "algbw GB/s", "busbw GB/s", "of peak"]
    header += ["matched", "unmatched", "rejected"]
    chosen = algorithm_by_size(report.algorithms)
    header += ["algorithm"] if chosen else []
    several = several_populations(report.collectives)
    header += [POPULATION] if several else []
    rows = []
    for family in report.collectives:
        spread = [us(v[q]) if v else "-" for v in (family.wire, family.wait) for q in ("p50", "p99")]
        verdicts = map(str, (family.matched, family.unmatched, family.rejected))
        speeds = ["-" if gbps is None else f"{gbps:.3g}" for gbps in (family.algbw, family.busbw)]
        share = "-" if family.peak_share is None else pct(family.peak_share)
        told = [plain(family.name, 80), family.kind or family.op_class, family.size_words]
        told += [str(family.ranks), str(family.count)]
        own = (family.kind, family.message_bytes) if family.library == "NCCL" else (None, None)
        by = [chosen.get(own, "-")] if chosen else []
        by += [family.steps] if several else []
        rows.append([*told, *spread, us(family.floor), us(family.excess), *speeds, share, *verdicts, *by])
    rows += [
        [plain(k.name, 80), "not in the catalogue", "-", "-", str(k.calls), *["-"] * (len(header) - 5)]
        for k in report.lookalikes
    ]
    return table(header, rows, text=(0, 1), wrap=0, caption="Collectives, µs per rank and call") if rows else ""


def counters(report: Report) -> str:
    """The GPU counters over the steady steps, a row each."""
    parts = ("steps", "in collectives", "after last arrival", "outside")
    header = ["rank", "counter", "unit", *(f"{part}: {what}" for part in parts for what in ("mean", "peak", "samples"))]
    rows = []
    for counter in report.counters:
        figures_of = (counter.steps, counter.in_collectives, counter.in_transfer, counter.outside)
        cells = [cell for part in figures_of for cell in (number(part.mean), number(part.peak), f"{part.samples:,}")]
        rows.append([f"rank {counter.rank}", counter.metric, counter.unit or "", *cells])
    return table(header, rows, text=(0, 1, 2), caption="GPU counters over the steady steps")


def counters_by_step(report: Report) -> str:
    """The GPU counters of each step: mean (median over the ranks) and peak (largest of the ranks)."""
    told = pl.concat([c.per_step.select("step", "metric", "mean", "peak") for c in report.counters])
    metrics = list(dict.fromkeys(counter.metric for counter in report.counters))
    rows = []
    steps = told["step"].unique(maintain_order=True)
    shown = told.filter(pl.col("step").is_in(steps.head(MAX_ROWS).implode()))
    for (step,), own in shown.partition_by("step", as_dict=True, maintain_order=True).items():
        found = {m: of for (m,), of in own.partition_by("metric", as_dict=True).items()}
        cells = [
            f"{_shown(found[m]['mean'].median())} ({_shown(found[m]['peak'].max())})" if m in found else "-"
            for m in metrics
        ]
        rows.append([step_link(int(str(step))), *cells])
    body = table(["step", *metrics], rows, raw=(0,), caption="GPU counters by step: mean (peak)")
    return f"<details><summary>GPU counters of {len(steps)} steps</summary>{body}</details>"


def _shown(value: object) -> str:
    return number(value if isinstance(value, int | float) else None)


def findings(report: Report) -> str:
    """What to change, most severe first."""
    expected = expectation_sentence(report)
    entries = [f"<p>{safe(expected)}.</p>"] if expected else []
    for finding in report.findings:
        saves = f" <span>{safe(finding.saves)}</span>" if finding.saves else ""
        held = "".join(
            f"<li>{safe(name.replace('_', ' '))}: {safe(str(value))}</li>"
            for name, value in (*finding.figures.items(), *finding.thresholds.items())
        )
        also = f" <b>Else</b>: {safe(finding.also)}." if finding.also else ""
        drawn = f"<details><summary>figures and thresholds</summary><ul>{held}</ul></details>" if held else ""
        entries.append(
            f'<div class="finding {safe(finding.severity)}" id="{safe(finding_anchor(report.findings, finding))}">'
            f"<p><b>{safe(finding.severity)}</b> {safe(finding.title)}{saves}</p><p>{safe(finding.evidence)}.</p>"
            f"<p><b>Fix</b>: {safe(sentence(finding.fix))}{also}</p>{drawn}</div>"
        )
    return "".join(entries) or "<p>None: nothing in this trace crosses a threshold.</p>"


def capture(report: Report) -> str:
    """What was captured, by what, and how ranks were numbered."""
    files = [
        [plain(i.name, 120), i.nsys_version or "unknown", i.schema_version or "unknown", i.graph_trace]
        for i in report.inputs
    ]
    ranks = [
        [
            f"rank {r.rank}",
            plain(r.model or "unknown GPU", 60),
            str(r.device),
            str(r.pid),
            plain(r.trace, 80),
            r.source,
            "unknown" if r.host is None else str(r.host),
        ]
        for r in report.ranks
    ]
    marks = [f'data-rank="{r.rank}"' for r in report.ranks]
    return table(["file", "nsys", "schema", "CUDA graphs"], files, text=(0, 1, 2, 3), caption="Traces") + table(
        ["rank", "GPU", "CUDA device", "pid", "in", "numbered by", "node"],
        ranks,
        text=(0, 1, 4, 5),
        caption="Ranks",
        marks=marks,
    )


def quality(report: Report) -> str:
    """How far each figure can be trusted, a row each."""
    rows = [[q.id.words, STATUS[q.status], q.reason] for q in report.quality]
    marks = [f'id="quality-{safe(q.id)}" class="{safe(q.status)}"' for q in report.quality]
    return table(["aspect", "status", "why"], rows, text=(0, 1, 2), wrap=2, caption="Evidence", marks=marks)


def notes(report: Report) -> list[str]:
    """HTML: how steps were found and what the verdict was held against."""
    weighed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in THRESHOLDS.items())
    told = [f"Steps: {report.steps.source}.", *(f"{note}." for note in report.steps.notes)]
    told.append(f"The verdict's thresholds: {weighed}.")
    return [safe(note) for note in told]
