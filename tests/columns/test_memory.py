"""How many threads polars gets: those that pay, unless the user says otherwise."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from nsysan.columns.memory import give_back, settle

_THREADS, _OURS = "POLARS_MAX_THREADS", "NSYSAN_POLARS_THREADS"


@pytest.mark.parametrize(
    ("said", "ours", "most", "expected"),
    [
        (None, None, 2, "2"),
        ("7", None, 2, "7"),
        # A process of ours inherits what was set for the first one.
        ("2", "2", 1, "1"),
        ("7", "2", 1, "7"),
    ],
)
def test_threads_are_few_unless_the_user_says_how_many(
    monkeypatch: pytest.MonkeyPatch, said: str | None, ours: str | None, most: int, expected: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    for name, value in ((_THREADS, said), (_OURS, ours)):
        # Set first, so that what settle sets is taken back at the end.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    settle(most)
    assert os.environ[_THREADS] == expected


def test_one_processor_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    for name in (_THREADS, _OURS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    settle()
    assert os.environ[_THREADS] == "1"


def test_what_few_rows_left_is_kept_and_what_many_left_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = type("Library", (), {"malloc_trim": staticmethod(asked.append)})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(sys, "platform", "linux")
    give_back(999_999)
    assert asked == []
    give_back(1_000_000)
    assert asked == [0]
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # as musl, which has none
    give_back(1_000_000)
