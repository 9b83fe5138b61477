"""Where the traces of a run are read and held: in this process, in several of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsysan.run.trace_set import TraceSet

#: Less than this to read for each process takes no longer than starting it.
WORTH_BYTES = 50_000_000


@contextmanager
def trace_set_for(paths: Sequence[Path], jobs: int | None = None, scheduler: str | None = None) -> Iterator[TraceSet]:
    """Where to read and hold these traces, until the end.

    scheduler: address of a Dask cluster. jobs: processes of this machine; by default as many as there are processors
    and traces, if that pays.
    """
    if scheduler is not None:
        from nsysan.workers.cluster import Cluster

        cluster = Cluster(scheduler)
        try:
            yield cluster
        finally:
            cluster.close()
        return
    from nsysan.columns.threads import processors

    processes = min(len(paths), jobs or processors())
    if jobs is None and sum(map(_size, paths)) < processes * WORTH_BYTES:
        processes = 1
    if processes < 2:
        from nsysan.run.trace_set import LocalTraces

        yield LocalTraces()
        return
    from nsysan.workers.pool import Pool

    pool = Pool(processes)
    try:
        yield pool
        pool.tell_timings()
    finally:
        pool.close()


def _size(path: Path) -> int:
    """Bytes of an export, 0 where it cannot be told."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0
