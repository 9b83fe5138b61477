"""What a compute kernel does, from the patterns in data/kernel_groups.toml (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class KernelGroup(StrEnum):
    """What a compute kernel is for; each has one."""

    ATTENTION = "attention"
    GEMM = "gemm"
    NORM = "norm"
    ACTIVATION = "activation"
    ROPE_CACHE = "rope_cache"
    SAMPLING = "sampling"
    EMBEDDING = "embedding"
    MOE = "moe"
    QUANT = "quant"
    ELEMENTWISE = "elementwise"
    #: What no pattern knows.
    OTHER = "other"


#: Letters of a short and of a demangled name that patterns look at, and of one that is shown.
_SHORT, _DEMANGLED = 300, 1_000
_SHOWN = 160
#: Names of kernels that run whatever their template argument says: that is told with them.
_WRAPPERS = re.compile(
    r"(?:device_kernel|Kernel2?|kernel|\w*elementwise_kernel\w*|reduce_kernel|multi_tensor_apply_kernel|"
    r"distribution_elementwise_grid_stride_kernel)"
)
#: In the template arguments of such a kernel, what it runs; the first that is found.
_RUNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bflash::(?:\w+::)*(FlashAttn\w+)",
        r"\b(cutlass_\d+_\w+)",
        r"\bcutlass::(?:gemm|fmha|conv)::kernel::(\w+)",
        r"\b(?:ReduceOp|func_wrapper_t)<[^<>]*?(?:\w+::)*(\w+Ops)<",
        r"\bfunc_wrapper_t<[^<>]*?(\w+_kernel_cuda|\w+_functor)\b",
        r"\bBinaryFunctor<.*?\b(\w+Functor)<",
        r"\b[AB]UnaryFunctor<.*?\b(\w+Functor)<",
        r"\b(\w+_kernel_cuda|\w+_kernel_impl|\w+KernelImpl|\w+_cuda_out|\w+_kernel)\s*(?:<[^<>]*(?:<[^<>]*>)?[^<>]*>)?\(",
        r"\bat::native::(?:<unnamed>::|\(anonymous namespace\)::)?(\w*[Ff]unctor\w*)<",
        r"<\s*(?:\(\w+\)\d+, )*(?:void )?(?:\w+::)+(\w+)",
    )
)
_NOT_TOLD = {"gpu_kernel_impl", "gpu_kernel_impl_nocast", "elementwise_kernel", "enable_sm90_or_later"}


class PatternRow(NamedTuple):
    """One row of the patterns, searched in the short or in the demangled name."""

    pattern: re.Pattern[str]
    on: str
    group: KernelGroup
    library: str
    source: str
    note: str
    examples: tuple[str, ...]

    def matches(self, short: str, demangled: str) -> bool:
        """Whether the row describes the kernel of these names."""
        return self.pattern.search(demangled if self.on == "demangled" else short) is not None


@cache
def load_groups() -> tuple[PatternRow, ...]:
    """The rows in order; the first that matches wins."""
    document = tomllib.loads(files("nsysan.data").joinpath("kernel_groups.toml").read_text("utf-8"))
    return tuple(
        PatternRow(
            pattern=re.compile(row["pattern"]),
            on=row.get("on", "short"),
            group=KernelGroup(row["group"]),
            library=row["library"],
            source=row["source"],
            note=row.get("note", ""),
            examples=tuple(row["examples"]),
        )
        for row in document["kernel"]
    )


def group_of(short: str, demangled: str) -> KernelGroup:
    """The group of a compute kernel, by its names."""
    short, demangled = short[:_SHORT], demangled[:_DEMANGLED]
    found = (row.group for row in load_groups() if row.matches(short, demangled))
    return next(found, KernelGroup.OTHER)


def telling_name(short: str, demangled: str) -> str:
    """The short name, with what it runs where the kernel runs what its template argument says.

    Such as "device_kernel:FlashAttnFwdSm90"; bounded, as a name can be anything.
    """
    found = _runs(demangled[:_DEMANGLED]) if _WRAPPERS.fullmatch(short[:_SHORT]) else None
    name = short if found is None else f"{short}:{found}"
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN - 3]}..."


def _runs(demangled: str) -> str | None:
    begin = demangled.find("<")
    if begin < 0:
        return None
    arguments = demangled[begin:]
    for pattern in _RUNS:
        for found in pattern.finditer(arguments):
            if found[1] not in _NOT_TOLD:
                return found[1]
    return None
