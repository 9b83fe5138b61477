"""How far NCCL's own words can be trusted: whose they are, and what of them could not be read."""

from __future__ import annotations

from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.run.nccl_choices import Nccl
from nsysan.run.run import Run
from nsysan.text import counted, numbered


def assess_nccl(run: Run, nccl: Nccl | None) -> list[Quality]:
    """One row where there are logs of NCCL; nothing where there are none."""
    if nccl is None:
        return []
    others = sum(nccl.others.values())
    why = "; ".join(f"{reason} ({n})" if len(nccl.others) > 1 else reason for reason, n in nccl.others.items())
    ignored = (
        [f"{counted(others, 'process', 'processes')} in the logs ignored as not of this run: {why}"] if others else []
    )
    untold = [rank.rank for rank in run.ranks if rank.rank not in nccl.told]
    if not nccl.told:
        return [Quality(Aspect.NCCL_LOG, Status.NOT_MEASURABLE, "; ".join([*ignored, *nccl.doubts]))]
    missing = [f"no log of {numbered('rank', untold)}"] if untold else []
    lacking = [*missing, *ignored, *nccl.doubts]
    version = f" of NCCL {nccl.version}" if nccl.version else ""
    told = f"logs{version} of {counted(len(nccl.told), 'rank')}"
    return [Quality(Aspect.NCCL_LOG, Status.ESTIMATED if lacking else Status.OK, "; ".join([told, *lacking]))]
