"""What NCCL says it chose, or had to: no multicast where the GPUs have it, an algorithm that its table has slower."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.algorithms import Algorithm, AlgorithmSource, algorithms_of
from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity
from nsysan.model.gpu_links import LinkKind, load_links
from nsysan.text import counted, size

#: An algorithm that takes this many times the fastest of the table is not NCCL's own rounding: it corrects the table
#: for trees by up to a fifth.
AGAINST_RATIO = 1.25
#: NVLink has multicast from this generation on, where all GPUs are on one switch.
MULTICAST_GENERATION = 4
#: NCCL does not use it for fewer ranks.
MULTICAST_RANKS = 3


class ChoiceFinding(FindingId):
    """What NCCL may have chosen, or not been let choose."""

    NO_NVLS = "no_nvls"
    AGAINST_TABLE = "against_table"
    ALGORITHM_SET = "algorithm_set"


def no_multicast(case: Case) -> Iterator[Finding]:
    """NVLink multicast is not to be had, on GPUs that have it; nothing where NCCL does no collective."""
    nccl, link = case.nccl, case.link
    if nccl is None or link is None or link.kind is not LinkKind.NVLINK or not _uses_nccl(case):
        return
    rows = [load_links().find(rank.model) for rank in case.run.ranks]
    able = all(row and row.board == "sxm" and (row.generation or 0) >= MULTICAST_GENERATION for row in rows)
    ranks = nccl.set_up.ranks if nccl.set_up else 0
    off = nccl.setting("NCCL_NVLS_ENABLE") == "0"
    if not able or ranks < MULTICAST_RANKS or (nccl.multicast is not False and not off):
        return
    why = "NCCL_NVLS_ENABLE=0 is set" if off else "NCCL's log says that multicast is not available"
    yield Finding(
        ChoiceFinding.NO_NVLS,
        Severity.LOW,
        "no NVLink multicast (NVLS), which these GPUs have",
        f"{why}; {counted(ranks, 'rank')} on {link.model}",
        "unset NCCL_NVLS_ENABLE=0, unless it was measured to be slower"
        if off
        else "check that the fabric manager runs and that the machine or the container is given all GPUs of the switch "
        "(nvidia-smi -q, Fabric State); in a virtual machine it may be turned off. Large all-reduces and symmetric "
        "memory gain by it, small ones of plain NCCL do not",
        figures={"ranks": ranks},
        thresholds={"min_ranks": MULTICAST_RANKS, "min_generation": MULTICAST_GENERATION},
    )


def against_table(case: Case) -> Iterator[Finding]:
    """Calls by another algorithm than the tuning table has fastest, or a choice that a variable takes from NCCL."""
    nccl = case.nccl
    if nccl is None or not _uses_nccl(case):
        return
    by_variable = [f"{n}={v}" if v else n for n, v in nccl.settings.items() if n in ("NCCL_ALGO", "NCCL_PROTO")]
    forced = " and ".join(by_variable)
    slower = [(row, ratio) for row in algorithms_of(nccl, case.families) if (ratio := _ratio(row)) >= AGAINST_RATIO]
    if slower:
        yield _slower(case, slower, forced)
    elif forced:
        yield Finding(
            ChoiceFinding.ALGORITHM_SET,
            Severity.LOW,
            f"{forced}: NCCL does not choose by itself",
            f"the environment sets {forced}, for calls of every size",
            "unset it, unless it was measured to be faster at the sizes of this run",
        )


def _slower(case: Case, slower: list[tuple[Algorithm, float]], forced: str) -> Finding:
    each = [_saves(case, row, ratio) for row, ratio in slower]
    saving = case.on_the_path(round(sum(each)), "wire")
    row, ratio = slower[each.index(max(each))]
    best = row.best or ("", "", 0.0)
    chosen, fastest = f"{row.algorithm} {row.protocol}", f"{best[0]} {best[1]}"
    also = f"; {counted(len(slower) - 1, 'other size')} likewise" if len(slower) > 1 else ""
    return Finding(
        ChoiceFinding.AGAINST_TABLE,
        by_share(saving, case.period),
        f"{chosen} where NCCL's tuning table has {fastest} faster",
        f"{row.kind} of {size(row.bytes)}: {row.us or 0:.1f} µs by the table as {chosen}, {best[2]:.1f} µs as {fastest}"
        f"{also}{f'; the environment sets {forced}' if forced else ''}",
        f"unset {forced}, and measure both"
        if forced
        else "look for a tuner plugin or a configuration file that NCCL "
        "reads (NCCL_TUNER_PLUGIN, nccl.conf), and measure both algorithms (NCCL_ALGO, NCCL_PROTO)",
        saving or None,
        figures={"bytes": row.bytes, "algorithm": chosen, "fastest": fastest, "ratio": round(ratio, 3)},
        thresholds={"ratio": AGAINST_RATIO},
        saving_is=SavingIs.ESTIMATE,
    )


def _ratio(row: Algorithm) -> float:
    printed = row.source is AlgorithmSource.CALLS and row.us is not None and row.best is not None
    return (row.us or 0) / row.best[2] if printed and row.best and row.best[2] else 0.0


def _saves(case: Case, row: Algorithm, ratio: float) -> float:
    """ns a step: of what the calls take on the wire, the share that the table has the fastest take less."""
    own = [f for f in case.families if (f.kind, f.message_bytes) == (row.kind, row.bytes) and f.wire]
    return sum((f.a_step or 0) * f.wire["p50"] * (1 - 1 / ratio) for f in own if f.wire)


def _uses_nccl(case: Case) -> bool:
    return any(family.library == "NCCL" for family in case.families)


FINDERS = (
    Finder(no_multicast, (ChoiceFinding.NO_NVLS,)),
    Finder(against_table, (ChoiceFinding.AGAINST_TABLE, ChoiceFinding.ALGORITHM_SET)),
)
