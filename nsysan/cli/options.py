"""Kinds of values that options take, and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from nsysan.text import encodable

if TYPE_CHECKING:
    _OfNumber = click.ParamType[int]
    _OfNumbers = click.ParamType[frozenset[int]]
    _OfText = click.ParamType[str]
else:  # click is generic from 8.3 on only
    _OfNumber = _OfNumbers = _OfText = click.ParamType

#: Help of --nsys.
NSYS = "The nsys to use.  [default: NSYSAN_NSYS, PATH, the usual folders, the one inside Nsight Compute]"
#: Help of --steps where it takes patterns only, and of --no-nvtx.
STEPS = (
    "Regular expression for the NVTX ranges that mark decode steps.  [default: the ranges of known engines, else "
    "graph replays, else the kernels' period]"
)
NO_NVTX = "Find steps by graph replays or kernel period, leaving ranges aside."
_UNTRACED = (
    "Time of a step without nsys, as 11.9ms, of which verdict, late ranks and savings are then told. A time without a "
    "unit is in seconds.  [default: as traced]"
)
_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(ns|us|ms|s)?")
_CHOSEN = re.compile(r"(\d{1,18})(?::(\d{1,18}))?")
_LARGEST_NS = 1 << 62


class _Time(_OfNumber):
    """A time with its unit, seconds if it has none; ns."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _TIME.fullmatch(str(value).strip())
        ns = float(found[1]) * _NS[found[2] or "s"] if found else None
        if ns is None or abs(ns) > _LARGEST_NS:
            self.fail(f"{value!r} is no time; times are like 1.5s, 200ms or 3", param, ctx)
        return round(ns)


class _Numbers(_OfNumbers):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} is no list of numbers, like 0,3", param, ctx)
        return frozenset(int(part) for part in parts)


TIME = _Time()


class _Words(_OfText):
    """A text that is kept: what is no UTF-8 in it is replaced."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        del param, ctx
        return encodable(str(value))


WORDS = _Words()
_Command = TypeVar("_Command", bound=Callable[..., None])


def of_replica(command: _Command) -> _Command:
    """The option --replica."""
    return click.option(
        "--replica",
        type=click.IntRange(min=0),
        metavar="N",
        help="Of this replica: ranks that communicate in decode steps are one.  [default: the slowest]",
    )(command)


def of_population(command: _Command) -> _Command:
    """The options --population and --batch."""
    population = click.option(
        "--population",
        metavar="ID",
        help="Of these steps, such as decode_8 or prefill.  [default: the decode steps that take most time]",
    )
    batch = click.option(
        "--batch", type=click.IntRange(min=0), metavar="N", help="Of the steps that decode N sequences."
    )
    return population(batch(command))


def _takes_time(ctx: click.Context, param: click.Parameter, ns: int | None) -> int | None:
    del ctx, param
    if ns is not None and ns <= 0:
        raise click.UsageError("--untraced takes the time of a step, such as 11.9ms")
    return ns


def of_untraced(command: _Command) -> _Command:
    """The option --untraced."""
    return click.option("--untraced", type=TIME, metavar="TIME", callback=_takes_time, help=_UNTRACED)(command)


def of_model(gives: str) -> Callable[[_Command], _Command]:
    """The options --model and --context; gives: what they are for in this command."""

    def added(command: _Command) -> _Command:
        model = click.option(
            "--model",
            metavar="FILE|SHAPE",
            help="The model that ran: its config.json (Hugging Face), or hidden=4096,layers=32,ffn=14336,heads=32,"
            f"kv_heads=8,vocab=128256,dtype=bf16: {gives}.",
        )
        context = click.option(
            "--context",
            type=click.IntRange(1, 1 << 30),
            metavar="N",
            help="Tokens in the KV cache of each sequence, of the --model.  [default: none are counted]",
        )
        return model(context(command))

    return added


NUMBERS = _Numbers()


@contextmanager
def possible_untraced() -> Iterator[None]:
    """UsageError in place of OutOfRange: a step time that the traced step cannot have without nsys."""
    from nsysan.replay.untraced import OutOfRange

    try:
        yield
    except OutOfRange as error:
        raise click.UsageError(f"--untraced {error}") from error


def steps_of(values: Sequence[str]) -> tuple[str | None, tuple[int, int] | None]:
    """The pattern and the numbers of steps among the values of --steps, each at most once."""
    chosen = [found for value in values if (found := _CHOSEN.fullmatch(value.strip()))]
    patterns = [value for value in values if not _CHOSEN.fullmatch(value.strip())]
    if len(chosen) > 1 or len(patterns) > 1:
        raise click.UsageError("--steps takes one pattern, and one A:B")
    numbers = None
    if chosen:
        first = int(chosen[0][1])
        numbers = (first, int(chosen[0][2] or first))
        if numbers[0] > numbers[1]:
            raise click.UsageError(f"--steps {chosen[0][0]}: the first step comes first")
    return (encodable(patterns[0]) if patterns else None), numbers
