"""What one line of NCCL's log says: a sort a class, numbers and known words alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Who printed a line: host's name (for comparing only), process, thread."""

    host: str
    pid: int
    tid: int


@dataclass(frozen=True)
class Joined:
    """A process' place in a communicator. address: of the communicator in the process; nvml: number of the GPU, None
    where that is not told; bus: of the GPU, as a number; id: the communicator's, None where none is told."""

    address: str
    rank: int
    size: int
    device: int
    nvml: int | None
    bus: int
    id: int | None
    complete: bool


@dataclass(frozen=True)
class Connected:
    """Data of a channel goes from one rank of the communicator to another. gpus: as in brackets, None without."""

    channel: int
    source: int
    target: int
    gpus: tuple[str | None, str | None]
    via: str


@dataclass(frozen=True)
class Nodes:
    """How many machines a communicator spans."""

    address: str
    nodes: int


@dataclass(frozen=True)
class Channels:
    """Channels for collectives, for NVLS (None where not told) and for messages."""

    address: str | None
    collective: int
    nvls: int | None
    messages: int


@dataclass(frozen=True)
class Ring:
    """One ring of a communicator."""

    channel: int


@dataclass(frozen=True)
class Trees:
    """The trees of a communicator."""

    count: int


@dataclass(frozen=True)
class Multicast:
    """Whether a GPU has NVLink multicast."""

    available: bool


@dataclass(frozen=True)
class Version:
    """NCCL's version."""

    version: str


@dataclass(frozen=True)
class Setting:
    """A variable that the environment sets; value: "" where it is none of the known words."""

    name: str
    value: str


@dataclass(frozen=True)
class Called:
    """What one call uses. function: None where the version does not print it; size: as the call passes it, bytes."""

    function: str | None
    size: int
    algorithm: str
    protocol: str


@dataclass(frozen=True)
class TableHead:
    """Algorithm and protocol of each column of the rows that follow, "" where they are not known."""

    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TableRow:
    """Latency (us) and bandwidth (GB/s) of a collective by column; bandwidth 0: not to be used."""

    function: str
    costs: tuple[tuple[float, float], ...]


Said = (
    Joined
    | Connected
    | Nodes
    | Channels
    | Ring
    | Trees
    | Multicast
    | Version
    | Setting
    | Called
    | TableHead
    | TableRow
    | None
)
