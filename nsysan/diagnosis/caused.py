"""What the late ranks cost: what a step takes less once all of them are put right (DEFINITIONS.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.late_words import outermost, weight


@dataclass(frozen=True)
class Caused:
    """saves: ns of a step that takes `of`, ns: the median one, or the mean one if `mean`. ranks: those that are late,
    none where nobody is, or each in turn.
    """

    ranks: tuple[int, ...]
    saves: int
    of: int
    mean: bool = False


def caused_by(diagnosis: Diagnosis) -> Caused | None:
    """What all late ranks put right together save, as the report tells it of them; None where that cannot be told.

    Of the mean step, in which all is, where one of them makes the tail. Where ranks are late in turn, what balancing
    them saves.
    """
    what, every = diagnosis.what_if, diagnosis.late_as_one
    if not diagnosis.late_told or what is None or not what.period:
        return None
    if every is None:
        return Caused((), diagnosis.rotation, what.period)
    if any(weight(one, what.period).mean for one in outermost(diagnosis.late)):
        return Caused(every.ranks, every.mean_saves, max(every.mean_period, what.period), mean=True)
    return Caused(every.ranks, max(every.saves, every.most or 0), what.period)
