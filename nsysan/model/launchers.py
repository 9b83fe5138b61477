"""What launchers tell of a process' place among all: the variables that they set (DEFINITIONS.md, section 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Tasks of a step, which srun alone tells: a batch script is process 0 of all tasks of its job without being one, and
#: the shell of an interactive job is a step of one.
_STEP = "SLURM_STEP_NUM_TASKS"
#: A process' number, and where the number of all of them may stand; the most telling first. What torchrun and MPI's
#: starters set, they set for this process alone; SLURM's may be those of the shell in which they were called.
LAUNCHERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("RANK", ("WORLD_SIZE",)),
    ("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",)),
    ("PMIX_RANK", ()),
    ("PMI_RANK", ("PMI_SIZE",)),
    ("SLURM_PROCID", (_STEP, "SLURM_NTASKS", "SLURM_NPROCS")),
)
#: Every variable of theirs.
VARIABLES = frozenset(name for rank, worlds in LAUNCHERS for name in (rank, *worlds))
_OF_THE_SHELL = "SLURM_PROCID"
_NUMBER = re.compile(r"[0-9]{1,7}")


class Place(NamedTuple):
    """A process' number by one variable; world: how many there are, None where it does not tell."""

    variable: str
    number: int
    world: int | None

    @property
    def is_own(self) -> bool:
        """Whether the variable cannot be that of an enclosing shell, as far as its launcher's manual goes."""
        return self.variable != _OF_THE_SHELL


def places(environment: Mapping[str, str]) -> list[Place]:
    """A process' places by the launchers that count, the most telling first; a world of one is an enclosing shell's."""
    found = []
    for variable, worlds in LAUNCHERS:
        number = _number(environment.get(variable))
        world = next((n for name in worlds if (n := _number(environment.get(name))) is not None), None)
        if number is not None and (world is None or (world > 1 and number < world)):
            found.append(Place(variable, number, world))
    return found


def places_of_its_own(environment: Mapping[str, str]) -> list[Place]:
    """Of its `places` those that were given to this process, and not to a shell or batch script around it."""
    in_step = _number(environment.get(_STEP)) is not None
    return [place for place in places(environment) if place.is_own or in_step]


def launched_together(environments: Sequence[Mapping[str, str]]) -> bool:
    """Whether one launcher gives each of these processes another number of the same world."""
    by_variable: dict[str, list[Place]] = {}
    for place in (place for environment in environments for place in places(environment)):
        by_variable.setdefault(place.variable, []).append(place)
    return any(
        len({place.number for place in own}) == len(environments) and len({place.world for place in own}) == 1
        for own in by_variable.values()
    )


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None
