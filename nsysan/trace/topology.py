"""What nvidia-smi said of the links between GPUs, as a capture records it beside its trace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from nsysan.budgets import TOPOLOGY_BYTES, TOPOLOGY_GPUS, TOPOLOGY_LINKS, TOPOLOGY_WORD

_SUFFIX = ".topology.txt"
#: More GPUs and links than a machine has, and a longer word than nvidia-smi has: what says more is no topology.


class Topology(NamedTuple):
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
        counts = [re.fullmatch(r"NV([1-9]\d{0,3})", kind) for _, _, kind in self.pairs]
        return min((int(match[1]) for match in counts if match), default=None) if all(counts) else None


def parse_topology(text: str) -> Topology:
    """Topology from the output of `nvidia-smi topo -m`, of `nvidia-smi nvlink --status`, or of both.

    The text may be anything; of one that tells of more than a machine can hold nothing is taken.
    """
    plain = re.sub(r"\x1b\[[0-9;]{0,16}m", "", text)
    lines = [line for line in plain.splitlines() if re.match(r"GPU\d{1,4}\s", line)]
    links = re.findall(r"Link \d{1,4}: (?:(\d{1,6}(?:\.\d{1,6})?) GB/s|<?inactive>?)", plain, re.IGNORECASE)
    if len(lines) > TOPOLOGY_GPUS or len(links) > TOPOLOGY_LINKS:
        return Topology([], [], 0)
    rows = [[word[:TOPOLOGY_WORD] for word in line.split(maxsplit=TOPOLOGY_GPUS + 1)] for line in lines]
    count = len(rows)
    pairs = [(i, j, rows[i][j + 1]) for i in range(count) for j in range(i + 1, count) if len(rows[i]) > j + 1]
    speeds = [speed for speed in map(float, filter(None, links)) if speed > 0]
    return Topology(pairs, speeds, len(links) - len(speeds))


def topology_file(trace: Path) -> Path:
    """Where the topology of a trace lies: beside it, under its name."""
    return trace.with_name(trace.stem + _SUFFIX)


def read_topology(trace: Path) -> Topology | None:
    """The topology recorded beside a trace; None where there is none that can be read."""
    file = topology_file(trace)
    try:
        if not file.is_file():  # a pipe would be waited for
            return None
        with file.open(encoding="utf-8", errors="replace") as opened:
            found = parse_topology(opened.read(TOPOLOGY_BYTES))
    except (OSError, ValueError):
        return None
    return found if found.pairs else None
