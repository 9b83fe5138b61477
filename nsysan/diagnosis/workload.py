"""What a trace is of: decoding, training, or work of which nothing says that it decodes.

DEFINITIONS.md, section 11.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from nsysan.model.steps.step_kind import StepMethod

if TYPE_CHECKING:
    import polars as pl

#: Kernels of a backward pass or an optimiser, as frameworks and cuDNN name them.
_TRAINS = r"(?i)backward|_bwd|bwd_|dgrad|wgrad|fused_?adam|adam_|_adam|_sgd|sgd_"
#: Of an optimiser over lists of tensors, where there are many; a server copies its small inputs with one or two.
_LISTS = "(?i)multi_tensor_apply"
_MULTIPLIES = r"(?i)gemm|gemv|nvjet|cutlass|matmul"
#: What a language model runs beside matrix products.
_DECODES = (
    r"(?i)attention|attn|fmha|flash_fwd|rms_?norm|layer_?norm|rotary|rope|silu|swiglu|gelu|paged|kv_?cache|argmax|"
    r"top_?k|sampl|embedding"
)
#: So many kernels of a backward pass a step make it training.
_A_STEP = 0.5
_LISTS_A_STEP = 8
#: What would show that a run decodes.
_SHOWN = "(no engine's range, no graph replays, no kernels of a language model)"
#: Ranges of this name mark the steps of anything.
_ANY_STEP = "(step range)"


class Workload(StrEnum):
    """What the steps of a trace are."""

    DECODE = "decode"
    TRAINING = "training"
    OTHER = "other"

    @property
    def told(self) -> str:
        """What is said of it before a verdict; nothing of decoding, which verdicts are of."""
        return {
            Workload.DECODE: "",
            Workload.TRAINING: "this is training, not decoding; in its steps ",
            Workload.OTHER: f"nothing shows that this decodes {_SHOWN}; in its steps ",
        }[self]

    @property
    def words(self) -> str:
        """What a run does, where runs are held against each other."""
        return {
            Workload.DECODE: "decodes",
            Workload.TRAINING: "trains",
            Workload.OTHER: f"does not show that it decodes {_SHOWN}",
        }[self]


def workload_of(method: StepMethod, source: str, names: pl.DataFrame, windows: int) -> Workload:
    """By how its steps were found and by the names of its kernels.

    names: name, n, collectives of the operations in steps. windows: steps of all ranks together.
    """
    import polars as pl

    if method == StepMethod.NVTX and not source.endswith(_ANY_STEP):
        return Workload.DECODE
    trains = names.filter(pl.col("name").str.contains(_TRAINS))["n"].sum()
    lists = names.filter(pl.col("name").str.contains(_LISTS))["n"].sum()
    if windows and (trains >= _A_STEP * windows or lists >= _LISTS_A_STEP * windows):
        return Workload.TRAINING
    if method == StepMethod.GRAPH:
        return Workload.DECODE
    multiplies = names["name"].str.contains(_MULTIPLIES).any()
    decodes = names["name"].str.contains(_DECODES).any() or names["collectives"].sum() > 0
    return Workload.DECODE if multiplies and decodes else Workload.OTHER
