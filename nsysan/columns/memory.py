"""How a process that analyses takes memory from the system and gives it back, and how its threads take turns."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_ARENA_MAX = -8  # malloc.h of glibc
#: More threads of polars only wait for each other: on 32 processors a report of a million rows took 2.8 s with 2 (7.7 s
#: of processors), 3.1 s with 4 (8.6), 3.7 s with 32 (24).
_PAYING_THREADS = 2
_MOST_THREADS = 1_024
#: New Python objects after which circles among them are looked for: more than a report of a few MB makes, as each look
#: goes through all of them.
_OBJECTS = 1_000_000
_MANY_ROWS = 1_000_000
#: How long a thread that comes back from polars may wait for another that runs Python, seconds: what it asks of polars
#: mostly takes less than a ms, and Python's own 5 ms are longer than having asked was worth.
_TURN = 0.000_5
_THREADS, _OURS = "POLARS_MAX_THREADS", "NSYSAN_POLARS_THREADS"


def settle(threads: int = _PAYING_THREADS) -> None:
    """To be called before polars is loaded; a third less time and memory on traces of a GB.

    All threads share one heap, or each would keep what it once needed; what polars has not used for half a second goes
    back, not after ten. threads: for polars at most, where the user does not say how many.
    """
    sys.setswitchinterval(_TURN)
    # Millions of rows are no Python objects: what there are of these need not be looked through over and over.
    gc.set_threshold(_OBJECTS)
    # Of none polars panics; it begins however many it is told to.
    told = os.environ.get(_THREADS, "1")
    if told.isdecimal() and len(told) < 10 and not 0 < int(told) <= _MOST_THREADS:
        del os.environ[_THREADS]
    _limit_threads(threads)
    if sys.platform != "linux":
        return
    options = "narenas:1,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0"
    os.environ.setdefault("_RJEM_MALLOC_CONF", options)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back(rows: int) -> None:
    """Return what is held and not used any more to the system, after work on so many rows; little is not worth it.

    What lies between what is still used glibc keeps for what comes: a fourth of all memory once a GB has been read.
    """
    if rows < _MANY_ROWS or sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _limit_threads(most: int) -> None:
    # A process of ours inherits what was set here, which is not what the user said.
    if os.environ.get(_THREADS) == os.environ.get(_OURS):
        there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        os.environ[_THREADS] = os.environ[_OURS] = str(min(most, there))
    # Nothing here is a product of matrices, for which numpy's library would start a thread a processor.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
