"""`nsysan check`: a gate for CI, one line a rule."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import fill

import click

from nsysan.check.judge import RuleVerdict, check, exit_code
from nsysan.check.rules import OF_LEDGER, parse_rule
from nsysan.cli.documents import document_of
from nsysan.cli.exits import RUN, exit_codes
from nsysan.cli.options import of_population
from nsysan.cli.screen import in_colour, say
from nsysan.report.read_back import read_report
from nsysan.styled import Style, painting, styled
from nsysan.text import plain

_DURATION = fill(
    f"a duration in ns, us, ms or s. period, {', '.join(OF_LEDGER)}: median over the ranks of a rank's median step; "
    "wire_p50, wire_p95, wire_p99, wire_max and the same of wait_: calls of the hottest collective; caused: what "
    "all late ranks save, put right together, as the report tells it",
    width=77,
    initial_indent=6 * " ",
    subsequent_indent=6 * " ",
)
_STYLES = {
    RuleVerdict.PASS: Style.GOOD,
    RuleVerdict.FAIL: Style.BAD,
    RuleVerdict.CANNOT_TELL: Style.DOUBTFUL,
}
_HELP = f"""Hold a run against limits, for CI.

One line a rule: pass, fail or cannot tell, with the numbers. TRACE is a trace (or the traces of a run), or the
JSON that `nsysan report --json` wrote of one, which is the way for a trace that needs --steps or --model. That JSON
has to be of the steps that --population or --batch ask for. Of several replicas
each is held against a rule, and the worst outcome counts. Nothing can be told of a run of which nothing shows that it
decodes, unless --steps names its steps, and no tokens/s of training.

A RULE says when to fail; it compares with >, >=, < or <=:

\b
  period>2.0ms
{_DURATION}
  p99>3ms
      mean, p90, p99, longest: of the periods of all steady steps; tail: by how
      much the mean exceeds the median, which few long steps make
  wait_share>20%
      {OF_LEDGER[0]} to {OF_LEDGER[-1]}, caused or tail, in per cent of the period
  tokens<500
      steps a second by the mean step: tokens a second of one sequence
  wire_p50>+15%
      any of these against the baseline, in per cent of change
  all_reduce.wire_p50>12us, all_reduce[8192].wire_p50>12us
      wire_ or wait_ of the hottest call of a kind, or of a kind and a size
      in bytes, in place of the hottest of all. It is held against the same
      one of the baseline: kind, bytes, ranks, and kernel or library
  kernel[~attn].ns>200us, kernel[gemm].ns>+5%, kernel[~topk].calls>1
      kernels whose name holds a pattern (~, case does not count), or that are
      of a group or of that name: ns and calls of a step, call_ns (the longest
      kind's median call), share (per cent of the period)
  straggler
      a rank is late

\b
Examples:
  nsysan check trace.sqlite --fail-on 'period>2.0ms' --fail-on straggler
  nsysan report main.sqlite --json base.json
  nsysan check trace.sqlite --fail-on 'wire_p50>+15%' --baseline base.json
  nsysan check trace.sqlite --baseline base.json \\
    --fail-on 'all_reduce[8192].wire_p50>+15%'
"""


@click.command(
    "check",
    help=_HELP,
    epilog=exit_codes(
        *RUN,
        before="0 all rules pass, 1 one fails, 2 none fails but one cannot be told (a figure that the run or the "
        "baseline does not have, or no baseline) or is not a rule",
    ),
)
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option(
    "--fail-on", "rules", multiple=True, required=True, metavar="RULE", help="When to fail; repeatable, quote it."
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON of a report that changes (+15%, -5%) are measured against.  [default: none]",
)
@of_population
@click.option("-q", "--quiet", is_flag=True, help="Only rules that do not pass.")
@in_colour
def command(
    traces: tuple[str, ...],
    rules: tuple[str, ...],
    baseline: Path | None,
    population: str | None,
    batch: int | None,
    quiet: bool,
) -> None:
    """Hold a run against limits: one line a rule."""
    try:
        parsed = [parse_rule(rule) for rule in rules]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    before = read_report(baseline) if baseline is not None else None
    document = document_of(traces, quiet=quiet, population=population, batch=batch)
    outcomes = [check(rule, document, before) for rule in parsed]
    code = exit_code(outcomes)
    for outcome in outcomes:
        if not quiet or outcome.verdict != RuleVerdict.PASS:
            said = plain(outcome.line, 600)
            with painting():
                say(styled(_STYLES[outcome.verdict], outcome.verdict) + said.removeprefix(outcome.verdict))
    sys.exit(code)
