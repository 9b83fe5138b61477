"""The lines of NCCL's log that say what it chose, by the formats of its versions; all else of a log is passed over.

The formats are those of src/init.cc, graph/tuning.cc, transport/p2p.cc, shm.cc and net.cc, and enqueue.cc of
NVIDIA/nccl from 2.7 to 2.30. What is taken from a line is a number or a word of a list below: a log may hold anything,
also names of machines, and nothing else of it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nsysan.trace.nccl_said import (
    Called,
    Channels,
    Connected,
    Joined,
    Multicast,
    Nodes,
    Origin,
    Ring,
    Said,
    Setting,
    TableHead,
    TableRow,
    Trees,
    Version,
)

#: What is in front of every line that NCCL prints for information.
_SAYS = "NCCL INFO "
#: Algorithms and protocols by any of their spellings; by number as older versions print them.
ALGORITHMS = ("Tree", "Ring", "CollNetDirect", "CollNetChain", "NVLS", "NVLSTree", "PAT")
PROTOCOLS = ("LL", "LL128", "Simple")
_ALGORITHM_OF = {name.upper(): name for name in ALGORITHMS} | {str(n): name for n, name in enumerate(ALGORITHMS)}
_PROTOCOL_OF = {name.upper(): name for name in PROTOCOLS} | {str(n): name for n, name in enumerate(PROTOCOLS)}
_FUNCTIONS = ("AllReduce", "AllGather", "ReduceScatter", "Broadcast", "Reduce")
_ON_THE_WAY = {
    "P2P": ("CUMEM", "IPC", "MNNVL", "direct pointer", "indirect", "read", "CE"),
    "SHM": ("direct", "CE"),
}
_NETWORKS = (("IB", "IB"), ("SOCKET", "Socket"), ("AWS LIBFABRIC", "Libfabric"), ("OFI", "Libfabric"), ("UCX", "UCX"))
#: Variables of which a log's word that they are set is kept, and the words that their values may be made of.
_VARIABLES = frozenset(
    f"NCCL_{name}"
    for name in [
        "ALGO",
        "BUFFSIZE",
        "COLLNET_ENABLE",
        "CROSS_NIC",
        "CTA_POLICY",
        "CUMEM_ENABLE",
        "IB_DISABLE",
        "LAUNCH_MODE",
        "MAX_CTAS",
        "MAX_NCHANNELS",
        "MIN_CTAS",
        "MIN_NCHANNELS",
        "MNNVL_ENABLE",
        "NET_GDR_LEVEL",
        "NTHREADS",
        "NVLS_ENABLE",
        "P2P_DIRECT_DISABLE",
        "P2P_DISABLE",
        "P2P_LEVEL",
        "PROTO",
        "RUNTIME_CONNECT",
        "SHM_DISABLE",
    ]
)
_WORDS = frozenset(
    [
        "LOC",
        "NVL",
        "PIX",
        "PXB",
        "PXN",
        "PHB",
        "SYS",
        "GROUP",
        "PARALLEL",
        "ALLREDUCE",
        "ALLGATHER",
        "REDUCESCATTER",
        "BROADCAST",
        "REDUCE",
    ]
) | {name.upper() for name in (*ALGORITHMS, *PROTOCOLS)}

_NUMBER = r"\d{1,9}"
_CONNECTION = re.compile(
    rf"(?:Channel|Ring) (\d{{1,4}})(?:/\d{{1,4}})? : ({_NUMBER})(?:\[([0-9a-f]{{1,16}})\])? -> "
    rf"({_NUMBER})(?:\[([0-9a-f]{{1,16}})\])? (?:\[(?:send|receive)\] )?via (.{{3,80}})"
)
_RING = re.compile(rf"Channel (\d{{1,4}})/\d{{1,4}} : {{1,8}}{_NUMBER}(?: |$)(?!->)")
_COMMUNICATOR = re.compile(
    rf"comm (0x[0-9a-f]{{1,16}}) rank ({_NUMBER}) nranks ({_NUMBER}) cudaDev (\d{{1,4}})(?: nvmlDev (\d{{1,4}}))? "
    rf"busId ([0-9a-f]{{1,16}})(?: |$)"
)
_ID = re.compile(r" commId 0x([0-9a-f]{1,16})(?: |$)")
_NODES = re.compile(rf"comm (0x[0-9a-f]{{1,16}}) rank {_NUMBER} nRanks {_NUMBER} nNodes ({_NUMBER}) ")
_CHANNELS = re.compile(
    r"(?:comm (0x[0-9a-f]{1,16}), )?(\d{1,4}) coll channels, (?:\d{1,4} collnet channels, )?"
    r"(?:(\d{1,4}) nvls channels, )?(\d{1,4}) p2p channels"
)
_NVLS = re.compile(r"NVLS multicast support is (not )?available on dev ")
_VERSION = re.compile(r"NCCL version (\d{1,2}\.\d{1,3}(?:\.\d{1,3})?)(?!\d)")
_SETTING = re.compile(r"(NCCL_[A-Z0-9_]{1,40}) set by environment to (.{1,80}?)\.?$")
_CALL = re.compile(r"(?:([A-Z]\w{1,15}): )?(\d{1,15}) Bytes -> Algo (\w{1,16}) proto (\w{1,8})(?: |$)")
_COST = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)/\s*(\d{1,9}(?:\.\d{1,6})?)\s*$")


def parse_line(line: str) -> tuple[Origin | None, Said]:
    """Who printed a line, None where that is not NCCL, and what of it is known."""
    head, says, text = line.partition(_SAYS)
    if not says:
        found = _VERSION.match(line)  # the one line that older versions print without saying who
        return None, Version(found[1]) if found else None
    origin = _origin(head)
    return origin, None if origin is None else _said(text.rstrip())


def _origin(head: str) -> Origin | None:
    """From what stands before "NCCL INFO": host:process:thread [device], after whatever a launcher put in front."""
    words = head[-400:].split()
    if len(words) < 2 or not words[-1].startswith("["):
        return None
    host, _, rest = words[-2].partition(":")
    pid, _, tid = rest.partition(":")
    numbers = (pid, tid)
    if not host or not all(n.isascii() and n.isdecimal() and len(n) < 10 for n in numbers):
        return None
    return Origin(host[:253], int(pid), int(tid))


def _said(text: str) -> Said:
    for begins, parse in _BY_BEGIN:
        if text.startswith(begins):
            return parse(text)
    for holds, parse in _BY_PART:
        if holds in text:
            return parse(text)
    return None


def _trees(text: str) -> Said:
    return Trees(text.count("->") // 2)


def _multicast(text: str) -> Said:
    found = _NVLS.match(text)
    return Multicast(found[1] is None) if found else None


def _version(text: str) -> Said:
    found = _VERSION.match(text)
    return Version(found[1]) if found else None


def _channels(text: str) -> Said:
    found = _CHANNELS.match(text)
    if found is None:
        return None
    return Channels(found[1], int(found[2]), None if found[3] is None else int(found[3]), int(found[4]))


def _connected(text: str) -> Said:
    if found := _CONNECTION.match(text):
        via = _via(found[6])
        if via is None:
            return None
        return Connected(int(found[1]), int(found[2]), int(found[4]), (found[3], found[5]), via)
    found = _RING.match(text)
    return Ring(int(found[1])) if found else None


def _via(text: str) -> str | None:
    """The transport in known words: P2P/CUMEM/read, SHM/direct/direct, NET/IB/GDRDMA; None where it is none of them."""
    first, *rest = text.split("/")
    if first in _ON_THE_WAY:
        return "/".join((first, *(word for word in rest[:4] if word in _ON_THE_WAY[first])))
    if first != "NET" or not rest:
        return None
    plugin = rest[0].upper()
    name = next((name for start, name in _NETWORKS if plugin.startswith(start)), "other")
    return f"NET/{name}" + ("/GDRDMA" if "GDRDMA" in text else "")


def _of_communicator(line: str) -> Said:
    at = line.find("comm 0x")
    text = line[at:] if at < 60 else ""
    if found := _COMMUNICATOR.match(text):
        id_ = _ID.search(text, found.end() - 1)
        number = int(id_[1], 16) if id_ else 0
        if not (int(found[2]) < int(found[3])) or not text.endswith(("Init START", "Init COMPLETE")):
            return None
        nvml = None if found[5] is None else int(found[5])
        numbers = int(found[2]), int(found[3]), int(found[4])
        return Joined(found[1], *numbers, nvml, int(found[6], 16), number or None, text.endswith("COMPLETE"))
    found = _NODES.match(text)
    return Nodes(found[1], int(found[2])) if found else None


def _setting(text: str) -> Said:
    found = _SETTING.match(text)
    if found is None or found[1] not in _VARIABLES:
        return None
    words = [word for word in re.split(r"[\^,;:]+", found[2].upper()) if word]
    known = all(word in _WORDS or re.fullmatch(r"-?\d{1,12}", word) for word in words)
    return Setting(found[1], found[2] if words and known else "")


def _called(text: str) -> Said:
    found = _CALL.match(text)
    if found is None:
        return None
    algorithm, protocol = algorithm_named(found[3]), _PROTOCOL_OF.get(found[4].upper())
    if algorithm is None or protocol is None or (found[1] is not None and found[1] not in _FUNCTIONS):
        return None
    return Called(found[1], int(found[2]), algorithm, protocol)


def algorithm_named(text: str) -> str | None:
    """The algorithm of that name or number, None where there is none."""
    return _ALGORITHM_OF.get(text.upper().replace("_", ""))


def _table(text: str) -> Said:
    name, *cells = (cell.strip() for cell in text.split("|")[:32])
    if name == "Algorithm":
        named = [algorithm_named(cell) for cell in cells if cell]
        return TableHead(tuple((algorithm or "", protocol) for algorithm in named for protocol in PROTOCOLS))
    if name.startswith("Latency/AlgB"):
        pairs = [cell.split("/", 1) for cell in cells if "/" in cell]
        told = [(algorithm_named(a.strip()), _PROTOCOL_OF.get(p.strip().upper())) for a, p in pairs]
        return TableHead(tuple((a or "", p or "") for a, p in told))
    if name not in _FUNCTIONS:
        return None
    costs = [_COST.fullmatch(cell) for cell in cells if cell]
    return TableRow(name, tuple((float(c[1]), float(c[2])) for c in costs if c)) if costs and all(costs) else None


_BY_BEGIN: tuple[tuple[str | tuple[str, ...], Callable[[str], Said]], ...] = (
    (("Channel ", "Ring "), _connected),
    ("Trees [", _trees),
    ("NVLS mult", _multicast),
    ("NCCL version ", _version),
    ("NCCL_", _setting),
)
_BY_PART: tuple[tuple[str, Callable[[str], Said]], ...] = (
    (" Bytes -> Algo ", _called),
    ("|", _table),
    (" coll channels, ", _channels),
    ("comm 0x", _of_communicator),
)
