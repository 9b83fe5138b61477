"""Steps of one kind of work: decode, prefill and mixed, each with its batch (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.steps.replayed_kinds import ReplayedKinds, of_one_graph, replayed_kinds
from nsysan.model.steps.step_kind import StepKind

#: Steps of one population differ in no more than this share of their operations, and in no communication; where the
#: graphs differ that they replay, in no more of their compute.
SIMILAR = 0.1
#: Steps whose compute takes so many times the usual on every rank, in the same kernels or without a replay where others
#: replay graphs, are no decode steps.
LONGER = 2.0
#: Of fewer steps than this none is the usual.
_FEW = 4
#: More kinds of work than this are told as one.
_MOST = 12
#: Kernels that are named where a step differs, and letters of a name.
_SHOWN = 2
_NAME = 60


@dataclass(frozen=True)
class Population:
    """Steps whose work is of one kind. id: such as decode_8; batch: sequences that decode, None where nothing tells.

    why: how it differs from the headline population, "" for that one.
    """

    id: str
    kind: StepKind
    batch: int | None
    steps: tuple[int, ...]
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """The population that the user wants to see: by its id, or the decode steps of a batch; None: the default.

    Where nothing tells the batch of any step, that of the default is taken to be the one asked for.
    """

    population: str | None = None
    batch: int | None = None


#: The decode population whose work takes most time.
DEFAULT = Choice()


def find_populations(
    windows: pl.DataFrame,
    counts: pl.DataFrame,
    sizes: Mapping[int, list[int]],
    candidates: Sequence[int],
    choice: Choice = DEFAULT,
) -> list[Population]:
    """The populations of these steps, the headline first, then by the time that they take.

    NsysanError where the one asked for is not there.

    windows: step, rank_key, begin, finish, extent, label, kind, batch where ranges tell, and GRAPHS where they do not
    and some are replayed. counts: step, rank_key, name, n, collectives, ns. sizes: of the messages of each step.
    """
    chosen = pl.col("step").is_in(list(candidates))
    counts = counts.filter(chosen).group_by("rank_key", "step", "name").agg(pl.sum("n", "collectives", "ns"))
    times = windows.filter(chosen).group_by("step")
    took = times.agg(period=(pl.col("finish") - pl.col("begin")).median(), extent=pl.median("extent"))
    periods, extents = (dict(took.select("step", name).iter_rows()) for name in ("period", "extent"))
    by_graph = replayed_kinds(windows.filter(chosen), counts, LONGER)
    found: list[Population] = []
    for (kind, batch), steps in _told(windows, candidates).items():
        if kind is None and batch is None and by_graph is not None:
            found += _populations_of_replays(by_graph, counts, sizes, steps)
            continue
        for own in _alike(counts, sizes, steps):
            usual, longer = (own, []) if kind is not None else _by_duration(counts, own)
            found.append(Population("", kind or StepKind.DECODE, batch, tuple(usual)))
            kind_of_longer = StepKind.DECODE if _decode_more(windows, longer) else StepKind.PREFILL
            found += [Population("", kind_of_longer, batch, tuple(longer))] if longer else []
    if not found:
        return []
    named = _named(found)
    if choice.batch is not None and all(one.batch is None for one in named):
        stated, choice = choice.batch, replace(choice, batch=None)
    else:
        stated = None
    told = all(one.batch is not None for one in named) or (by_graph is not None and by_graph.whole)
    head = _headline(named, extents, choice, told=told)
    rest = sorted((one for one in named if one is not head), key=lambda one: -sum(periods[step] for step in one.steps))
    graphs = by_graph.graphs if by_graph is not None else {}
    others = [_compared(one, head, counts, sizes, graphs) for one in rest]
    return [head if stated is None else replace(head, batch=stated), *others]


def _told(windows: pl.DataFrame, candidates: Sequence[int]) -> dict[tuple[StepKind | None, int | None], list[int]]:
    """The steps by what their ranges tell of them."""
    columns = [pl.col(name) if name in windows.columns else pl.lit(None).alias(name) for name in ("kind", "batch")]
    told = windows.select("step", *columns).group_by("step").agg(pl.all().drop_nulls().first()).sort("step")
    wanted = set(candidates)
    found: dict[tuple[StepKind | None, int | None], list[int]] = {}
    for step, kind, batch in told.iter_rows():
        if step in wanted:
            key = (None if kind is None else StepKind(kind), batch if kind in (None, StepKind.DECODE) else None)
            found.setdefault(key, []).append(step)
    return found


def _alike(counts: pl.DataFrame, sizes: Mapping[int, list[int]], steps: list[int]) -> Iterator[list[int]]:
    """The steps in sets of like work, that with most steps first."""
    rest = list(steps)
    for number in range(_MOST):
        if not rest:
            return
        own = counts.filter(pl.col("step").is_in(rest))
        common = _most_common(own)
        if common is None or number == _MOST - 1:
            yield rest
            return
        apart = _apart(own, common)
        usual = sizes.get(common, [])
        unlike = {
            step
            for step, differ, total, collectives in apart.select("step", "differ", "total", "collectives").iter_rows()
            if differ > SIMILAR * total or collectives
        } | {step for step in rest if usual and sizes.get(step) and sizes[step] != usual}
        yield [step for step in rest if step not in unlike]
        rest = [step for step in rest if step in unlike]


def _most_common(counts: pl.DataFrame) -> int | None:
    """The first step of the most frequent kind of work."""
    per_rank = counts.group_by("rank_key", "step").agg(hash=pl.struct("name", "n").hash().sum())
    signatures = per_rank.group_by("step").agg(signature=pl.struct("rank_key", "hash").hash().sum())
    common = signatures.group_by("signature").agg(n=pl.len(), step=pl.min("step"))
    common = common.sort("n", "step", descending=[True, False])
    return None if common.is_empty() else int(common["step"][0])


def _compare(counts: pl.DataFrame, model: int) -> pl.DataFrame:
    """step, rank_key, name, n and collectives of the model step, and the step's own with the suffix _here."""
    usual = counts.filter(pl.col("step") == model).drop("step", "ns")
    every = counts.select("step").unique().join(usual, how="cross")
    compared = every.join(counts.drop("ns"), on=["step", "rank_key", "name"], how="full", coalesce=True, suffix="_here")
    return compared.fill_null(0)


def _apart(counts: pl.DataFrame, model: int) -> pl.DataFrame:
    """step, differ, total, here, collectives: how each step differs from the model step."""
    return (
        _compare(counts, model)
        .group_by("step")
        .agg(
            differ=(pl.col("n") - pl.col("n_here")).abs().sum(),
            total=pl.sum("n"),
            here=pl.sum("n_here"),
            collectives=pl.sum("collectives") - pl.sum("collectives_here"),
        )
        .sort("step")
    )


def _populations_of_replays(
    told: ReplayedKinds, counts: pl.DataFrame, sizes: Mapping[int, list[int]], steps: list[int]
) -> Iterator[Population]:
    """The populations, without ids, of steps most of which replay graphs."""
    for kind in StepKind:
        for own in _alike(counts, sizes, [step for step in steps if told.kinds[step] is kind]):
            parts = of_one_graph(told, own, SIMILAR) if kind is StepKind.DECODE else [own]
            yield from (Population("", kind, None, tuple(part)) for part in parts)


def _by_duration(counts: pl.DataFrame, steps: list[int]) -> tuple[list[int], list[int]]:
    """The steps, and apart those whose compute takes LONGER times the usual on every rank."""
    if len(steps) < _FEW:
        return steps, []
    compute = counts.filter(pl.col("step").is_in(steps) & (pl.col("collectives") == 0))
    per_rank = compute.group_by("rank_key", "step").agg(pl.sum("ns"))
    ratio = pl.col("ns") / pl.col("ns").median().over("rank_key")
    timed = per_rank.filter(pl.col("ns").median().over("rank_key") > 0)
    least = timed.with_columns(ratio=ratio).group_by("step").agg(pl.min("ratio"))
    longer = set(least.filter(pl.col("ratio") >= LONGER)["step"].to_list())
    return [step for step in steps if step not in longer], sorted(longer)


def _decode_more(windows: pl.DataFrame, longer: Sequence[int]) -> bool:
    """Whether longer steps decode more sequences: where their ranges say that they decode, and they come on end."""
    labels = windows.filter(pl.col("step").is_in(list(longer)))["label"]
    runs = sum(step - 1 not in longer for step in longer)
    return len(longer) >= _FEW * max(runs, 1) and bool(labels.str.contains("(?i)decode").all())


def _named(found: Sequence[Population]) -> list[Population]:
    """The populations with their ids: kind and batch, and a number where several have both."""
    taken: dict[str, int] = {}
    named = []
    for one in found:
        base = one.kind.value if one.batch is None else f"{one.kind.value}_{one.batch}"
        taken[base] = taken.get(base, 0) + 1
        id_ = base if taken[base] == 1 else f"{base}.{taken[base]}"
        named.append(replace(one, id=id_))
    return named


def _headline(found: Sequence[Population], took: Mapping[int, float], choice: Choice, *, told: bool) -> Population:
    """The decode population that takes most time, or the one asked for.

    took: extent of each step: a pause without requests is in the period of the step before it, and of no kind.
    Without ranges that tell decoding from prefill, the one with most steps.
    """
    if choice.population is not None or choice.batch is not None:
        asked = [
            one
            for one in found
            if one.id == choice.population or (choice.batch is not None and one.batch == choice.batch)
        ]
        if not asked:
            what = f"--population {choice.population}" if choice.population is not None else f"--batch {choice.batch}"
            there = ", ".join(one.id for one in found)
            raise NsysanError(f"{what}: there are no such steps here; populations: {there}", ExitCode.NO_STEPS)
        found = asked

    def weight(one: Population) -> tuple[bool, float, float, int]:
        time = sum(took.get(step, 0.0) for step in one.steps)
        return one.kind is StepKind.DECODE, time if told else len(one.steps), time, -one.steps[0]

    return max(found, key=weight)


def _compared(
    one: Population,
    head: Population,
    counts: pl.DataFrame,
    sizes: Mapping[int, list[int]],
    graphs: Mapping[int, int | None],
) -> Population:
    """The population with how it differs from the headline."""
    if one.kind is not head.kind:
        why = one.kind.value if one.kind is not StepKind.MIXED else "mixed: prefill and decode in one step"
    elif one.batch != head.batch:
        why = f"{one.kind.value} of batch {'unknown' if one.batch is None else one.batch}"
    else:
        why = _other_work(one.steps[0], head.steps[0], counts, sizes, graphs)
    return replace(one, why=why)


def _other_work(
    step: int,
    model: int,
    counts: pl.DataFrame,
    sizes: Mapping[int, list[int]],
    graphs: Mapping[int, int | None],
) -> str:
    both = counts.filter(pl.col("step").is_in([step, model]))
    _, _, total, here, _ = _apart(both, model).filter(pl.col("step") == step).row(0)
    parts = [f"{here} operations (usually {total})"] if here != total else []
    parts += _other_kernels(_compare(both, model).filter(pl.col("step") == step))
    own, usual = sizes.get(step, []), sizes.get(model, [])
    parts += [f"messages of {_listed(own)} (usually {_listed(usual)})"] if own != usual and own and usual else []
    parts += ["another CUDA graph"] if graphs.get(step) != graphs.get(model) else []
    return f"different work: {', '.join(parts)}"


def _other_kernels(compared: pl.DataFrame) -> list[str]:
    """The kernels that one step has more or fewer of, on the rank where they differ most; the largest two."""
    apart = compared.with_columns(apart=(pl.col("n") - pl.col("n_here")).abs()).filter(pl.col("apart") > 0)
    largest = apart.sort("apart", "name", "rank_key", descending=[True, False, False]).unique(
        "name", keep="first", maintain_order=True
    )
    shown = largest.head(_SHOWN).select("name", "n_here", "n").iter_rows()
    told = [f"{here} of {_short(name)} (usually {usual})" for name, here, usual in shown]
    more = len(largest) - len(told)
    return told + ([f"and {more} more {'kernel' if more == 1 else 'kernels'}"] if more else [])


def _short(name: str) -> str:
    """A kernel's name without its parameters."""
    bare = re.split(r"[<(]", name, maxsplit=1)[0].strip() or name
    return bare if len(bare) <= _NAME else f"{bare[: _NAME - 3]}..."


def _listed(sizes: list[int]) -> str:
    return f"{sizes[0]} bytes" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} bytes"
