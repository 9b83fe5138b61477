"""How a process that analyses takes memory from the system, and gives it back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_ARENA_MAX = -8  # malloc.h of glibc
_THREADS = "POLARS_MAX_THREADS"
_MOST_THREADS = 1_024


def settle() -> None:
    """To be called before polars is loaded; a third less time and memory on traces of a GB.

    All threads share one heap, or each would keep what it once needed; what polars has not used for half a second goes
    back, not after ten.
    """
    # Millions of rows are no Python objects: what there are of these need not be looked through over and over.
    gc.set_threshold(100_000)
    # Of none polars panics; it begins however many it is told to.
    told = os.environ.get(_THREADS, "1")
    if told.isdecimal() and len(told) < 10 and not 0 < int(told) <= _MOST_THREADS:
        del os.environ[_THREADS]
    if sys.platform != "linux":
        return
    options = "narenas:1,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0"
    os.environ.setdefault("_RJEM_MALLOC_CONF", options)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
