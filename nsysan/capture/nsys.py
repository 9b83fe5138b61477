"""Find an nsys and ask it what it can do. Needs nothing but the standard library."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError

_INSTALLED = (
    "/usr/local/cuda*/bin/nsys",
    "/opt/nvidia/nsight-systems*/*/bin/nsys",
    "/opt/nvidia/nsight-systems*/*/target-linux-*/nsys",
    "/usr/local/cuda*/nsight-systems*/bin/nsys",
    # Nsight Compute brings a whole nsys, though not on PATH.
    "/opt/nvidia/nsight-compute/*/host/target-linux-*/nsys",
    "/usr/local/cuda*/nsight-compute*/host/target-linux-*/nsys",
)


@dataclass(frozen=True)
class Nsys:
    """One nsys: its path, and its version as it prints it."""

    path: Path
    version: str


def find_nsys() -> Nsys | None:
    """The nsys to use: NSYSAN_NSYS, else PATH, else the newest in the usual install folders."""
    named = os.environ.get("NSYSAN_NSYS")
    if named:
        return _ask(Path(named))
    on_path = shutil.which("nsys")
    candidates = [on_path] if on_path else []
    candidates += sorted((p for pattern in _INSTALLED for p in glob(pattern)), key=_version_key, reverse=True)
    found = (_ask(Path(candidate)) for candidate in candidates)
    return next((nsys for nsys in found if nsys is not None), None)


def export_sqlite(nsys: Nsys, recording: Path, target: Path) -> Path:
    """Export a recording to SQLite with the payloads that nsysan reads; NsysanError if nothing came out."""
    options = ["--type", "sqlite", "--force-overwrite", "true", "--output", str(target)]
    known = _help(nsys, "export")
    options += [word for flag in ("--include-json", "--include-blobs") if flag in known for word in (flag, "true")]
    result = subprocess.run(
        [str(nsys.path), "export", *options, str(recording)], capture_output=True, text=True, check=False
    )
    if not target.exists() or target.stat().st_size == 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        raise NsysanError(
            f"{recording}: nsys could not export it ({said[-1] if said else 'no message'})", ExitCode.NEEDS_EXPORT
        )
    return target


def _version_key(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _ask(path: Path) -> Nsys | None:
    try:
        answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version\s+(\d+(?:\.\d+)+)", answer.stdout)
    return Nsys(path, f"nsys {found[1]}") if found else None


def _help(nsys: Nsys, command: str) -> str:
    answer = subprocess.run([str(nsys.path), command, "--help"], capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr
