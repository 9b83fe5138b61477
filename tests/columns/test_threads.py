"""Work done beside other work: its results, and its errors, reach who waits for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event, current_thread

import pytest

from nsysan.columns.threads import FEW_ROWS, Beside, each_of
from tests.fixtures import unpack_exports

#: A report in which threads do all that they can, and change places as often as they can. polars comes first, as in a
#: notebook. Prints what polars imports late, and in which thread.
_LATE_IMPORTS = """
import sys, threading
sys.setswitchinterval(1e-6)
import polars
from polars._dependencies import _LazyModule
own = _LazyModule._import
def told(self):
    print(self._module_name, threading.current_thread() is threading.main_thread())
    return own(self)
_LazyModule._import = told
from nsysan.columns import threads
threads.FEW_ROWS, threads.processors = 0, lambda: 4
from nsysan.cli import main
main()
"""


def test_what_is_begun_runs_beside_and_gives_its_result() -> None:
    go = Event()
    with Beside() as beside:
        result = beside.begin(lambda: (go.wait(60), current_thread().name))
        go.set()
        waited, thread = result()
    assert waited
    assert thread != current_thread().name


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    def fail() -> int:
        raise KeyError("x")

    with Beside() as beside:
        result = beside.begin(fail)
        with pytest.raises(KeyError):
            result()


def test_an_error_waits_for_what_was_begun_and_an_interrupt_does_not() -> None:
    go, done = Event(), Event()

    def work() -> None:
        go.wait(60)
        done.set()

    def fail(error: BaseException, *, first: bool) -> None:
        with Beside() as beside:
            beside.begin(work)
            if first:
                go.set()
            raise error

    with pytest.raises(KeyError):
        fail(KeyError("x"), first=True)
    assert done.is_set()
    go.clear()
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt(), first=False)
    assert not done.is_set()
    go.set()


def test_each_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors in (1, 8):
        monkeypatch.setattr("nsysan.columns.threads.processors", lambda n=processors: n)
        for rows in (50, FEW_ROWS):
            assert each_of(lambda n: n * n, range(50), rows) == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        each_of(lambda n: 1 // n, [1, 0, 2], FEW_ROWS)


def test_few_rows_take_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.columns.threads.processors", lambda: 8)
    here = {current_thread().name}
    assert set(each_of(lambda _: current_thread().name, range(8), FEW_ROWS - 1)) == here
    assert here.isdisjoint(each_of(lambda _: current_thread().name, range(8), FEW_ROWS))


@pytest.mark.parametrize("form", ["tp2.sqlite", "tp2_pqtdir"])
def test_no_thread_imports_what_polars_leaves_for_later(tmp_path: Path, form: str) -> None:
    """Where two threads began to, one met half a module (3 of 40 reports)."""
    unpack_exports(tmp_path)
    words = [sys.executable, "-c", _LATE_IMPORTS, "report", form, "-q", "--json", "out.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    late = dict(line.split() for line in done.stdout.splitlines())
    assert late["numpy"] == "True"
    assert set(late.values()) == {"True"}
