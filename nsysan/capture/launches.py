"""Launchers in a command line: how many ranks they start, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nsysan.capture.parallel_sizes import number_of
from nsysan.capture.starters import Starter, load_starters

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Launch:
    """A launcher in a command.

    ahead: words before it; before: its words and options; command: what it launches, all as given. entry: what an image
    runs by itself, before that. tasks: processes that it starts on this node, None where it does not tell; nodes: on
    how many. elsewhere: they are no children of this command, or not all of them.
    """

    starter: Starter
    ahead: tuple[str, ...]
    before: tuple[str, ...]
    command: tuple[str, ...]
    entry: tuple[str, ...]
    tasks: int | None
    nodes: int
    elsewhere: bool

    def runs(self, options: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """What it launches, as a command of its own."""
        rest = (*self.entry, *self.command)
        names = {name for name, _ in options}
        if self.starter.shell:
            return ("sh", "-c", " ".join(rest)) if rest else ()
        if not self.starter.python or not rest or "--no-python" in names:
            return rest
        return ("python", "-m", *rest) if names & {"-m", "--module"} else ("python", *rest)


def launch_of(
    starter: Starter,
    options: Sequence[tuple[str, str]],
    words: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    environment: Mapping[str, str],
) -> Launch:
    """A launcher with these options. words: ahead of it, its own, and those of what it launches."""

    def value(names: frozenset[str]) -> str | None:
        return next((value for name, value in options if name in names), None)

    # `1:4`, of a run that grows, is four at the most.
    nodes = number_of((value(starter.nodes) or "").split(":")[-1].split("-")[-1]) or 1
    tasks, local = number_of(value(starter.tasks)), number_of(value(starter.local))
    slots = [word.partition(":") for word in (value(starter.hosts) or "").split(",") if word]
    hosts = [name for name, _, _ in slots]
    away = not starter.here or not _HERE.issuperset(hosts) or any(name in starter.clears for name, _ in options)
    if starter.hosts and not hosts and (number_of(environment.get("SLURM_JOB_NUM_NODES")) or 1) > 1:
        away, nodes = True, number_of(environment.get("SLURM_JOB_NUM_NODES")) or 1
    if hosts and away and tasks is not None and len({number for _, _, number in slots}) == 1 and slots[0][2]:
        # host:8 on each, so that it does not matter which of them this is.
        nodes = len(hosts)
        local = local or number_of(slots[0][2])
    if local is None and tasks is not None and not (hosts and away):
        local = tasks // nodes if tasks % nodes == 0 else None
    told = value(starter.local) or value(starter.tasks) or hosts
    if local is None and tasks is None and not told and (starter.alone or not (starter.tasks or starter.local)):
        local = 1
    ahead, before, command = words
    return Launch(starter, ahead, before, command, _entry(options, before, command), local, nodes, away)


def _entry(options: Sequence[tuple[str, str]], before: Sequence[str], command: Sequence[str]) -> tuple[str, ...]:
    """What a container runs before the words of the command: by its option, or by its image."""
    named = next((value for name, value in options if name == "--entrypoint"), None)
    if named is not None:
        return (named,) if named else ()
    image = PurePosixPath(before[-1].partition("@")[0]).name.partition(":")[0] if before else ""
    entry = next((engine.entry for engine in load_starters().engines if engine.image and engine.image == image), ())
    return entry if command else ()
