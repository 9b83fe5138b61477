"""The names that the page's timelines show, as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import as_they_come, codes
from nsysan.text import plain

#: A name is cut at this; what tells two kernels apart may be at its end.
NAME_WIDTH = 160
#: So many names differ in no real trace; further ones are not told apart.
_MOST = 20_000
_FURTHER = "(one of more names than this file holds)"


class Names:
    """The different names, by where they come first; table: as they are shown."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}
        self._known: dict[str | None, int] = {None: -1}

    @property
    def table(self) -> list[str]:
        """The names by their numbers."""
        return list(self._shown)

    def numbered(self, names: pl.Series) -> npt.NDArray[np.int64]:
        """The number of each name, -1 for none; names: texts or categories."""
        number, distinct = codes([names.cast(pl.Categorical)])
        told = distinct.to_series().cast(pl.String).to_list()
        numbers = np.empty(len(told), dtype=np.int64)
        for code in as_they_come(number, len(told)).tolist():
            numbers[code] = self.number(told[code])
        return numbers[number]

    def number(self, name: str | None) -> int:
        """The number of a name, -1 for none."""
        if name is None or name in self._known:
            return self._known[name]
        shown = plain(name, NAME_WIDTH)
        if len(self._shown) >= _MOST and shown not in self._shown:
            shown = _FURTHER
        return self._known.setdefault(name, self._shown.setdefault(shown, len(self._shown)))
