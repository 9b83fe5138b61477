"""What this user may ask of the machine: GPU counters and samples of CPUs are for administrators on many."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from nsysan.capture.checks import OK, WARN, Check

_DRIVER_PARAMETERS = Path("/proc/driver/nvidia/params")
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
#: The highest level at which users may sample their own processes (Nsight Systems user guide, requirements of Linux).
_MOST_PARANOID = 2
_SAMPLES = re.compile(r"(?:^| )(?:--sample|-s|--cpuctxsw)[= ](?!none)")


def metrics_permission() -> Check:
    """Whether this user may sample GPU counters."""
    restricted = True
    if _DRIVER_PARAMETERS.exists():
        restricted = "RmProfilingAdminOnly: 1" in _DRIVER_PARAMETERS.read_text(encoding="utf-8", errors="replace")
    elif not shutil.which("nvidia-smi"):
        return Check("GPU metrics", WARN, "no NVIDIA driver here")
    if not restricted or os.geteuid() == 0:
        return Check("GPU metrics", OK, "permitted")
    return Check(
        "GPU metrics",
        WARN,
        "for administrators only",
        "set NVreg_RestrictProfilingToAdminUsers=0, or leave --gpu-metrics out",
    )


def permission_notes(extra: Sequence[str], *, metrics: bool) -> list[str]:
    """What this capture asks for and this user may not. extra: options given to nsys; metrics: GPU counters."""
    notes = []
    check = metrics_permission() if metrics else None
    if check is not None and check.remedy:
        notes.append(f"GPU counters are {check.seen}: {check.remedy}")
    level = _paranoid() if _SAMPLES.search(" ".join(extra)) and os.geteuid() != 0 else 0
    if level > _MOST_PARANOID:
        notes.append(
            f"nsys cannot sample CPUs, as kernel.perf_event_paranoid is {level}: {_MOST_PARANOID} or less, or root; "
            "no report needs these samples"
        )
    return notes


def _paranoid() -> int:
    try:
        return int(_PARANOID.read_text("utf-8"))
    except (OSError, ValueError):
        return 0
