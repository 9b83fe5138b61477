"""Whether the sides of a comparison ran over one link, by what each side's report says of its collectives."""

from __future__ import annotations

from nsysan.compare.comparison import ComparedRun
from nsysan.metrics.link import LARGE_BYTES, SMALL_BYTES, Link
from nsysan.styled import label
from nsysan.text import plain


def link_lines(sides: list[ComparedRun]) -> list[str]:
    """Which side ran over which link and the evidence of each, a line each; none where no two are told apart."""
    told = [side for side in sides if side.report.link.looks_like is not None]
    if len({side.report.link.looks_like for side in told}) < 2:
        return []
    owners = [f"{side.label}'s GPUs have {_has(side.report.link)}" for side in told if side.report.link.wrong]
    though = f", though {' and '.join(owners)}" if owners else ""
    evidence = [f"link {side.label}    {_evidence(side)}" for side in told]
    return [f"{label('link')}{_ran(told)}{though}", *evidence]


def link_notes(sides: list[ComparedRun]) -> list[str]:
    """What else is to be known of the links: other ones in the machine, all over the wrong one, one not told."""
    has = {side.label: _has(side.report.link) for side in sides}
    notes = []
    if len(set(has.values())) > 1:
        notes.append(f"not the same link between the GPUs: {', '.join(f'{who} {what}' for who, what in has.items())}")
    told = [side for side in sides if side.report.link.looks_like is not None]
    wrong = [side for side in told if side.report.link.wrong]
    if wrong and len({side.report.link.looks_like for side in told}) == 1:
        notes.append(f"{_ran(wrong)}, though the GPUs have {_has(wrong[0].report.link)}: {_evidence(wrong[0])}")
    for side in sides:
        if told and side.report.link.looks_like is None and _speaks(side):
            notes.append(f"{_ran(told)}; what {side.label} ran over cannot be told: {_evidence(side)}")
    return notes


def _ran(sides: list[ComparedRun]) -> str:
    """Such as "by the speed of the collectives A and C ran over NVLink, B over host memory"."""
    by_link: dict[str, list[str]] = {}
    for side in sides:
        kind = side.report.link.looks_like
        by_link.setdefault(kind.words if kind else "", []).append(side.label)
    first, *others = [(" and ".join(labels), link) for link, labels in by_link.items()]
    also = "".join(f", {labels} over {link}" for labels, link in others)
    return f"by the speed of the collectives {first[0]} ran over {first[1]}{also}"


def _has(link: Link) -> str:
    """The link that the GPUs have."""
    if link.kind is None or link.peak_gbps is None:
        return "an unknown link"
    return f"{link.kind.words} of {link.peak_gbps:g} GB/s"


def _evidence(side: ComparedRun) -> str:
    return plain("; ".join(side.report.link.evidence), 600)


def _speaks(side: ComparedRun) -> bool:
    """Whether there are messages of sizes that links are told by."""
    low, high = SMALL_BYTES
    sizes = [f.message_bytes or 0 for f in side.report.collectives if f.busbw is not None]
    return bool(side.report.link.evidence) and any(low <= n <= high or n >= LARGE_BYTES for n in sizes)
