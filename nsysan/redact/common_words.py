"""Words that tell nothing of a person or machine, though somebody may be called so."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

from nsysan.redact import plan


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: Names of users, hosts and programs that half of all machines have.
GENERIC = words(
    "host localhost local root user users admin nobody ubuntu debian centos unknown none null true false yes python "
    "python3 bash home default linux windows gpu cuda nvidia torch nccl node worker server main"
)
#: Words that engines, NCCL and nsys use themselves: as the value of a variable they are a setting.
SETTINGS = words(
    "decode decoder prefill context generation execute forward scheduler executor step steps batch token tokens loop "
    "iter graph eager spawn fork info warn warning error debug trace lazy compute utility graphics video display "
    "all_reduce allreduce all_gather reduce_scatter nccl ring tree simple flashinfer flash_attn triton model request "
    "requests rank ranks group api kernel stream device domain text node nodes sum product auto torchrun mpirun nsys"
)
#: The words of reports, and of the copy's own schema: masking them would take the meaning out.
OURS = (
    words(
        "compute wait wire fused copy idle skew launch sync dependency graph previous mixed inconclusive straggler "
        "late steady period share cause verdict host_late between_steps collective kernel ranks median"
    )
    | plan.vocabulary()
)
#: Of people and machines as of programs: a name like these, in a longer word, is the program's.
_EITHER = words(
    "benchmark inference research developer engineer scientist student container production pipeline profiler "
    "parallel distributed training transpose reduction quantize optimizer gradient iteration float16 float32 float64 "
    "bfloat16"
)
#: Letters of a name that tells by itself, and of one of letters and a number.
_LONG, _LONG_NUMBERED, _LETTERS = 8, 7, 4
#: In mangled names words are parted by nothing but their lengths.
LONG_MANGLED = 6
#: Catalogues that know kernels and ranges by words of their names.
_CATALOGUES = ("kernels.toml", "kernel_groups.toml", "custom_allreduces.toml", "engines.toml")


def may_be_glued(name: str, text: str) -> bool:
    """Whether the name of a user or host counts in a text also where letters or digits touch it.

    A long one does, unless kernels and ranges are named so: a short or common one would tear their names apart.
    """
    if re.fullmatch(r"\w+", name) is None or (len(name) >= LONG_MANGLED and text[:2].upper() == "_Z"):
        return True
    return _tells_alone(name.lower())


@lru_cache(maxsize=4_096)
def _tells_alone(name: str) -> bool:
    stem = name.rstrip("0123456789")
    numbered = any(c.isdigit() for c in name) and sum(c.isalpha() for c in name) >= _LETTERS
    if len(name) < (_LONG_NUMBERED if numbered else _LONG):
        return False
    common = GENERIC | SETTINGS | OURS | _EITHER
    return not (common & {name, stem} or name in _known_names() or (len(stem) > _LETTERS and stem in _known_names()))


@cache
def _known_names() -> str:
    folder = files("nsysan.data")
    return "\n".join(folder.joinpath(name).read_text("utf-8") for name in _CATALOGUES).lower()
