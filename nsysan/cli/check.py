"""`nsysan check`: a gate for CI, one line a rule."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nsysan.check.judge import check, exit_code
from nsysan.check.rules import parse_rule
from nsysan.cli.documents import document_of, read_document
from nsysan.text import plain


@click.command("check")
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option("--fail-on", "rules", multiple=True, required=True, metavar="RULE", help="When to fail; repeatable.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="Report JSON that changes (+15%, -5%) are measured against."
)
@click.option("-q", "--quiet", is_flag=True, help="Only rules that do not pass.")
def command(traces: tuple[str, ...], rules: tuple[str, ...], baseline: Path | None, quiet: bool) -> None:
    """Hold a run against limits, for CI.

    TRACE is a trace, or the JSON that `nsysan report --json` wrote of one. A RULE says when to fail:

    \b
      period>2.0ms        a duration: period, compute, wait, wire, fused, comm_unsplit, copy, idle,
                          comm, overlap (median over the ranks of a rank's median step); wire_ or
                          wait_ with p50, p95, p99, max (per call of the hottest collective);
                          caused (what the late rank costs)
      all_reduce.wire_p50>12us, all_reduce[8192].wire_p50>12us
                          wire_ or wait_ of the hottest call of a kind, or of a kind and size in bytes
      wait_share>20%      any ledger line, or caused, in per cent of the period
      tokens<500          steps a second, which is tokens a second of one sequence
      wire_p50>+15%       a change against the baseline, of any of these; of a collective against the
                          same one there: kind, bytes, ranks, and kernel or library
      straggler           a rank that the others wait for

    \b
    Examples:
      nsysan check trace.sqlite --fail-on 'period>2.0ms' --fail-on straggler
      nsysan report main.sqlite --json base.json
      nsysan check trace.sqlite --fail-on 'wire_p50>+15%' --baseline base.json
      nsysan check trace.sqlite --fail-on 'all_reduce[8192].wire_p50>+15%' --baseline base.json

    Exit codes: 0 all rules pass, 1 one fails, 2 none fails but one cannot be told (a figure that the run or
    the baseline does not have, no baseline) or a rule is not one; from 3 on as for report.
    """
    try:
        parsed = [parse_rule(rule) for rule in rules]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    before = read_document(baseline) if baseline is not None else None
    document = document_of(traces, quiet=quiet)
    outcomes = [check(rule, document, before) for rule in parsed]
    code = exit_code(outcomes)
    for outcome in outcomes:
        if not quiet or outcome.verdict != "pass":
            click.echo(plain(outcome.line, 600))
    sys.exit(code)
