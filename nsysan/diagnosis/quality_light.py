"""How far the speed of light of a step can be trusted."""

from __future__ import annotations

from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.light.speed_of_light import Light
from nsysan.text import pct

#: By more than this the counters of the memory and the model disagree on what a step reads.
AGREE = 0.1


def assess_light(light: Light) -> Quality:
    """Whether there is a speed of light, and what it rests on; ok only where counters of the memory agree with it."""
    found = light.found
    if found is None:
        return Quality(Aspect.LIGHT_SPEED, Status.NOT_MEASURABLE, light.why)
    told = [f"from {found.shape.source}, as stated", *found.doubts]
    if found.dram is None:
        return Quality(Aspect.LIGHT_SPEED, Status.ESTIMATED, "; ".join([*told, "no counter of the memory checks it"]))
    agrees = abs(found.dram.ratio - 1) <= AGREE
    told.append(
        f"the counters of the memory {'agree' if agrees else 'do not agree'}: the model reads "
        f"{pct(found.dram.ratio)} of what they show"
    )
    status = Status.OK if agrees and not found.doubts else Status.ESTIMATED
    return Quality(Aspect.LIGHT_SPEED, status, "; ".join(told))
