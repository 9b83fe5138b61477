"""One report where it is held; it travels as its recipe, never as what was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import nsysan
from nsysan._errors import NsysanError
from nsysan.model.loaded import Reading, Recipe, Summary, summarise
from nsysan.run.placed import Part, Placement, attempt, place

_T = TypeVar("_T")


class Held:
    """A report that was read, or its part in a run once it has a place.

    Pickled it is empty, and reads the file again when it is asked.
    """

    def __init__(self, recipe: Recipe, placement: Placement | None = None) -> None:
        self._recipe = recipe
        self._placement = placement
        self._value: Reading | Part | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return Held, (self._recipe, self._placement)

    def __sizeof__(self) -> int:
        value = self._value
        return 0 if value is None else (value.work if isinstance(value, Reading) else value.operations).size

    def read(self) -> Summary | NsysanError:
        """Read it; its summary, or why it cannot be read."""
        reading = attempt(self._recipe)
        if isinstance(reading, NsysanError):
            return reading
        self._value = reading
        return summarise(reading)

    def placed(self, placement: Placement) -> Held:
        """The same report with a place in a run."""
        held = Held(self._recipe, placement)
        held._value = place(self._reading(), placement)
        return held

    def ask(self, question: Callable[..., _T], arguments: tuple[object, ...]) -> _T:
        """The answer of its part."""
        return question(self._part(), *arguments)

    def _reading(self) -> Reading:
        if not isinstance(self._value, Reading):
            self._value = self._again()
        return self._value

    def _part(self) -> Part:
        if not isinstance(self._value, Part):
            assert self._placement is not None
            self._value = place(self._again(), self._placement)
        return self._value

    def _again(self) -> Reading:
        reading = attempt(self._recipe)
        if isinstance(reading, NsysanError):
            raise reading
        return reading


def version() -> str:
    """The version of nsysan where this is called."""
    return nsysan.__version__
