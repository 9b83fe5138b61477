"""What hostile inputs are made of: sound traces, a report, a database of runs, once for all of them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nsysan.cli import main
from tests.fixtures import unpack_exports, unpacked
from tests.nccllogs import write_logs
from tests.tracebuilder import TraceBuilder, decode_loop

#: Traces of a decode loop by name, over so many ranks.
PAPER = {"paper1": 1, "paper2": 2, "paper4": 4, "graph2": 2}


def make_sources(folder: Path) -> None:
    """Fill a folder, which may hold some of it already."""
    for name in ("tp2_graph", "tp2_metrics", "tp2_late1"):
        unpacked(name, folder)
    if not (folder / "tp2_pqtdir").exists():
        unpack_exports(folder)
    for name, ranks in PAPER.items():
        builder = TraceBuilder()
        decode_loop(builder, ranks=ranks, steps=12, late={1: 3_000} if ranks > 1 else {}, graph=name == "graph2")
        builder.write(folder / f"{name}.sqlite")
    write_logs(folder / "paper4.sqlite")
    trace, report, runs = folder / "paper4.sqlite", folder / "base.json", folder / "runs.db"
    report.unlink(missing_ok=True)
    runs.unlink(missing_ok=True)
    _run("report", str(trace), "--json", str(report), "-q")
    for tag in ("one", "two"):
        _run("history", "add", str(report), "--db", str(runs), "--tag", tag, "-q")


def take(sources: Path, folder: Path, *names: str) -> list[str]:
    """Copies of some of them."""
    for name in names:
        source = sources / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    return list(names)


def _run(*arguments: str) -> None:
    before, sys.argv = sys.argv, ["nsysan", *arguments]
    try:
        main()
    finally:
        sys.argv = before
