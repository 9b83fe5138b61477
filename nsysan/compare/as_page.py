"""A comparison as one HTML file that opens offline."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.comparison_charts import (
    colour_of,
    grown,
    ledger_bars,
    periods,
    side_name,
    speed_up,
    wire_bars,
)
from nsysan.compare.headline import grounds, headline, short_name, sides_that_count
from nsysan.compare.predicted_section import predicted_section
from nsysan.compare.wording import (
    TITLES,
    cells,
    findings,
    header,
    legend,
    part_sentence,
    percent,
    reasons,
    refusals,
    side_sentence,
)
from nsysan.metrics.lines import LINES
from nsysan.output import subject
from nsysan.page.elements import plot, render, safe, section, table
from nsysan.page.glossary import term
from nsysan.page.pace_section import bar
from nsysan.page.palette import NAMES, paint
from nsysan.report.page_subject import recorded
from nsysan.text import counted, duration, us

_LEDGER_NOTE = "Where a step's time is on each side: medians over the steady steps and the ranks."
_PERIOD_NOTE = "Every steady step of each side: what overlaps here, no median sets apart."
_KERNELS_NOTE = (
    "What the compute is: groups by what kernels' names say, and the kernels that differ most. A kernel that a side "
    "does not run takes nothing there; one job may be another kernel's on another side, as GEMMs are chosen by shape."
)
_WIRE_NOTE = (
    "The same communication whatever kernel does it: by kind, size and share of the ranks; calls of unknown size "
    "meet those of their kind that have no other counterpart. Wire is the time after the last rank has arrived. algbw "
    "and busbw are those of nccl-tests (GB = 1e9) from the wire of a call, against the link's peak from 1 MB up."
)
_SCALING_NOTE = (
    "The narrowest side is 1; efficiency is the speed-up by the ratio of the GPUs. What a degree lost against perfect "
    "scaling is told at the top."
)
_POPULATIONS_NOTE = "Kinds of steps that several sides have: each is held against its own kind alone."


def to_html(comparison: Comparison) -> str:
    """The page: the answer, the ledgers side by side, what grew, the spread of the periods, and every figure."""
    plots: dict[str, str] = {}
    parts = [
        ("verdict", "Verdict", _lead(comparison)),
        ("scaling", "Scaling", _scaling(comparison, plots)),
        ("degrees", "Other degrees", predicted_section(comparison, plots)),
        ("ledger", "Ledger", _ledger(comparison, plots)),
        ("kernels", "Kernels", _kernels(comparison, plots)),
        ("populations", "Kinds of steps", _populations(comparison)),
        ("periods", "Periods", _periods(comparison, plots)),
        ("wire", "Wire", _wire(comparison, plots)),
        ("other", "Skew, idle, what if", _other(comparison)),
        ("evidence", "Evidence", _notes(comparison)),
    ]
    shown = [part for part in parts if part[2]]
    title = " against ".join(side.name for side in comparison.sides)
    return render(
        f"nsysan: {title}",
        sides_that_count(comparison),
        "\n".join(body for _, _, body in shown),
        plots,
        comparison.version,
        of=subject(recorded(side.report.inputs) for side in comparison.sides),
        links=[(anchor, name) for anchor, name, _ in shown],
    )


def _lead(comparison: Comparison) -> str:
    """The sentence, what it rests on, a number and a ledger a side, and the rest of the answers."""
    lines = [line.split("  ", 1) for line in (*refusals(comparison), *findings(comparison))]
    told = "".join(f"<p><b>{safe(name)}</b>: {safe(text.strip())}</p>" for name, text in lines)
    changes = ["", *(percent(change) for change in comparison.figure("ledger.period").changes)]
    cards = "".join(
        f'<div class="card" style="--colour:{colour_of(number)}"><b>{safe(duration(side.period))} '
        f"{safe(changes[number])}</b><span>{safe(side_name(side))}</span></div>"
        for number, side in enumerate(comparison.sides)
    )
    sides = "".join(f"<p>{safe(side_sentence(side))}</p>" for side in comparison.sides)
    return (
        f'<section id="verdict"><div class="verdict"><p class="lead">{safe(headline(comparison))}.</p>'
        f"<p><b>how sure</b>: {safe(grounds(comparison))}.</p></div>"
        f'<div class="cards">{cards}</div>{_strips(comparison)}<div class="told">{told}{sides}</div></section>'
    )


def _strips(comparison: Comparison) -> str:
    """The ledger of each side as a bar, as long as its step is beside the longest."""
    longest = max(side.period for side in comparison.sides)
    return "".join(
        bar(
            safe(f"{short_name(side)}: ledger, medians over the ranks, {duration(side.period)}"),
            round(side.period),
            (
                (paint(line), NAMES[line], term(line, NAMES[line]), round(value))
                for line in LINES
                if (value := side.value(f"ledger.{line}"))
            ),
            part=side.period / longest,
        )
        for side in comparison.sides
    )


def _table(comparison: Comparison, group: str, title: str = "") -> str:
    figures = comparison.group(group)
    if not figures:
        return ""
    return table(header(comparison, title or TITLES[group]), [cells(figure) for figure in figures])


def _scaling(comparison: Comparison, plots: dict[str, str]) -> str:
    chart = plot(plots, "speed_up", speed_up(comparison))
    return section("Speed-up and efficiency", _SCALING_NOTE, chart, anchor="scaling") if chart else ""


def _ledger(comparison: Comparison, plots: dict[str, str]) -> str:
    chart = plot(plots, "ledger", ledger_bars(comparison))
    return section("Ledger", _LEDGER_NOTE, chart, _table(comparison, "ledger"), anchor="ledger")


def _kernels(comparison: Comparison, plots: dict[str, str]) -> str:
    tables = _table(comparison, "compute"), _table(comparison, "kernels")
    if not tables[0]:
        return ""
    return section("Kernels", _KERNELS_NOTE, plot(plots, "grown", grown(comparison)), *tables, anchor="kernels")


def _populations(comparison: Comparison) -> str:
    """A row a kind that several sides have; nothing where every side has one."""
    if all(len(side.report.replicas[side.report.replica].populations) < 2 for side in comparison.sides):
        return ""
    rows = [
        [
            pair.name,
            *(
                cell
                for side in comparison.sides
                for row in (pair.sides.get(side.label),)
                for cell in (
                    ("-", "-", "-")
                    if row is None
                    else (
                        us(None if row.period is None else row.period.p50),
                        us(None if row.period is None else row.period.mean),
                        f"{row.steady:,}",
                    )
                )
            ),
        ]
        for pair in comparison.populations
    ]
    heads = [f"{short_name(side)}, {what}" for side in comparison.sides for what in ("median µs", "mean µs", "steady")]
    shown = table(["steps", *heads], rows) if rows else ""
    return section("Kinds of steps", _POPULATIONS_NOTE, shown, anchor="populations")


def _periods(comparison: Comparison, plots: dict[str, str]) -> str:
    figures = _table(comparison, "step", "µs a step, tokens/s")
    return section("Periods", _PERIOD_NOTE, plot(plots, "periods", periods(comparison)), figures, anchor="periods")


def _wire(comparison: Comparison, plots: dict[str, str]) -> str:
    if not comparison.families:
        return section("Wire by collective", "No communication in the steady steps of any side.", anchor="wire")
    return section(
        "Wire by collective",
        _WIRE_NOTE,
        plot(plots, "wire", wire_bars(comparison)),
        _table(comparison, "collectives"),
        _table(comparison, "bandwidth"),
        _families(comparison),
        anchor="wire",
        folded=f"{counted(len(comparison.families), 'kind')} of collective: time after the last arrival, bandwidth, "
        "kernels",
    )


def _families(comparison: Comparison) -> str:
    rows = [
        [family.title, short_name(side), part_sentence(part)]
        for family in comparison.families
        for side, part in zip(comparison.sides, family.parts, strict=True)
    ]
    return table(["collective", "side", "what it is there"], rows, text=(0, 1, 2), wrap=2) if rows else ""


def _other(comparison: Comparison) -> str:
    tables = [_table(comparison, name) for name in ("skew", "idle", "whatif")]
    folded = "What late ranks cost, why GPUs idle, what each fix would save, on each side; what changed and noise are"
    return section("Skew, idle time, what if", legend(comparison), *tables, anchor="other", folded=folded)


def _notes(comparison: Comparison) -> str:
    rows = [["not comparable", text] for text in reasons(comparison)]
    rows += [["note", text] for text in comparison.notes]
    note = "What keeps the sides from being like for like, and why a figure cannot be compared."
    if not rows:
        return ""
    return section("Evidence", note, table(["", "why"], rows, text=(0, 1), wrap=1), anchor="evidence")
