"""DEFINITIONS.md says what the code does: its numbers, names and keys are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import budgets
from nsysan.compare import bars, likeness, split, widths, wire_at
from nsysan.diagnosis import diagnosis, losses, quality_light, quality_ranks, savings, scope, verdict
from nsysan.diagnosis.findings import chosen_by_nccl, nodes
from nsysan.light import speed_of_light, waterfall
from nsysan.metrics import bandwidth, causes, change_rule, counters, layers, skew, tail, tally, whatif
from nsysan.metrics.lines import LINES
from nsysan.metrics.scenarios import LATE_SHARE, Scenario
from nsysan.model import classes, host_clock, launchers, load
from nsysan.model.classes import load_catalogue
from nsysan.model.steps import numbering, period, populations, replays
from nsysan.replay import (
    activity,
    by_step,
    edits,
    graph,
    hosts_meet,
    levels,
    places,
    prompt,
    results,
    right,
    stretches,
    trust,
)
from nsysan.run import clock, matching, messages, nccl_fit, rank_clocks, together
from nsysan.run.run import Run
from nsysan.trace import gpu_work
from tests.documents import leaves, schema_of

ROOT = Path(nsysan.__file__).parent
PAGE = (ROOT / "DEFINITIONS.md").read_text("utf-8")
SECTIONS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "11a", "12"]
MARK = re.compile(r"\(planned: ([a-z ]+)\)")
POINTER = re.compile(r"DEFINITIONS\.md, sections? (\d+a?(?:(?:, | and )\d+a?)*)")


def section(number: str) -> str:
    """The text of a section, in one line."""
    found = re.search(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def said(text: str) -> str:
    return " ".join(text.split())


def table(text: str, head: str) -> dict[str, str]:
    """First and second column of the table whose first column is headed so; names without their quotes."""
    found = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    return {row[0].strip("`"): row[1] for row in rows}


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


# ---- numbers

#: Section, and what it says, with the number that the code has.
NUMBERS = [
    ("1", f"where more than {percent(gpu_work._MAX_UNUSABLE)} of the kernels, copies or graph blocks are such"),
    ("2", f"the launcher's variables are {listed([name for name, _ in launchers.LAUNCHERS])}, in this order"),
    ("3", f"kernels without a name, where they are more than {percent(load._FEW_UNNAMED)} of the kernels"),
    ("4", f"repeats at least {period.MIN_REPEATS} times and whose unbroken run is longest"),
    ("4", f"a gap at least {period._STANDS_OUT:g} times all others"),
    ("4", f"differ from the most frequent kind's in no more than {percent(populations.SIMILAR)}, whose number"),
    ("4", f"whose compute takes {populations.LONGER:g} times the usual or more on every rank"),
    ("6", f"is at most {percent(together.TOGETHER)} of the shorter duration"),
    ("6", f"where less than {percent(messages._WHOLE_SHARE)} of the calls of a kernel pass the gate"),
    ("4", f"The steps that make the tail are those over {percent(tail.NEAR)} beyond the median"),
    ("4", f"against the {losses._USUAL_STEPS} steps nearest to the median"),
    ("4", f"Causes and ranks that add less than {percent(tail.LISTED)} of the median are not listed"),
    (
        "4",
        f"of {tail.HUMP_STEPS} steps or more, the largest gap between two periods is at least "
        f"{percent(tail.HUMP_GAP)} of the median, at least {percent(tail.HUMP_SHARE)} of the steps",
    ),
    ("4", f"of {tail.HUMP_STEPS // 2} steps or more, none is within {percent(tail.NEAR)} of the median"),
    ("4", f"Of {scope._KINDS} kinds of steps or more"),
    ("11a", f"than {budgets.NCCL_BYTES // 10**6} MB or {budgets.NCCL_LINES:,} lines".replace(",", " ")),
    ("11a", f"lines over {budgets.NCCL_LINE} bytes are none of NCCL's"),
    ("11a", f"from NCCL {'.'.join(map(str, nccl_fit._SAME_IDS))} on"),
    ("11a", f"one up to {chosen_by_nccl.AGAINST_RATIO:g} times slower is not held against it"),
    ("11a", f"where less than {percent(split.ALIGNED)} of the compute can be paired"),
    ("11a", f"gives a place {percent(split.DOUBT)} may be wrong, {percent(split.DOUBT_OTHER)} where another kernel"),
    ("11a", f"{percent(split.BETWEEN_CAPTURES)} by which two captures differ"),
    ("11a", f"{percent(wire_at.MARGIN)} more each way"),
    ("11a", f"or add {percent(bars.PACED)} of it or more"),
    ("11a", f"of graphs up to {bars.VARIES:g} times"),
    ("11a", f"launched one by one up to {bars.EAGER_VARIES:g} (9.6"),
    ("11a", f"A bar whose ends are more than {bars.WIDEST:g} times apart says nothing"),
    ("11a", f"makes a step less than {percent(widths.WORTH)} shorter"),
    ("12", f"differ by more than {percent(likeness.SAME)} from the first side's"),
    ("12", f"by more than {likeness.OTHER_KERNELS:g} times, where no batch is stated"),
    ("12", f"the kernels are the same ({percent(likeness.ALIKE)} of each)"),
    ("12", f"A mean that differs by {percent(change_rule.SHARE_OF_FIGURE)} is `changed` also"),
    ("12", f"{change_rule.TAIL_STEPS} steps or more are over {percent(tail.NEAR)} beyond all steps of the other side"),
    ("11", f"the steady steps cover less than {percent(scope.MIN_BUSY)} of the GPUs' busy time"),
    ("11", f"the period of the kernels alone tells, less than {percent(scope.MIN_BUSY_BY_PERIOD)})"),
    ("4", f"of {numbering._MIN_STEPS_FOR_STARTUP} steps or more with which decoding begins the first"),
    ("4", f"still take more than {numbering._STARTUP:g} times the median"),
    ("6", f"or up to {percent(matching._LOCAL)} of a family's calls fail the gate"),
    ("6", f"nobody is called late where more than {percent(diagnosis.MAX_REJECTED)} of all communication kernels are"),
    ("6", f"no verdict is given where more than {percent(verdict.UNSPLIT)} of the step is unsplit"),
    (
        "6",
        f"the medians of {clock._PARTS} parts of at least {clock._LEAST_CALLS} calls lie on a line, to within "
        f"{percent(clock._BENT)} of what it rises, that comes to at least {clock._LEAST_DRIFT_NS / 1e3:g} µs over the "
        f"calls and to no more than {clock._MOST_DRIFT * 1e6:g} ppm",
    ),
    (
        "6",
        f"at least {rank_clocks.LEAST_NS / 1e3:g} µs over at least {rank_clocks.LEAST_CALLS} calls, the middle half of "
        f"which differ by no more than {percent(rank_clocks._CONSTANT)} of it",
    ),
    ("6", f"differ from their median by as much, to within {percent(rank_clocks.SAME)}"),
    ("6", f"impossible where {percent(rank_clocks.REFUTED)} of them end on one rank before they have begun on another"),
    ("6", f"taken out (of up to {rank_clocks.FURTHEST_NS / 1e3:g} µs)"),
    ("6", f"the middle half may differ by {percent(rank_clocks.SHOWN)} of it"),
    ("6", f"A correction of more than {clock.MAX_CORRECTION_NS / 1e3:,.0f} µs is not believed"),
    ("6", f"GPU work lies more than {clock._MAX_APART_NS / 1e9:g} s apart"),
    ("6", f"where their wire takes at least {percent(nodes.ACROSS_SHARE)} of the period"),
    ("7", f"costs at least {percent(LATE_SHARE)} of the period or of the tail"),
    (
        "7",
        f"pause for {hosts_meet._PAUSE / 1e3:g} µs or more at one place in {percent(hosts_meet._OFTEN)} of the steps, "
        f"after one call that all have, none leaves before all have come in {percent(hosts_meet._MOST)} of them",
    ),
    ("7", f"within which they come, which is {hosts_meet._APART / 1e3:g} µs or more"),
    ("7", f"Where {percent(places._POLLS)} of the runs of queries end like that, only runs of {places._LOOP} or more"),
    ("7", f"no more than {activity.MAX_OPERATIONS:,} operations".replace(",", " ")),
    (
        "7",
        f"as many stretches of {stretches.LEAD_IN + stretches._MOST + 1} consecutive steps as have "
        f"{activity.OF_STRETCHES:,}".replace(",", " "),
    ),
    ("7", f"the first {stretches.LEAD_IN} steps and the last are not counted"),
    ("7", f"or {stretches._SOME} counted steps of each kind, in shorter ones"),
    ("7", f"at their median period ({percent(stretches._LIKE)})"),
    ("7", f"other kinds of {graph._FEW} steps or more say for themselves what is usual"),
    ("7", f"in {hosts_meet._LEAST} of them at the least, and such kinds have {percent(hosts_meet._OFTEN)} of all"),
    (
        "7",
        f"Above {percent(savings.SURE_ERROR)} `sure` is not high, above {percent(results.MAX_ERROR)} savings are null",
    ),
    ("7", f"exceeds the level by {right.ERRORS:g} standard errors"),
    ("7", f"(over {right._STEPS} steps or more)"),
    ("7", f"exceeds its own usual by {right.DEVIATIONS:g} standard deviations"),
    ("7", f"by {right.DEVIATIONS:g} standard deviations and {percent(levels._SHARE)} of the period"),
    ("7", f"({by_step._STEPS} steps or more; what is usual"),
    ("7", f"where most ranks show them in {prompt._STEPS} steps or more"),
    (
        "7",
        f"by {right.DEVIATIONS:g} standard deviations and {percent(prompt._FAR * levels._SHARE)} of the period): both",
    ),
    ("7", f"(a gap, {levels._SLICE:g} times)"),
    ("4", f"up to {replays._IN_TURN} graphs that run the same kernels are one"),
    ("7", f"a rank exceeds in most steps only by {percent(levels._CLOCKS - 1)} or more"),
    ("7", f"With fewer than {skew.TELLING_STEPS} steady steps the report says that they tell nothing"),
    ("6", f"where its p95 is over {percent(quality_ranks.MAX_RESIDUAL)} of a step"),
    ("8", f"all but one in {1 / host_clock._STRAY:,.0f}".replace(",", " ")),
    ("8", f"from each of up to {host_clock._PARTS} parts of the recording"),
    ("8", f"idled for at least {host_clock._IDLE_NS / 1e3:g} µs, exceeds {host_clock.MAX_LATENCY_NS / 1e3:g} µs"),
    ("8", f"with fewer than {host_clock._FEW} such operations"),
    ("8", f"longer than the medians of the other ranks' by over {host_clock.APART_NS / 1e3:g} µs"),
    ("9", f"busbw against the link's peak is shown from {bandwidth.PEAK_FROM_BYTES / 1e6:g} MB up"),
    ("9", f"if at least {percent(counters.PURE)} of the time that it stands for is"),
    ("9", f"a figure of fewer than {counters.MIN_SAMPLES} samples is null"),
    ("10", f"the {100 * whatif.FLOOR_QUANTILE:g}th percentile of the wire of calls"),
    ("10", f"where over {percent(trust.MAX_UNKNOWN)} of the period is idle for want of a launch record"),
    ("10", f"not split is over {percent(results.MAX_UNSPLIT)} of the period on some rank"),
    ("10", f"shows one is {edits.GRAPH_GAP:,} ns".replace(",", " ")),
    ("10", f"eager where at least {percent(tally.EAGER_SHARE)} of the kernels"),
    ("11a", f"is that of the {percent(waterfall.MIDDLE)} of the steady steps"),
    ("11a", f"is not split (no more than {percent(speed_of_light.MAX_UNSPLIT)} of the period)"),
    ("11a", f"within {percent(quality_light.AGREE)} they agree"),
    ("11", f"the {100 * (1 - verdict.UNSPLIT_STEPS):g}th percentile of each rank's steady steps"),
    ("11", f"`unsplit` is over {percent(verdict.UNSPLIT)}, or where the replay misses the period by more than "),
    ("11", f"else the largest class of the critical path if it is over {percent(verdict.DOMINANT)}"),
    ("11", f"(late ranks together cost over {percent(verdict.SKEW)})"),
    ("11a", f"of {layers.LEAST_KERNELS} kernels or more, {layers.LEAST_LAYERS} times or more"),
    ("11a", f"{percent(layers.LEAST_SHARE)} of the sequence or more"),
    ("11a", f"differ from the others in less than {percent(layers.ALIKE)} of their kernels"),
    ("11a", f"a layer that begins with a norm is worth {layers.BEGINS} kernels"),
    ("11a", f"A step of more than {layers.MOST_KERNELS:,} kernels is not looked at"),
]


@pytest.mark.parametrize(("number", "words"), NUMBERS)
def test_numbers_are_those_of_the_code(number: str, words: str) -> None:
    assert words in said(section(number))


def test_thresholds_of_the_verdict() -> None:
    assert {name: float(value) for name, value in table(section("11"), "threshold").items()} == verdict.THRESHOLDS


def test_factors_of_busbw() -> None:
    formulas: dict[str, Callable[[int], float]] = {
        "2(n-1)/n": lambda n: 2 * (n - 1) / n,
        "(n-1)/n": lambda n: (n - 1) / n,
        "1": lambda _: 1.0,
    }
    kinds: dict[str, list[str]] = {formula: [] for formula in formulas}
    for kind, factor in bandwidth._FACTOR.items():
        same = [name for name, of in formulas.items() if all(factor(n) == of(n) for n in range(2, 17))]
        kinds[same[0]].append({"send_recv": "send and receive"}.get(kind, kind.replace("_", "-")))
    two, one, none = (", ".join(kinds[formula]) for formula in formulas)
    wanted = f"{two} 2(n-1)/n; {one} (n-1)/n with S the total; others ({none}) 1."
    assert wanted in said(section("9"))
    assert ", ".join(bandwidth._PER_RANK).replace("_", "-") == one


def test_programmatic_dependent_launch_in_the_fixture_that_is_named(analyzed: Callable[[str], Run]) -> None:
    run = analyzed("tp4_fused")
    trimmed = run.work.filter((pl.col("trimmed") > 0) & pl.col("step").is_in(run.steady_steps))
    least, most = trimmed.select(pl.min("trimmed").alias("least"), pl.max("trimmed").alias("most")).row(0)
    usual = trimmed.group_by("step", "rank").len()["len"].mode().item()
    assert f"by {least} to {most} ns and mostly {usual} times a step in `fixtures/tp4_fused.sqlite.xz`" in said(
        section("5")
    )


# ---- names


def test_classes_of_work() -> None:
    assert table(section("3"), "class").keys() == set(classes.WorkClass)


def test_ledger_lines_in_their_order() -> None:
    assert list(table(section("5"), "line")) == list(LINES)
    assert f"period = {' + '.join(LINES)} " in section("5")


def test_causes_of_idle_time() -> None:
    assert table(section("8"), "cause").keys() == set(causes.GapCause)


def test_kinds_that_have_a_gate() -> None:
    rows = load_catalogue().rows
    kinds = {row.kind for row in rows if row.kind and row.op_class != "compute"}
    gated = sorted(kinds - set(classes.ONE_SIDED) - {"all_reduce"})
    assert f"So are {listed(gated)}." in said(section("6"))


def test_parts_of_a_lateness() -> None:
    told = re.search(r"the parts are (.*?), and time that several claim is of the first of (.*?)\.", said(section("7")))
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == set(skew.PARTS)
    assert told[2].split(", ") == list(skew.OF_OPERATIONS)


def test_what_ifs() -> None:
    told = re.search(r"The keys are (.*?), and `ranks` by rank", said(section("10")))
    assert told is not None
    assert re.findall(r"`(\w+)`", told[1]) == list(Scenario)


def test_kinds_and_shares_of_the_verdict() -> None:
    told = said(section("11"))
    assert [kind for kind in verdict.VerdictKind if f"`{kind}`" not in told] == []
    weighed = schema_of("nsysan.report/2")["properties"]["verdict"]["properties"]["shares"]["properties"]
    assert set(table(section("11"), "share")) == set(weighed)


# ---- the document


def keys(text: str) -> set[str]:
    """The places that a block of section 12 lists, as documents.leaves has them."""
    bare = re.sub(r"\([^()]*\)", "", text)
    entries = re.split(r"\n {4}(?=\w)", "\n" + bare)[1:]
    return {place for entry in entries for place in _entry(re.findall(r"[a-z][a-z0-9_]*|\[\]|\.\.\.|[{},]|\S", entry))}


def _entry(tokens: list[str]) -> Iterator[str]:
    """A name, and what is in it: to the end, as if in braces."""
    name, rest = tokens[0], tokens[1:]
    if rest[:1] == ["[]"]:
        name, rest = f"{name}[]", rest[1:]
    if not rest:
        yield name
        return
    below, left = _names(rest)
    assert left == []
    yield from (f"{name}.{place}" for place in below)


def _names(tokens: list[str]) -> tuple[list[str], list[str]]:
    """Places of names with commas between them, to a brace that closes or the end; what comes after."""
    found: list[str] = []
    while tokens:
        name, tokens = tokens[0], tokens[1:]
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        if tokens[:1] == ["[]"]:
            name, tokens = f"{name}[]", tokens[1:]
        if tokens[:3] == ["{", "...", "}"]:
            name, tokens = f"{name}{{}}", tokens[3:]
        if tokens[:1] == ["{"]:
            below, tokens = _names(tokens[1:])
            found += [f"{name}.{place}" for place in below]
        else:
            found.append(name)
        if tokens[:1] == ["}"]:
            return found, tokens[1:]
        assert tokens[:1] in ([], [","]), tokens[:3]
        tokens = tokens[1:]
    return found, []


def blocks() -> dict[str, str]:
    """The blocks of section 12 by their mark; "" is that of what is there."""
    found = re.findall(r"([^\n]*(?:\n[^\n]+)*)\n\n((?: {4}.*\n)+)", section("12"))
    return {(MARK.findall(before) or [""])[-1]: block for before, block in found}


def test_keys_of_the_document_are_those_of_its_schema() -> None:
    assert keys(blocks()[""]) == leaves(schema_of("nsysan.report/2"))


def test_schemas_that_section_12_names() -> None:
    for name, file in (("compare/1", "compare"), ("info/1", "info"), ("report/2", "report")):
        assert f"nsysan.{name}" in section("12")
        assert f"`data/{file}.schema.json`" in section("12")


# ---- the page


def test_sections_are_those_that_code_points_at() -> None:
    assert re.findall(r"^## (\d+a?)\. ", PAGE, re.MULTILINE) == SECTIONS
    pointed = set()
    for path in [*ROOT.rglob("*.py"), *(ROOT / "data").glob("*.json")]:
        numbers = [n for found in POINTER.findall(path.read_text("utf-8")) for n in re.findall(r"\d+a?", found)]
        assert set(numbers) <= set(SECTIONS), path
        pointed |= set(numbers) if path.suffix == ".py" else set()
        wrapped = " ".join(path.read_text("utf-8").split())
        assert wrapped.count("DEFINITIONS.md, section") == len(POINTER.findall(wrapped)), path
    assert set(SECTIONS) == pointed


def test_marks_are_those_of_the_table() -> None:
    marks = {MARK.findall(mark)[0] for mark in table(PAGE, "mark")}
    assert marks == set(MARK.findall(PAGE))
    assert PAGE.count("(planned:") == len(MARK.findall(PAGE)) == PAGE.count("*(planned:")


def test_files_that_it_names_are_there() -> None:
    named = re.findall(r"`((?:data|fixtures)/[\w./]+)`", PAGE) + re.findall(r"`(data/\w+)`", PAGE)
    for name in named:
        places = (ROOT / name, ROOT / f"{name}.toml", ROOT.parent / name)
        assert any(place.exists() for place in places), name
    assert len(named) > 6
