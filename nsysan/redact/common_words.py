"""Words that tell nothing of a person or machine, though somebody may be called so."""

from __future__ import annotations

from nsysan.redact import plan


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Names of users, hosts and programs that half of all machines have.
GENERIC = _words(
    "host localhost local root user users admin nobody ubuntu debian centos unknown none null true false yes python "
    "python3 bash home default linux windows gpu cuda nvidia torch nccl node worker server main"
)
#: Words that engines, NCCL and nsys use themselves: as the value of a variable they are a setting.
SETTINGS = _words(
    "decode decoder prefill context generation execute forward scheduler executor step steps batch token tokens loop "
    "iter graph eager spawn fork info warn warning error debug trace lazy compute utility graphics video display "
    "all_reduce allreduce all_gather reduce_scatter nccl ring tree simple flashinfer flash_attn triton model request "
    "requests rank ranks group api kernel stream device domain text node nodes sum product auto torchrun mpirun nsys"
)
#: The words of reports, and of the copy's own schema: masking them would take the meaning out.
OURS = (
    _words(
        "compute wait wire fused copy idle skew launch sync dependency graph previous mixed inconclusive straggler "
        "late steady period share cause verdict host_late between_steps collective kernel ranks median"
    )
    | plan.vocabulary()
)
