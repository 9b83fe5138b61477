"""Whether the pages of a table form a tree: one that reaches a page twice can hold a scan up for ever.

The layout is that of https://www.sqlite.org/fileformat2.html#b_tree_pages.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

_INNER, _LEAF = 5, 13
_DEPTH = 20
_MAPPED = 64 << 20
_Kinds = npt.NDArray[np.uint8]


def page_kinds(path: Path) -> _Kinds:
    """First byte of each page of an SQLite file, by page number; entry 0, and a page's kind that it has not, is 0."""
    with path.open("rb") as file:
        size = _page_size(file.read(32))
        pages = os.fstat(file.fileno()).st_size // size
        kinds = np.zeros(pages + 1, dtype=np.uint8)
        # A part at a time: of a file that is mapped whole, every page touched counts as the process's memory.
        step = _MAPPED // size
        for first in range(0, pages, step):
            count = min(step, pages - first)
            with mmap.mmap(file.fileno(), count * size, access=mmap.ACCESS_READ, offset=first * size) as part:
                kinds[first + 1 : first + count + 1] = np.frombuffer(part[::size], dtype=np.uint8)
    return kinds


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    return 65_536 if size == 1 else max(size, 512)


def is_tree(path: Path, root: int, kinds: _Kinds) -> bool:
    """Whether the table that begins at page `root` reaches each of its pages once; False also for a damaged one.

    kinds: as page_kinds gives them.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _reaches_each_once(descriptor, root, _page_size(os.pread(descriptor, 32, 0)), kinds)
    finally:
        os.close(descriptor)


def _reaches_each_once(descriptor: int, root: int, size: int, kinds: _Kinds) -> bool:
    pages = len(kinds) - 1
    seen = np.zeros(pages + 1, dtype=np.bool_)
    level = np.array([root], dtype=np.int64)
    for _ in range(_DEPTH):
        if not len(level):
            return True
        within = bool((level >= 1).all()) and bool((level <= pages).all())
        if not within or len(np.unique(level)) < len(level) or seen[level].any():
            return False
        seen[level] = True
        own = kinds[level]
        if not np.isin(own, (_INNER, _LEAF)).all():
            return False
        inner = [_children(os.pread(descriptor, size, (int(page) - 1) * size)) for page in level[own == _INNER]]
        if any(children is None for children in inner):
            return False
        level = np.concatenate([children for children in inner if children is not None] or [level[:0]])
    return False


def _children(page: bytes) -> npt.NDArray[np.int64] | None:
    """Pages that an inner page names, None where one of its cells lies outside it."""
    count = int.from_bytes(page[3:5], "big")
    cells = np.frombuffer(page, dtype=">u2", count=min(count, (len(page) - 12) // 2), offset=12).astype(np.int64)
    if len(cells) < count or (len(cells) and cells.max() + 4 > len(page)):
        return None
    data = np.frombuffer(page, dtype=np.uint8)
    named = data[cells[:, None] + np.arange(4)].astype(np.int64) @ (256 ** np.arange(3, -1, -1))
    return np.append(named, int.from_bytes(page[8:12], "big")).astype(np.int64)
