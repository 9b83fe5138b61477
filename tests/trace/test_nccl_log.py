"""NCCL's log read: the formats of its versions, whose a line is, and bounds on whatever else a file may hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsysan.trace import nccl_files
from nsysan.trace.nccl_files import Budget, logs_beside, read_logs, whole_lines
from nsysan.trace.nccl_lines import parse_line
from nsysan.trace.nccl_log import LogReader, NcclLog
from nsysan.trace.nccl_said import Called, Channels, Connected, Joined, Multicast, Nodes, Ring, Said, Setting, Version
from tests.nccllogs import COMM, COSTS, RankLog

_FRONT = "node-a:71:72 [0] NCCL INFO "
_JOINED = "comm 0x5581ef rank 1 nranks 2 cudaDev 1"
_AGAIN = Joined("0x5581ef", 1, 2, 1, 1, 0x70, 0x2EF1, False)
Ways = tuple[str | None, str | None]


def said(text: str) -> Said:
    origin, found = parse_line(_FRONT + text + "\n")
    assert origin is not None
    return found


def connected(source: int, target: int, via: str, gpus: Ways = (None, None), channel: int = 0) -> Connected:
    return Connected(channel, source, target, gpus, via)


# ---- the formats


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM", connected(0, 1, "P2P/CUMEM", ("0", "1"))),
        ("Channel 03/1 : 2[2] -> 0[0] via P2P/CUMEM/read", connected(2, 0, "P2P/CUMEM/read", ("2", "0"), 3)),
        ("Channel 12/0 : 8[0] -> 9[1] via P2P/MNNVL", connected(8, 9, "P2P/MNNVL", ("0", "1"), 12)),
        ("Channel 00/0 : 0[a4000] -> 1[a9000] via P2P/IPC", connected(0, 1, "P2P/IPC", ("a4000", "a9000"))),
        ("Channel 00 : 0[0] -> 1[1] via SHM/direct/direct", connected(0, 1, "SHM/direct/direct", ("0", "1"))),
        ("Channel 00 : 0[0] -> 1[1] via SHM/CE/direct", connected(0, 1, "SHM/CE/direct", ("0", "1"))),
        ("Channel 00/0 : 0[0] -> 8[0] [send] via NET/IB/0/GDRDMA", connected(0, 8, "NET/IB/GDRDMA", ("0", "0"))),
        ("Channel 01/0 : 8[0] -> 0[0] [receive] via NET/IBext_v8/3(2)/GDRDMA(PCI)/Shared",
         connected(8, 0, "NET/IB/GDRDMA", ("0", "0"), 1)),
        ("Channel 00/0 : 0[0] -> 1[0] [send] via NET/Socket/0", connected(0, 1, "NET/Socket", ("0", "0"))),
        ("Channel 00/0 : 0[0] -> 1[0] [send] via NET/AWS Libfabric/0/GDRDMA",
         connected(0, 1, "NET/Libfabric/GDRDMA", ("0", "0"))),
        ("Ring 00 : 0 -> 1 [send] via NET/IB/0", connected(0, 1, "NET/IB")),
        ("Channel 00/24 : 0 1 2 3", Ring(0)),
        ("Channel 11/12 :    0   1   2   3   4   5   6   7", Ring(11)),
        (f"{_JOINED} busId a9000 - Init COMPLETE", Joined("0x5581ef", 1, 2, 1, None, 0xA9000, None, True)),
        (f"{_JOINED} nvmlDev 1 busId 70 commId 0x2ef1 - Init START", _AGAIN),
        (f"[Rank 1] ncclCommInitRank {_JOINED} nvmlDev 1 busId 70 commId 0x2ef1 - Init START", _AGAIN),
        (f"ncclCommSplit {_JOINED} nvmlDev 1 busId 70 parent 0x77 splitCount 1 color 0 key 1- Init START",
         Joined("0x5581ef", 1, 2, 1, 1, 0x70, None, False)),
        ("comm 0x5581ef rank 0 nRanks 16 nNodes 2 localRanks 8 localRank 0 MNNVL 0", Nodes("0x5581ef", 2)),
        ("24 coll channels, 32 p2p channels, 32 p2p channels per peer", Channels(None, 24, None, 32)),
        ("24 coll channels, 16 nvls channels, 32 p2p channels, 32 p2p channels per peer", Channels(None, 24, 16, 32)),
        ("comm 0x55a7, 16 coll channels, 16 collnet channels, 0 nvls channels, 8 p2p channels, 2 p2p channels per peer",
         Channels("0x55a7", 16, 0, 8)),
        ("NVLS multicast support is available on dev 0 (NVLS_NCHANNELS 16)", Multicast(True)),
        ("NVLS multicast support is not available on dev 3, transport disabled, symmetric multimem disabled",
         Multicast(False)),
        ("NCCL version 2.28.9+cuda13.0", Version("2.28.9")),
        ("NCCL_P2P_DISABLE set by environment to 1.", Setting("NCCL_P2P_DISABLE", "1")),
        ("NCCL_ALGO set by environment to ring,tree", Setting("NCCL_ALGO", "ring,tree")),
        ("AllReduce: 8192 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}", Called("AllReduce", 8192, "Ring", "LL")),
        ("AllGather: 64 Bytes -> Algo NVLS_TREE proto SIMPLE channel{Lo..Hi}={0..15} cgaClusterSize 4",
         Called("AllGather", 64, "NVLSTree", "Simple")),
        ("8192 Bytes -> Algo 1 proto 0 time 12.345678", Called(None, 8192, "Ring", "LL")),
    ],
)  # fmt: skip
def test_lines_of_many_versions(text: str, expected: Said) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eth0:192.0.2.7<0>",
        "Bootstrap: Using eth0:192.0.2.7<0>",
        "NCCL_SOCKET_IFNAME set by environment to secret-net",
        "Channel 00/0 : 0[0] -> 1[1] via secret-host/0",
        "Channel 99999/0 : 0[0] -> 1[1] via P2P/CUMEM",
        f"comm 0x5581ef rank 9 nranks 2 cudaDev 1 busId a9000 - Init COMPLETE",  # noqa: F541
        "comm 0x5581ef rank 99999999999 nranks 999999999999 cudaDev 1 busId 1 - Init START",
        "AllReduce: 99999999999999999999 Bytes -> Algo RING proto LL channel",
        "AllReduce: 8192 Bytes -> Algo SECRET proto LL channel",
        "Secret: 8192 Bytes -> Algo RING proto LL channel",
        "AllReduce |  secret/ 1.0 |",
        "Connected all rings",
        "\x1b[31m\x00",
        "",
    ],
)
def test_what_is_passed_over(text: str) -> None:
    assert said(text) is None


def test_of_names_nothing_goes_on() -> None:
    assert said("NCCL_P2P_LEVEL set by environment to node-a.example.com") == Setting("NCCL_P2P_LEVEL", "")
    found = said("Channel 00/0 : 0[0] -> 1[1] via NET/secret-plugin/0/node-a")
    assert isinstance(found, Connected)
    assert found.via == "NET/other"
    found = said("Channel 00/0 : 0[0] -> 1[1] via P2P/node-a/CUMEM/10.0.0.1")
    assert isinstance(found, Connected)
    assert found.via == "P2P/CUMEM"


@pytest.mark.parametrize(
    "front",
    [
        _FRONT,
        f"[2026-01-01 10:00:00] {_FRONT}",
        f"(Worker_TP0 pid=71) {_FRONT}",
        f"  0: {_FRONT}",
        f"\x1b[0;36m {_FRONT}",
    ],
)
def test_what_launchers_put_in_front(front: str) -> None:
    origin, found = parse_line(f"{front}NCCL version 2.21.5+cuda12.4")
    assert origin is not None
    assert (origin.host, origin.pid, origin.tid, found) == ("node-a", 71, 72, Version("2.21.5"))


@pytest.mark.parametrize("front", ["", "a:b:c [0] ", "node-a:71 [0] ", "node-a:71:72 ", "x:99999999999:1 [0] ", "[0] "])
def test_who_says_nothing_is_nobody(front: str) -> None:
    assert parse_line(f"{front}NCCL INFO NCCL version 2.21.5") == (None, None)


# ---- whose a line is


def read(lines: list[str]) -> NcclLog:
    found = NcclLog()
    LogReader(found).read(lines)
    return found


def test_a_process_and_its_communicator() -> None:
    lines = RankLog(
        0, 4, 1000, costs=COSTS, multicast=True, calls=["8192 Bytes -> Algo 0 proto 2 time 9.5"] * 2
    ).lines()
    (process,) = read(["NCCL version 2.28.9+cuda13.0", *lines]).processes
    assert (process.host, process.pid, process.version, process.multicast) == ("node-a", 1000, "2.28.9", True)
    (own,) = process.communicators
    assert (own.rank, own.size, own.device, own.bus, own.id, own.nodes) == (0, 4, 0, 0x60, COMM, 1)
    assert (own.channels, own.rings, own.trees) == ((2, 0, 4), {0, 1}, 2)
    assert process.connections == {(0, 0, 1, "P2P/CUMEM"): {0, 1}}
    assert process.calls == {(None, 8192, "Tree", "Simple"): 2}
    assert own.costs["AllReduce", "Ring", "LL"] == (10.0, 70.0)
    assert len(own.costs) == 6


def test_older_tables_name_each_column() -> None:
    head = "Latency/AlgBw |    Tree/    LL |    Tree/ LL128 |    New/Simple |    Ring/    LL |"
    lines = [*RankLog(0).lines(), _FRONT.replace(":71:72", ":1000:1001") + head]
    lines.append(
        _FRONT.replace(":71:72", ":1000:1001") + "   AllReduce |  6.8/ 1.0 | 14.0/ 2.0 | 9.9/ 9.9 | 6.6/ 3.0 |"
    )
    (process,) = read(lines).processes
    assert process.communicators[0].costs == {
        ("AllReduce", "Tree", "LL"): (6.8, 1.0),
        ("AllReduce", "Tree", "LL128"): (14.0, 2.0),
        ("AllReduce", "Ring", "LL"): (6.6, 3.0),
    }


def test_connections_made_later_are_of_the_communicator_that_has_the_gpu() -> None:
    # Rank 0 of a pair and, by the same process, rank 1 of four: 1 -> 2 can only be of the four.
    pair, four = RankLog(0, 2, comm=1), RankLog(1, 4, comm=2, late=True)
    (process,) = read([*pair.lines(), *four.lines()]).processes
    assert process.connections == {(0, 0, 1, "P2P/CUMEM"): {0, 1}, (1, 1, 2, "P2P/CUMEM"): {0, 1}}
    (process,) = read(
        [*pair.lines(), "node-a:1000:9 [0] NCCL INFO Channel 00/0 : 5[5] -> 6[6] via P2P/CUMEM"]
    ).processes
    assert process.unplaced == 1


def test_lines_of_several_processes_in_one_file() -> None:
    each = [RankLog(rank, 2, 1000 + rank, host=f"node-{rank}.example.com").lines() for rank in (0, 1)]
    mixed = [line for pair in zip(*each, strict=False) for line in pair]
    assert [(p.host, p.pid, p.communicators[0].rank) for p in read(mixed).processes] == [
        ("node-0", 1000, 0),
        ("node-1", 1001, 1),
    ]


# ---- bounds


def test_fifty_megabytes_are_read_up_to_a_bound() -> None:
    line = f"{_FRONT}AllReduce: 8192 Bytes -> Algo RING proto LL channel{{Lo..Hi}}={{0..0}}\n".encode()
    handed_out = 0

    def endless() -> Iterator[bytes]:
        nonlocal handed_out
        while True:
            handed_out += 1
            yield line

    found = NcclLog()
    for _ in whole_lines(endless(), Budget(bytes=50_000_000, lines=3_000), found):
        pass
    assert (handed_out, found.cut) == (3_001, True)
    handed_out, found = 0, NcclLog()
    for _ in whole_lines(endless(), Budget(bytes=1_000 * len(line)), found):
        pass
    assert (handed_out, found.cut) == (1_001, True)


def test_a_file_of_fifty_megabytes_without_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.nccl.h.1.log"
    with path.open("wb") as file:
        file.write(f"{_FRONT}NCCL version 2.28.9\n".encode())
        file.truncate(50_000_000)  # a sparse file: NUL to the end
    found = read_logs([path], Budget(bytes=1_000_000))
    assert (found.lines, found.long, found.cut) == (1, 1, True)


def test_hostile_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    long = b"x" * 1_000_000 + b" NCCL INFO NCCL version 9.9.9\n"
    path.write_bytes(
        long + b"\xff\xfe\x00 NCCL INFO \x00\n" + _FRONT.encode() + b"NCCL version 2.28.9\x00\x1b[2J\n"
        + b"a:1:1 [0] NCCL INFO " + b"|" * 4_000 + b"\n" + b"a:1:1 [0] NCCL INFO " + b"9" * 4_000 + b"\n" + b"\n" * 100
    )  # fmt: skip
    found = read_logs([path])
    assert (found.files, found.long, found.cut, found.unread) == (1, 1, False, 0)
    assert [(p.host, p.pid, p.version) for p in found.processes] == [("node-a", 71, "2.28.9")]


def test_no_kind_of_entry_grows_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.trace.nccl_log._MOST", 8)
    joined = [f"comm 0x{n:x} rank 0 nranks 99 cudaDev 0 busId 60 commId 0x{n + 1:x} - Init START" for n in range(50)]
    made = [f"Channel 00/0 : 0[0] -> {n}[{n}] via P2P/CUMEM" for n in range(1, 50)]
    calls = [f"AllReduce: {n} Bytes -> Algo RING proto LL channel" for n in range(50)]
    hosts = [f"h{n}:{n}:1 [0] NCCL INFO NCCL version 2.28.9" for n in range(50)]
    found = read([*(_FRONT + text for text in (*joined, *made, *calls)), *hosts])
    assert found.cut
    assert len(found.processes) == 8
    own = found.processes[0]
    assert (len(own.communicators), len(own.connections), len(own.calls)) == (8, 8, 8)


def test_what_is_no_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.log")
    found = read_logs([tmp_path / "pipe.log", tmp_path, tmp_path / "none.log", Path("/dev/zero")])
    assert (found.files, found.unread, found.processes) == (0, 4, [])
    monkeypatch.setattr(nccl_files, "NCCL_FILES", 2)
    assert read_logs([tmp_path] * 5).cut


def test_logs_beside_a_trace(tmp_path: Path) -> None:
    for name in (
        "run.nccl.h.1.log",
        "run.nccl.h.2.log",
        "run2.nccl.h.1.log",
        "run.[x].nccl.h.1.log",
        "run.nccl",
        "mine.nccl.h.7",
    ):
        (tmp_path / name).touch()

    def beside(name: str) -> list[str]:
        return [path.name for path in logs_beside(tmp_path / name)]

    assert beside("run.sqlite") == ["run.nccl.h.1.log", "run.nccl.h.2.log"]
    # As users name them.
    assert beside("mine.sqlite") == ["mine.nccl.h.7"]
    # The traces of a range that repeats share them.
    assert beside("run.2.sqlite") == beside("run.sqlite")
    assert beside("run.[x].sqlite") == ["run.[x].nccl.h.1.log"]
    assert beside("run.x.sqlite") == beside("other.sqlite") == []
