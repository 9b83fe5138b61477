"""The real traces of fixtures/, most of them packed."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def unpacked(name: str, folder: Path) -> Path:
    """The trace of that name in a folder, put there unless it is there."""
    target = folder / f"{name}.sqlite"
    if not target.exists():
        plain = FIXTURES / target.name
        packed = plain.with_name(f"{plain.name}.xz")
        target.write_bytes(plain.read_bytes() if plain.exists() else lzma.decompress(packed.read_bytes()))
    return target


def unpack_exports(folder: Path) -> None:
    """tp2.sqlite, tp2_pqtdir and tp2_arwdir in a folder: one real report, exported three ways by one nsys."""
    _extract("tp2_exports.tar.xz", folder)


def unpack_pairs(folder: Path) -> None:
    """base, slow, late and both .sqlite in a folder: one loop without and with planted faults, in one go. And
    vllm_base, vllm_slow and vllm_both: windows of one vLLM engine, the faults switched on and off meanwhile. And
    sglang_base, sglang_late1, sglang_late0 and sglang_slow0: 30 steps each of windows of one SGLang engine. And windows
    of four vLLM engines: vllm_spec_slow0, vllm_held0, vllm_pp_slow1 and vllm_pp_64. And awake, sleepy: a loop in whose
    second run the host of rank 1 sleeps until its GPU is done.
    """
    _extract("tp2_pairs.tar.xz", folder)
    _extract("vllm_pairs.tar.xz", folder)
    _extract("sglang_pairs.tar.xz", folder)
    _extract("vllm_windows.tar.xz", folder)
    _extract("tp2_sleepy.tar.xz", folder)


def _extract(name: str, folder: Path) -> None:
    with tarfile.open(FIXTURES / name) as archive:
        # Python 3.11.3 and older, as in Debian 12, has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
