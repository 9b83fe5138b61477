"""Fixtures: the real traces of fixtures/, unpacked and analysed once a session."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

import nsysan
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import ComparedRun
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.run.run import Run
from tests.fixtures import unpacked

# How long an example takes says more of the machine than of the code.
settings.register_profile("nsysan", deadline=None)
settings.load_profile("nsysan")

#: All that reaches the tests of the environment: where programs, packages and files are, and what steers the tests.
INHERITED = re.compile(
    r"PATH|HOME|TMPDIR|LD_\w+|PYTHON(PATH|HOME|DONTWRITEBYTECODE|PYCACHEPREFIX)|NSYSAN_(BROWSER|TRACE_PROCESSOR)|"
    r"(PYTEST|HYPOTHESIS|COV|PLAYWRIGHT)\w*"
)


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """What else a process inherits is the same for all tests, whoever starts them (for signals: clitools.signalled)."""
    for name in [name for name in os.environ if not INHERITED.fullmatch(name)]:
        del os.environ[name]
    os.chdir(Path(__file__).parent.parent)
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Where the end of children is ignored, their exit codes are lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector of garbage, which looks at it again and again, need not."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


#: Traces with kernels inside their steps.
REAL_TRACES = (
    "tp4_graph_node",
    "tp4_eager",
    "tp4_slow",
    "tp2_graph",
    "tp4_symm",
    "tp4_fused",
    "tp4_slow3",
    "tp4_late1",
    "tp2_slow0",
    "tp2_late1",
    "tp4_overlap",
    "rank_0",
    "rank_1",
    "rank_2",
    "rank_3",
)


@pytest.fixture(scope="session")
def real_trace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a real trace by its name, e.g. real_trace("tp4_eager")."""
    folder = tmp_path_factory.mktemp("traces")

    return lambda name: unpacked(name, folder)


@pytest.fixture(scope="session")
def analyzed(real_trace: Callable[[str], Path]) -> Callable[[str], Run]:
    """The run of a real trace by its name, or of several reports, e.g. analyzed("rank_0 rank_1")."""
    runs: dict[str, Run] = {}

    def run(names: str) -> Run:
        if names not in runs:
            runs[names] = nsysan.analyze([nsysan.open_trace(real_trace(name)) for name in names.split()])
        return runs[names]

    return run


@pytest.fixture(scope="session")
def reported(analyzed: Callable[[str], Run]) -> Callable[[str], Report]:
    """The report of a real trace by its name, or of several, with timelines; nobody changes it."""
    return cache(lambda names: build_report(analyzed(names), "0"))


@pytest.fixture(scope="session")
def compared(analyzed: Callable[[str], Run]) -> Callable[[str], ComparedRun]:
    """A side of a comparison, A, by the name of a real trace."""
    return cache(lambda name: compared_run("A", analyzed(name), "0"))
