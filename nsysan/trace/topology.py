"""What nvidia-smi said of the links between GPUs, as a capture records it beside its trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SUFFIX = ".topology.txt"
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
    return trace.with_name(trace.stem + _SUFFIX)


def read_topology(trace: Path) -> Topology | None:
    """The topology recorded beside a trace; None where there is none that can be read."""
    try:
        with topology_file(trace).open(encoding="utf-8", errors="replace") as file:
            found = parse_topology(file.read(_MAX_BYTES))
    except OSError:
        return None
    return found if found.pairs else None
