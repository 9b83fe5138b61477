"""Where ranks run: what is said, or refused, before a run whose ranks are elsewhere, and names inside a launcher."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.cures import temporary_folder_of_another
from nsysan.capture.launches import Launch
from nsysan.capture.parallel_sizes import number_of
from nsysan.capture.started import Workload
from nsysan.model.launchers import places_of_its_own
from nsysan.text import counted

#: Processes of one launcher on this node.
_LOCAL_SIZES = (
    "LOCAL_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURM_NTASKS_PER_NODE",
)
#: This node's number, and how many there are.
_NODES = (
    ("GROUP_RANK", "GROUP_WORLD_SIZE"),
    ("SLURM_NODEID", "SLURM_STEP_NUM_NODES"),
)
_NUMBER = re.compile(r"[0-9]{1,6}")
#: MB of an export that a second of decoding adds for each rank: 16 layers in CUDA graphs, TP=2 and 4, vLLM 0.22.
_MB_A_SECOND = (4, 13)
_LONG_S = 60
#: What data/starters.toml calls a profiler.
_PROFILER = "another profiler"


@dataclass(frozen=True)
class Seat:
    """This process' place among those that a launcher started.

    ending: of the names of its traces. merge: of the traces of all, for a shell. is_node: it starts the ranks of a node
    by itself, so that `number` is not a rank's. is_first: what is said once is said here.
    """

    number: int
    world: int
    is_node: bool
    ending: str
    merge: str

    @property
    def is_first(self) -> bool:
        return self.number == 0


def seat_of(workload: Workload, environment: Mapping[str, str]) -> Seat | None:
    """The place of a capture inside a launcher; None outside of any."""
    own = places_of_its_own(environment)
    known = ((place.number, place.world) for place in own if place.world is not None)
    found = next(known, None)
    if found is None:
        return None
    number, world = found
    multiplies = any((launch.tasks or 1) > 1 for launch in workload.launches)
    # As many as the launcher started: the command is one rank of those that its options speak of.
    alone = _local_size(environment) == 1 and workload.world != world
    if (multiplies or alone) and (workload.ranks or 1) > 1:
        return Seat(number, world, True, f"_node_{number}", "_node_*")
    node = _node(environment)
    if node is None:
        return Seat(number, world, False, f"_rank_{number}", "_rank_*")
    return Seat(number, world, False, f"_node_{node}_rank_{number}", "_node_*_rank_*")


def check_place(workload: Workload, output: Path) -> None:
    """NsysanError, before anything runs, where no rank could be in the trace; it says the command that works."""
    launch = next((one for one in workload.launches if one.starter.name == _PROFILER), workload.elsewhere)
    if workload.client and launch is None and workload.script is None:
        raise NsysanError(
            "the command loads a server, and no GPU works in it: capture the server, and give this command to --load: "
            "nsysan capture --serve --load 'COMMAND' -- SERVER",
            ExitCode.NO_REPORT,
        )
    if launch is not None and launch.starter.refused and workload.script is None:
        raise NsysanError(_elsewhere(launch, output), ExitCode.NO_REPORT)


def notes_before(workload: Workload, output: Path, *, whole: bool, duration: int | None) -> list[str]:
    """What to know before a run. whole: all of it is collected, without a window; duration: for so many seconds."""
    temporary = temporary_folder_of_another()
    notes = [] if temporary is None else [temporary]
    launch = workload.elsewhere
    if workload.script is not None:
        told = [workload.engine.name] if workload.engine else []
        told += [counted(workload.ranks, "rank")] if workload.ranks else []
        if told:
            notes.append(f"in {workload.script.name}: {', '.join(told)}")
    if launch is not None:
        notes.append(_elsewhere(launch, output))
    elif workload.ray:
        notes.append(
            "Ray starts the ranks: those of a cluster that runs already, or of other nodes, will not be in this trace. "
            "On one node leave the Ray executor out (--distributed-executor-backend mp); else Ray traces its workers "
            '(vLLM --ray-workers-use-nsight, or runtime_env={"nsight": "default"} of the actor) into '
            "/tmp/ray/session_latest/logs/nsight of each node: nsysan report the reports found there"
        )
    elif workload.ranks is not None and workload.world is not None and workload.world > workload.ranks:
        notes.append(
            f"this node shows {workload.ranks} of {workload.world} ranks: capture on every node, each to a name of its "
            f"own, and give all traces to one nsysan report"
        )
    if workload.server and whole and (duration is None or duration > _LONG_S):
        low, high = (n * 60 * (workload.ranks or 1) / 1000 for n in _MB_A_SECOND)
        notes.append(
            f"a server that is captured whole is traced until it ends, start-up included: expect {low:.1f} to "
            f"{high:.1f} GB of export a minute of decoding ({workload.ranks or 1} x {_MB_A_SECOND[0]} to "
            f"{_MB_A_SECOND[1]} MB a second); --serve or --hold collects a window"
        )
    return notes


def _elsewhere(launch: Launch, output: Path) -> str:
    starter = launch.starter
    name = starter.commands[0] if launch.before == () else Path(launch.before[0]).name
    merged = f"{output.name}_*.sqlite"
    works = _inside(launch, output)
    several = " (one trace a rank, or a node: nsysan report " + shlex.quote(merged).strip("'") + ")"
    merge = several if starter.tasks or starter.nodes else ""
    return f"{name} {starter.why}: {works}{merge}" + (f"; {starter.advice}" if starter.advice else "")


def _inside(launch: Launch, output: Path) -> str:
    starter, before, command = launch.starter, list(launch.before), list(launch.command)
    if starter.dashes and before and before[-1] == "--":
        before.pop()
    capture = f"nsysan capture -o {shlex.quote(str(output))} --"
    if starter.own & set(before):
        return f"{capture} COMMAND, as what the container runs"
    if starter.dashes and not command:
        return f"{capture} COMMAND, in place of the command that it is given"
    bare = starter.skip and not starter.dashes and (not command or command[0].startswith("-"))
    if launch.entry or (bare and not starter.shell):
        # The image's own entry point takes these words.
        before = [*_without_entry(before[:-1]), "--entrypoint", "nsysan", *before[-1:]]
        capture, command = capture.removeprefix("nsysan "), [*(launch.entry or ("COMMAND",)), *command]
    if starter.shell and len(command) == 1 and not command[0].isalnum():
        line = ["sh", "-c", command[0]]
        # Joined to one line again, it loses one off its quotes.
        command = [shlex.join(line)] if starter.joins else line
    told = starter.inside.format(before=_joined(before), capture=capture, command=_joined(command))
    return " ".join(filter(None, (_joined(launch.ahead), told)))


def _without_entry(words: Sequence[str]) -> list[str]:
    """The options of a container but for its entry point."""
    kept, skip = [], False
    for word in words:
        if not skip and not word.startswith("--entrypoint"):
            kept.append(word)
        skip = word == "--entrypoint"
    return kept


def _joined(words: Sequence[str]) -> str:
    return " ".join(word if "$" in word and " " not in word else shlex.quote(word) for word in words)


def _local_size(environment: Mapping[str, str]) -> int | None:
    # SLURM writes 8(x2) for two nodes of eight.
    sizes = (_NUMBER.match(environment.get(name, "")) for name in _LOCAL_SIZES)
    return next((int(size[0]) for size in sizes if size), None)


def _node(environment: Mapping[str, str]) -> int | None:
    for name, total in _NODES:
        value, nodes = environment.get(name, ""), number_of(environment.get(total))
        if _NUMBER.fullmatch(value) and nodes is not None and nodes > 1 and int(value) < nodes:
            return int(value)
    return None
