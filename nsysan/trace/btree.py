"""Whether the pages of a table form a tree: one that reaches a page twice can hold a scan up for ever.

The layout is that of https://www.sqlite.org/fileformat2.html#b_tree_pages.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

_INNER, _LEAF = 5, 13
_DEPTH = 20


def is_tree(path: Path, root: int) -> bool:
    """Whether the table that begins at page `root` reaches each of its pages once; False also for a damaged one."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        header = os.pread(descriptor, 32, 0)
        size = int.from_bytes(header[16:18], "big")
        size = 65_536 if size == 1 else size
        pages = os.fstat(descriptor).st_size // max(size, 1)
        return size >= 512 and _reaches_each_once(descriptor, root, size, pages)
    finally:
        os.close(descriptor)


def _reaches_each_once(descriptor: int, root: int, size: int, pages: int) -> bool:
    seen = np.zeros(pages + 1, dtype=np.bool_)
    level = np.array([root], dtype=np.int64)
    for _ in range(_DEPTH):
        if not len(level):
            return True
        within = bool((level >= 1).all()) and bool((level <= pages).all())
        if not within or len(np.unique(level)) < len(level) or seen[level].any():
            return False
        seen[level] = True
        kinds = np.array([_byte(descriptor, (int(page) - 1) * size) for page in level])
        if not np.isin(kinds, (_INNER, _LEAF)).all():
            return False
        inner = [_children(os.pread(descriptor, size, (int(page) - 1) * size)) for page in level[kinds == _INNER]]
        if any(children is None for children in inner):
            return False
        level = np.concatenate([children for children in inner if children is not None] or [level[:0]])
    return False


def _byte(descriptor: int, at: int) -> int:
    found = os.pread(descriptor, 1, at)
    return found[0] if found else 0


def _children(page: bytes) -> npt.NDArray[np.int64] | None:
    """Pages that an inner page names, None where one of its cells lies outside it."""
    count = int.from_bytes(page[3:5], "big")
    cells = np.frombuffer(page, dtype=">u2", count=min(count, (len(page) - 12) // 2), offset=12).astype(np.int64)
    if len(cells) < count or (len(cells) and cells.max() + 4 > len(page)):
        return None
    data = np.frombuffer(page, dtype=np.uint8)
    named = data[cells[:, None] + np.arange(4)].astype(np.int64) @ (256 ** np.arange(3, -1, -1))
    return np.append(named, int.from_bytes(page[8:12], "big")).astype(np.int64)
