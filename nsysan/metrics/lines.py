"""The lines of the ledger: one row each, which everything that names, orders, explains or paints them looks up."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from nsysan.metrics.causes import LateCause
from nsysan.model.classes import COMMUNICATION, WorkClass


class Line(StrEnum):
    """A line, by its name in every output; in the JSON it is the key with _ns at its end."""

    COMPUTE = "compute"
    WAIT = "wait"
    FUSED = "fused"
    WIRE = "wire"
    COMM_UNSPLIT = "comm_unsplit"
    COPY = "copy"
    GRAPH = "graph"
    IDLE = "idle"

    @property
    def column(self) -> str:
        """Its column in the ledger and its key in the JSON."""
        return f"{self}_ns"


class Kind(StrEnum):
    """What a GPU does meanwhile."""

    BUSY = "busy"
    WAITING = "waiting"
    REST = "rest"


class LedgerLine(NamedTuple):
    """One line.

    whole, before, after: classes whose operations claim it. A matched call is cut at the last arrival, which gives it a
    line before and one after; every other operation is whole. late: the part of a rank's lateness that operations of
    the classes in whole take. lost: what more GPUs lose by the line, in words. ink: of text on its colour. captioned:
    in a timeline its slices bear its name, not the kernel's.
    """

    id: Line
    title: str
    colour: str
    kind: Kind
    meaning: str
    lost: str
    whole: tuple[WorkClass, ...] = ()
    before: tuple[WorkClass, ...] = ()
    after: tuple[WorkClass, ...] = ()
    late: LateCause | None = None
    ink: str = "#111"
    captioned: bool = False

    @property
    def communicates(self) -> bool:
        """Whether it is of communication, waiting included."""
        return any(cls in COMMUNICATION for cls in (*self.whole, *self.before, *self.after))


#: In order of precedence: time that two lines could claim belongs to the earlier; the last has what none claims.
#: Colours are of Okabe and Ito's palette, which colour-blind readers can tell apart.
LEDGER = (
    LedgerLine(
        Line.COMPUTE,
        "compute",
        "#0072B2",
        Kind.BUSY,
        "A compute kernel runs. Communication at the same time is counted as overlap, and costs nothing.",
        lost="compute that did not shrink by that",
        ink="#fff",
        whole=(WorkClass.COMPUTE,),
        late=LateCause.COMPUTE,
    ),
    LedgerLine(
        Line.WAIT,
        "wait (for the last rank)",
        "#E69F00",
        Kind.WAITING,
        "A collective's kernel is resident, but the last rank has not arrived at it: it spins, and nothing can move. "
        "Who waits much is a victim; the rank that waits least is the one to look at.",
        lost="waiting",
        before=COMMUNICATION,
        captioned=True,
    ),
    LedgerLine(
        Line.FUSED,
        "fused (communication with compute)",
        "#CC79A7",
        Kind.BUSY,
        "A kernel that communicates and computes in one, after the last rank has arrived.",
        lost="fused communication",
        after=(WorkClass.FUSED,),
    ),
    LedgerLine(
        Line.WIRE,
        "wire (moving data)",
        "#D55E00",
        Kind.BUSY,
        "A collective after its last rank has arrived: data moves. Compute beside it takes precedence.",
        lost="wire",
        after=(WorkClass.COLLECTIVE, WorkClass.P2P),
        captioned=True,
    ),
    LedgerLine(
        Line.COMM_UNSPLIT,
        "comm_unsplit (communication, not split)",
        "#A6761D",
        Kind.BUSY,
        "Communication whose calls could not be matched across the ranks (a rank is not in the trace), so that waiting "
        "and moving data cannot be told apart.",
        lost="comm_unsplit",
        whole=COMMUNICATION,
        late=LateCause.COMMUNICATION,
    ),
    LedgerLine(
        Line.COPY,
        "copy",
        "#009E73",
        Kind.BUSY,
        "Memory copies and sets, where none of the above runs.",
        lost="copy",
        whole=(WorkClass.COPY,),
        late=LateCause.COPY,
    ),
    LedgerLine(
        Line.GRAPH,
        "graph replay, contents not traced",
        "#56B4E9",
        Kind.BUSY,
        "A CUDA graph replay that was traced as one block: the GPU is busy, with what cannot be told. Capture with "
        "--cuda-graph-trace=node.",
        lost="graph",
        whole=(WorkClass.OPAQUE,),
        late=LateCause.GRAPH,
    ),
    LedgerLine(
        Line.IDLE,
        "idle",
        "#B8BCC2",
        Kind.REST,
        "Nothing runs on the rank's GPU. Each idle interval has one cause, see Idle time.",
        lost="idle time",
    ),
)

ROW = {row.id: row for row in LEDGER}
#: All lines, which sum to the period.
LINES = tuple(ROW)
#: Those that some operation claims.
CLAIMED = tuple(row.id for row in LEDGER if row.kind != Kind.REST)
COMMUNICATION_LINES = tuple(row.id for row in LEDGER if row.communicates)
#: Beside the lines, without being one: communication in all, and that of it which has compute beside it.
BESIDE = ("comm", "overlap")
#: Line of each class: of an operation that is whole, and of the two parts of a matched call.
WHOLE = {cls: row.id for row in LEDGER for cls in row.whole}
BEFORE = {cls: row.id for row in LEDGER for cls in row.before}
AFTER = {cls: row.id for row in LEDGER for cls in row.after}
#: Part of a lateness that an operation's time is, by its class.
LATE = {cls: row.late for row in LEDGER if row.late is not None for cls in row.whole}
