"""Rows of several groups in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Keys = npt.NDArray[Any]


def changes(keys: Sequence[_Keys]) -> npt.NDArray[np.bool_]:
    """Which rows differ from the one before; the first does."""
    fresh = np.ones(len(keys[0]), dtype=np.bool_)
    fresh[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return fresh


def by_group(group: _Keys) -> npt.NDArray[np.int64]:
    """The rows by their group, those of one group as they were."""
    # Of 16 bits they are sorted by counting.
    few = len(group) and group.max() < 1 << 16
    return np.argsort(group.astype(np.uint16) if few else group, kind="stable")


def in_order(group: _Keys, begin: _Keys, *ties: _Keys) -> tuple[npt.NDArray[np.int64], list[_Keys]]:
    """The rows by group and begin, and where both are alike by what is further given; all of it in that order."""
    keys = [group, begin, *ties]
    order = np.argsort(begin, kind="stable")
    order = order[by_group(group[order])]
    ordered = [key[order] for key in keys]
    if not changes(ordered[:2]).all():
        order = np.lexsort(keys[::-1])
        ordered = [key[order] for key in keys]
    return order, ordered
