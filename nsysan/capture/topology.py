"""What nvidia-smi says of the links between GPUs: asked for at capture, read again by a report."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".topology.txt"
_QUESTIONS = (("nvidia-smi", "topo", "-m"), ("nvidia-smi", "nvlink", "--status"))
_TIMEOUT_S = 30.0
_CAPTURE_TIMEOUT_S = 5.0
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Topology:
    """pairs: (GPU, GPU, how they are connected, as nvidia-smi has it: NV18, PIX, SYS, ...).

    speeds: GB/s of each active NVLink; inactive: number of the others.
    """

    pairs: list[tuple[int, int, str]]
    speeds: list[float]
    inactive: int

    @property
    def without_nvlink(self) -> list[tuple[int, int, str]]:
        """The pairs that no NVLink connects."""
        return [pair for pair in self.pairs if not pair[2].startswith("NV")]

    @property
    def kinds(self) -> list[str]:
        """The kinds of connection, each once."""
        return sorted({kind for _, _, kind in self.pairs})

    @property
    def bonded(self) -> int | None:
        """NVLinks that connect every pair, the fewest of any; None where a pair has none."""
        counts = [re.fullmatch(r"NV(\d+)", kind) for _, _, kind in self.pairs]
        return min((int(match[1]) for match in counts if match), default=None) if all(counts) else None


def parse_topology(text: str) -> Topology:
    """Topology from the output of `nvidia-smi topo -m`, of `nvidia-smi nvlink --status`, or of both."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    rows = [line.split() for line in plain.splitlines() if re.match(r"GPU\d+\s", line)]
    count = len(rows)
    pairs = [(i, j, rows[i][j + 1]) for i in range(count) for j in range(i + 1, count) if len(rows[i]) > j + 1]
    speeds = [float(speed) for speed in re.findall(r"Link \d+: (\d+(?:\.\d+)?) GB/s", plain)]
    inactive = len(re.findall(r"Link \d+: <?inactive>?", plain, re.IGNORECASE))
    return Topology(pairs, speeds, inactive)


def topology_file(trace: Path) -> Path:
    """Where the topology of a trace lies: beside it, under its name."""
    return trace.with_name(trace.stem + SUFFIX)


def read_topology(trace: Path) -> Topology | None:
    """The topology recorded beside a trace; None where there is none that can be read."""
    try:
        with topology_file(trace).open(encoding="utf-8", errors="replace") as file:
            found = parse_topology(file.read(_MAX_BYTES))
    except OSError:
        return None
    return found if found.pairs else None


def record_topology(target: Path) -> bool:
    """Write what nvidia-smi says to `target`; False where it says nothing or the file cannot be written.

    Neither answer names the host.
    """
    answers = [(" ".join(question), ask(*question, timeout=_CAPTURE_TIMEOUT_S)) for question in _QUESTIONS]
    told = [f"$ {question}\n{answer.rstrip()}\n" for question, answer in answers if answer.strip()]
    if not told:
        return False
    try:
        target.write_text("\n".join(told), encoding="utf-8")
    except OSError:
        return False
    return True


def ask(*command: str, timeout: float = _TIMEOUT_S) -> str:
    """What a command prints; nothing if it fails, since nvidia-smi prints its errors to stdout."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if answer.returncode else answer.stdout
