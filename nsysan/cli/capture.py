"""`nsysan capture`: one command from a workload to a trace worth reading."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from nsysan._errors import ExitCode
from nsysan.capture import holding
from nsysan.capture.command import Request, expand_output
from nsysan.capture.exported import Captured
from nsysan.capture.nsys import require_nsys
from nsysan.capture.permissions import permission_notes
from nsysan.capture.placement import Seat, check_place, notes_before, seat_of
from nsysan.capture.session import Session
from nsysan.capture.started import expected_ranks, read_workload
from nsysan.cli.captured import as_option, check_report, show
from nsysan.cli.dry_run import show_plan
from nsysan.cli.exits import OUTPUT, exit_codes
from nsysan.cli.options import NSYS
from nsysan.cli.serve_options import serve_of, serve_options
from nsysan.cli.trace_options import trace_options


@click.command(
    "capture",
    context_settings={"allow_interspersed_args": False},
    epilog=exit_codes(
        *OUTPUT,
        ExitCode.NO_NSYS,
        ExitCode.NO_REPORT,
        ExitCode.RANGE_NEVER_OPENED,
        ExitCode.EXPORT_FAILED,
        ExitCode.NSYS_DIED,
        before="the workload's own",
        after="; 129, 130, 131 and 143 after a signal",
    ),
)
@click.option(
    "-o",
    "--output",
    default="trace",
    show_default=True,
    metavar="NAME",
    help="Name of the trace; %q{ENV}, %h, %p and %n as in nsys.",
)
@click.option(
    "-f", "--force-overwrite", is_flag=True, help="Replace a trace of that name, its topology and NCCL's logs too."
)
@click.option("--nsys", metavar="PATH", help=NSYS)
@click.option(
    "-c",
    "--capture-range",
    type=click.Choice(("cudaProfilerApi", "nvtx")),
    help="Collect only between cudaProfilerStart and Stop, or in the NVTX range of -p.  [default: the whole command]",
)
@click.option(
    "--capture-range-end",
    metavar="HOW",
    help="What nsys does at its end, in nsys' words; with stop the workload runs on.  [default: stop]",
)
@click.option(
    "-p",
    "--nvtx-capture",
    metavar="RANGE@DOMAIN",
    help="The NVTX range to collect in; any domain: RANGE@*. Plain (unregistered) strings are found too.",
)
@click.option(
    "-y",
    "--delay",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="Start collecting after that long.  [default: at once]",
)
@click.option(
    "-d",
    "--duration",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="Stop collecting after that long.  [default: when the command ends]",
)
@click.option(
    "--kill-after",
    type=click.FloatRange(0),
    default=30.0,
    metavar="SECONDS",
    help="What hangs is killed that long after it was told to end, workload, nsys or export.  [default: 30]",
)
@click.option(
    "--gpu-metrics",
    is_flag=False,
    flag_value="all",
    metavar="[DEVICES]",
    help="Sample GPU counters (NVLink, PCIe, DRAM, SMs), of all GPUs or of these.  [default: none]",
)
@click.option("--gpu-metrics-frequency", type=int, metavar="HZ", help="Samples a second.  [default: nsys' own]")
@click.option(
    "--cuda-graph-trace",
    type=click.Choice(("node", "graph")),
    default="node",
    help="Kernels inside CUDA graphs; or replays as blocks, which hides what is inside.  [default: node]",
)
@click.option("--nsys-arg", "nsys_args", multiple=True, metavar="ARG", help="Given to nsys profile as is; repeatable.")
@click.option(
    "-e", "--env", "environment", multiple=True, metavar="NAME=VALUE", help="Set for the workload; repeatable."
)
@click.option(
    "--nccl-log/--no-nccl-log",
    default=True,
    show_default=True,
    help="Let NCCL log its set-up beside the trace, unless NCCL_DEBUG is set: NAME.nccl.HOST.PID.log.",
)
@click.option(
    "--nccl-tuning",
    is_flag=True,
    help="Let it log its tuning table too, and a line at each call, which costs an eager run host time.",
)
@click.option(
    "--tp",
    type=click.IntRange(1),
    metavar="N",
    help="Ranks that the trace should show.  [default: from the command, or WORLD_SIZE]",
)
@trace_options
@serve_options
@click.option("--report", is_flag=True, help="Write the HTML page too.")
@click.option("--dry-run", is_flag=True, help="Print the commands and run nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors and checks that failed.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    output: str,
    force_overwrite: bool,
    nsys: str | None,
    capture_range: str | None,
    capture_range_end: str | None,
    nvtx_capture: str | None,
    delay: int | None,
    duration: int | None,
    kill_after: float,
    gpu_metrics: str | None,
    gpu_metrics_frequency: int | None,
    cuda_graph_trace: str,
    trace: str | None,
    cuda_sw: bool,
    untraced_first: bool,
    nsys_args: tuple[str, ...],
    environment: tuple[str, ...],
    nccl_log: bool,
    nccl_tuning: bool,
    tp: int | None,
    report: bool,
    dry_run: bool,
    quiet: bool,
    command: tuple[str, ...],
    serve: bool,
    hold: bool,
    **serving: object,
) -> None:
    """Run COMMAND under nsys, export the trace, check it.

    Asks the nsys it finds what it can do, and traces what a report needs: CUDA, NVTX and NCCL, kernels inside CUDA
    graphs, forked workers, message sizes. Writes NAME.nsys-rep, NAME.sqlite and, from nvidia-smi, the links between
    the GPUs in NAME.topology.txt, and what NCCL says it chose in NAME.nccl.*.log. Then it checks the trace, a line each
    with the remedy: ranks seen, equal collectives, graphs, sizes, steps, lost events, clocks, the profiler's own
    weight. It needs click and no other library.

    One trace holds all ranks that COMMAND starts; where it starts them elsewhere (srun, containers, Ray) you are
    told what to run instead. Inside a launcher (torchrun --no-python, srun, mpirun) each rank writes its own,
    NAME_rank_<r>, or each node that starts several, NAME_node_<n>; give `nsysan report` all of them.

    Keep windows short: 20 to 200 steps say all there is to say. A window that opens after the CUDA graphs were built
    (-c, -p, -y) lacks the sizes of the messages in them, and nothing else.

    A server is collected from with --serve: it is started, loaded once it is ready, and ended after the window. With
    --hold it runs on, and `nsysan window` takes as many windows as wanted. Neither needs a profiler switch in the
    server; where its command has --profiler-config.profiler cuda, vLLM names its steps in the windows of --serve.

    Ctrl-C ends the workload and keeps the trace; a second one ends everything. So do SIGQUIT, SIGTERM and SIGHUP;
    SIGUSR1 and SIGUSR2 go to COMMAND itself, which may use them.

    \b
    Examples:
      nsysan capture -- python decode.py --tp 8
      nsysan capture -o run1 --report -- torchrun --nproc-per-node=4 decode.py
      nsysan capture -c cudaProfilerApi -- python decode.py
      nsysan capture -p 'decode@*' --gpu-metrics -- python decode.py
      nsysan capture --serve -- vllm serve MODEL -tp 8
      nsysan capture --serve --load 'python bench.py' -- SERVER...
      srun nsysan capture -o run1 -- python decode.py
    """
    if nvtx_capture is not None and capture_range is None:
        capture_range = "nvtx"
    if capture_range == "nvtx" and nvtx_capture is None:
        raise click.UsageError("-c nvtx needs the range's name: -p RANGE@*")
    if capture_range_end is not None and capture_range is None:
        raise click.UsageError("--capture-range-end needs a capture range: -c or -p")
    if gpu_metrics is not None and not re.fullmatch(r"all|cuda-visible|none|\d+(,\d+)*", gpu_metrics):
        raise click.UsageError(
            f"--gpu-metrics takes all, cuda-visible or numbers of GPUs, not {gpu_metrics!r}; put -- before the command"
        )
    if gpu_metrics_frequency is not None and gpu_metrics is None:
        raise click.UsageError("--gpu-metrics-frequency needs --gpu-metrics")
    if (serve or hold) and (capture_range is not None or delay is not None or duration is not None):
        raise click.UsageError("--serve and --hold open windows by themselves: leave out -c, -p, -y and -d")
    given = _pairs(environment)
    surroundings = {**os.environ, **given}
    workload = read_workload(command, surroundings)
    asked = {"serve": serve, "hold": hold, "untraced_first": untraced_first, **serving}
    served = serve_of(workload, surroundings, asked)
    seat = seat_of(workload, surroundings)
    name = _name(output, surroundings, seat)
    check_place(workload, name)
    session = Session(
        request=Request(
            command=command,
            capture_range=capture_range,
            capture_range_end=capture_range_end,
            nvtx_capture=nvtx_capture,
            delay=delay,
            duration=duration,
            gpu_metrics=gpu_metrics,
            gpu_metrics_frequency=gpu_metrics_frequency,
            cuda_graph_trace=cuda_graph_trace,
            trace=trace,
            cuda_sw=cuda_sw,
            extra=nsys_args,
            environment=given,
        ),
        nsys=require_nsys(nsys),
        output=name,
        expected_ranks=tp or (1 if seat and not seat.is_node else expected_ranks(command, surroundings)),
        force=force_overwrite,
        kill_after=kill_after,
        nccl_log=nccl_log,
        nccl_tuning=_tuning(nccl_log=nccl_log, asked=nccl_tuning),
        serve=served,
    )

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"nsysan: {text}", err=True)

    before = notes_before(workload, name, whole=not (serve or hold or capture_range), duration=duration)
    before += permission_notes(nsys_args, metrics=gpu_metrics not in (None, "none"))
    if dry_run:
        show_plan(session, workload, before, say, hold=hold)
        return
    if report:
        check_report(session.output, force=force_overwrite)
    for note in (f"{session.nsys.label} ({session.nsys.path})", *before, *session.plan().notes):
        say(note)
    if hold:
        sys.exit(holding.hold(session, say))
    own = session.run_untraced(say) if untraced_first else None
    result = session.run(say, progress=not quiet and sys.stderr.isatty())
    show(result.captured, quiet=quiet, token_ns=result.token_ns, command=command, seat=seat, own=own)
    if report:
        _write_reports(result.captured, force=force_overwrite, quiet=quiet, untraced=own.ns if own else None)
    if result.failure is not None:
        raise result.failure
    sys.exit(result.exit_code)


def _name(output: str, environment: dict[str, str], seat: Seat | None) -> Path:
    if output.startswith("-"):
        raise click.UsageError(f"-o takes a name that does not begin with a dash, not {output!r}: was it left out?")
    if output.endswith("/") or expand_output(output, environment).name in ("", ".."):
        raise click.UsageError(f"-o takes the name of a trace, not of a folder: {output or '.'!r}")
    return expand_output(output, environment, "" if seat is None else seat.ending)


def _tuning(*, nccl_log: bool, asked: bool) -> bool:
    if asked and not nccl_log:
        raise click.UsageError("--nccl-tuning needs NCCL's log: without --no-nccl-log")
    return asked


def _pairs(entries: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(entry.partition("=")[::2] for entry in entries)
    if "" in pairs or any("=" not in entry for entry in entries):
        raise click.UsageError("-e takes NAME=VALUE")
    return pairs


def _write_reports(captured: Sequence[Captured], *, force: bool, quiet: bool, untraced: int | None) -> None:
    """The page of each trace. untraced: ns of a step without nsys, where it was measured."""
    from nsysan.cli.report import command as report

    knows = any(parameter.name == "untraced" for parameter in report.params)
    for one in captured:
        options = ["--output", str(one.export.with_suffix(".html")), *(["--force"] if force else [])]
        options += ["--untraced", as_option(untraced)] if untraced and knows else []
        report.main([str(one.export), *options, *(["--quiet"] if quiet else [])], standalone_mode=False)
