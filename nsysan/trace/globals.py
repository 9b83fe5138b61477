"""Ids that nsys makes of a thread: hardware, VM, process and thread in one number."""

from __future__ import annotations

import polars as pl

#: A globalTid without its thread, which is a globalPid.
PROCESS_MASK = -(1 << 24)


def process_of(thread: str) -> pl.Expr:
    """globalPid of a globalTid column."""
    return pl.col(thread) & pl.lit(PROCESS_MASK, dtype=pl.Int64)


def pid_of(process: int) -> int:
    """The operating system's process id in a globalPid or globalTid."""
    return (process >> 24) & 0xFFFFFF
