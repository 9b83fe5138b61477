"""Logs of NCCL for traces on paper, in the formats of its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The communicator of tests.tracebuilder.decode_loop.
COMM = 0x1234_5678_9ABC
#: us and GB/s of an all-reduce as a tuning table has them: Tree LL, LL128, Simple, Ring LL, LL128, Simple.
COSTS = ((10.4, 43.6), (20.0, 0.0), (40.0, 90.0), (10.0, 70.0), (25.0, 180.0), (34.0, 200.0))


@dataclass(frozen=True)
class RankLog:
    """What one rank's process prints; `via` by number of the rank that it sends to, else that of `usual`.

    Ranks form one ring, 0 to 1 to 2 and so on, of two channels.
    """

    rank: int
    ranks: int = 4
    pid: int = 1000
    host: str = "node-a"
    version: str = "2.28.9"
    comm: int = COMM
    bus: int = 0x60
    usual: str = "P2P/CUMEM"
    via: Mapping[int, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    multicast: bool | None = None
    costs: Sequence[tuple[float, float]] = ()
    calls: Sequence[str] = ()
    late: bool = False

    def lines(self) -> list[str]:
        """As NCCL 2.18 and later have them; late: connected by another thread, once the communicator is set up."""
        joined = (
            f"ncclCommInitRankConfig comm 0x55aa0{self.rank:03x} rank {self.rank} nranks {self.ranks} cudaDev "
            f"{self.rank} nvmlDev {self.rank} busId {self.bus + 16 * self.rank:x} commId 0x{self.comm:x} - Init"
        )
        told = [
            f"NCCL version {self.version}+cuda13.0",
            *(f"{name} set by environment to {value}." for name, value in self.settings.items()),
            f"{joined} START",
            f"comm 0x55aa0{self.rank:03x} rank {self.rank} nRanks {self.ranks} nNodes 1 localRanks {self.ranks} "
            f"localRank {self.rank} MNNVL 0",
        ]
        if self.multicast is not None:
            told.append(f"NVLS multicast support is {'' if self.multicast else 'not '}available on dev {self.rank}")
        ring = " ".join(map(str, range(min(self.ranks, 64))))
        told += [f"Channel {channel:02d}/02 : {ring}" for channel in (0, 1) if self.rank == 0]
        told.append("Trees [0] 1/-1/-1->0->-1 [1] 1/-1/-1->0->-1")
        made = [
            f"Channel {channel:02d}/0 : {self.rank}[{self.rank}] -> {peer}[{peer}] via {self.via.get(peer, self.usual)}"
            for channel in (0, 1)
            for peer in [(self.rank + 1) % self.ranks]
        ]
        told += [] if self.late else made
        if self.costs:
            told.append("  Algorithm   |           Tree          |           Ring          |")
            told.append("    AllReduce | " + " | ".join(f"{us:7.1f}/{gbps:6.1f}" for us, gbps in self.costs) + " |")
        told.append("2 coll channels, 2 collnet channels, 0 nvls channels, 4 p2p channels, 4 p2p channels per peer")
        told.append(f"{joined} COMPLETE")
        after = [*(made if self.late else []), *self.calls]
        return [f"{self.host}:{self.pid}:{self.pid + 1} [{self.rank}] NCCL INFO {text}" for text in told] + [
            f"{self.host}:{self.pid}:{self.pid + 7} [{self.rank}] NCCL INFO {text}" for text in after
        ]

    def write(self, trace: Path) -> Path:
        """The file that a capture leaves beside the trace."""
        path = trace.with_name(f"{trace.stem}.nccl.{self.host}.{self.pid}.log")
        path.write_text("\n".join(self.lines()) + "\n", encoding="utf-8")
        return path


def write_logs(trace: Path, ranks: int = 4, **told: object) -> list[Path]:
    """A log for each rank of a decode_loop; told: as of RankLog."""
    return [RankLog(rank, ranks, 1000 + rank, **told).write(trace) for rank in range(ranks)]  # type: ignore[arg-type]
