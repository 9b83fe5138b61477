"""Calls that a rank lacks or has too many of: only their own group is lost, all others keep wait and wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsysan
from nsysan.run.matching import match_collectives
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder

STEPS, CALLS = 6, 5
CALL_NS, STEP_NS = 100_000, 1_000_000
TREE_KERNEL = "ncclDevKernel_AllReduce_Sum_bf16_TREE_LL"
SENDRECV_KERNEL = "ncclDevKernel_SendRecv"
Where = tuple[int, int, int]


@dataclass(frozen=True)
class Plan:
    """Ranks that meet in every call: call k begins skew[rank] after 100 us * k and ends, by rank, at 40 us and some.

    lost: (rank, step, call) that are not in the trace. added: calls that only that rank has, 60 us after its call.
    communicators: of each call, by rank. names: the kernel, by rank.
    """

    skew: tuple[int, ...] = (0, 30_000, 10_000)
    calls: int = CALLS
    lost: frozenset[Where] = frozenset()
    added: frozenset[Where] = frozenset()
    communicators: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    def write(self, path: Path) -> Run:
        builder = TraceBuilder()
        for rank in range(len(self.skew)):
            process = builder.process(100 + rank, device=rank)
            for step in range(STEPS):
                self._step(process, rank, step)
        return nsysan.analyze(nsysan.open_trace(builder.write(path)))

    def _step(self, process: Process, rank: int, step: int) -> None:
        at = STEP_NS * step
        present = [call for call in range(self.calls) if (rank, step, call) not in self.lost]
        if not present:
            return
        process.nvtx(f"decode_step_{step}", at - 90_000, at - 10_000)
        for call in present:
            begin = at + CALL_NS * call
            launch = at - 80_000 + 8_000 * call
            process.kernel(COMPUTE_KERNEL, begin - 5_000, begin, launch=launch)
            self._collective(process, rank, begin + self.skew[rank], begin + 40_000 + 100 * rank, launch + 3_000)
            communicators = self.communicators.get(rank)
            if communicators:
                comm = communicators[call % len(communicators)]
                process.nccl("ncclAllReduce", launch + 2_900, launch + 5_100, bytes=8192, comm=comm)
            if (rank, step, call) in self.added:
                self._collective(process, rank, begin + 60_000, begin + 70_000, launch + 5_500)

    def _collective(self, process: Process, rank: int, begin: int, end: int, launch: int) -> None:
        process.kernel(self.names.get(rank, ALLREDUCE_KERNEL), begin, end, launch=launch)


Figures = tuple[str, int | None, int | None]


def split(run: Run) -> dict[Where, Figures]:
    """{(rank, step, begin): verdict, wait, wire}."""
    calls = run.collectives.select("rank", "step", "begin", "verdict", "wait", "wire")
    return {(rank, step, begin): (verdict, wait, wire) for rank, step, begin, verdict, wait, wire in calls.iter_rows()}


def key(plan: Plan, where: Where) -> Where:
    rank, step, call = where
    return rank, step, STEP_NS * step + CALL_NS * call + plan.skew[rank]


def partners(plan: Plan, where: Where) -> set[int]:
    """Ranks that meet in a call."""
    rank, _, call = where
    if not plan.communicators:
        return set(range(len(plan.skew)))
    at = {r: comms[call % len(comms)] for r, comms in plan.communicators.items()}
    return {r for r, comm in at.items() if comm == at[rank]}


def expected(plan: Plan) -> dict[Where, Figures]:
    """On paper: the last of the ranks that meet arrives; a call without a partner is unmatched."""
    figures: dict[Where, Figures] = {}
    for rank in range(len(plan.skew)):
        for step in range(STEPS):
            for call in range(plan.calls):
                where = (rank, step, call)
                if where in plan.lost:
                    continue
                meeting = partners(plan, where)
                last = max(plan.skew[r] for r in meeting)
                whole = not any((r, step, call) in plan.lost for r in meeting)
                wait, wire = last - plan.skew[rank], 40_000 + 100 * rank - last
                figures[key(plan, where)] = ("matched", wait, wire) if whole else ("unmatched", None, None)
                if where in plan.added:
                    figures[rank, step, STEP_NS * step + CALL_NS * call + 60_000] = ("unmatched", None, None)
    return figures


@pytest.mark.parametrize(
    ("lost", "unmatched"),
    [
        pytest.param({(1, 2, 0)}, 2, id="first"),
        pytest.param({(1, 2, 2)}, 2, id="middle"),
        pytest.param({(1, 2, CALLS - 1)}, 2, id="last"),
        pytest.param({(0, 2, 1)}, 2, id="on the rank that comes first"),
        pytest.param({(0, 2, 1), (1, 2, 3)}, 4, id="two ranks, different calls"),
        pytest.param({(0, 2, 1), (1, 2, 1)}, 1, id="two ranks, the same call"),
        pytest.param({(0, 2, 0), (1, 2, CALLS - 1)}, 4, id="first on one, last on another"),
        pytest.param({(0, 2, 1), (1, 2, 2), (2, 2, 3)}, 6, id="every rank another call"),
        pytest.param({(2, 2, 0), (2, 2, 1), (2, 4, 3)}, 6, id="in two steps"),
        pytest.param({(1, 0, 0), (1, STEPS - 1, CALLS - 1)}, 4, id="at both ends of the capture"),
        pytest.param({(1, 3, call) for call in range(CALLS)}, 2 * CALLS, id="a whole step"),
    ],
)
def test_a_lost_call_costs_its_own_group_and_nothing_else(tmp_path: Path, lost: set[Where], unmatched: int) -> None:
    plan = Plan(lost=frozenset(lost))
    figures = split(plan.write(tmp_path / "lost.sqlite"))
    assert figures == expected(plan)
    assert sum(verdict == "unmatched" for verdict, _, _ in figures.values()) == unmatched


def test_two_ranks_with_equal_numbers_of_calls_that_are_not_the_same(tmp_path: Path) -> None:
    # In order, every pair of that step is of different calls.
    plan = Plan(skew=(0, 30_000), lost=frozenset({(0, 2, 0), (1, 2, CALLS - 1)}))
    figures = split(plan.write(tmp_path / "shifted.sqlite"))
    assert figures == expected(plan)
    assert sum(verdict == "unmatched" for verdict, _, _ in figures.values()) == 2


def test_a_skew_stays_what_it_is_beside_a_lost_call(tmp_path: Path) -> None:
    plan = Plan(skew=(0, 30_000), lost=frozenset({(1, 2, 1)}))
    run = plan.write(tmp_path / "skew.sqlite")
    waits = run.collectives.filter((pl.col("rank") == 0) & (pl.col("step") == 2)).sort("begin")["wait"].to_list()
    assert waits == [30_000, None, 30_000, 30_000, 30_000]


@pytest.mark.parametrize("call", [0, 2, CALLS - 1])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_call_too_many_is_alone(tmp_path: Path, rank: int, call: int) -> None:
    plan = Plan(added=frozenset({(rank, 2, call)}))
    figures = split(plan.write(tmp_path / "added.sqlite"))
    assert figures == expected(plan)
    assert sum(verdict == "unmatched" for verdict, _, _ in figures.values()) == 1


#: Ranks 0, 1 and 2, 3 are tensor-parallel pairs; 0, 2 and 1, 3 data-parallel ones.
TP_IN_DP = {0: (11, 21), 1: (11, 22), 2: (12, 21), 3: (12, 22)}


@pytest.mark.parametrize(
    ("lost", "unmatched"), [(set(), 0), ({(2, 2, 2)}, 1), ({(2, 2, 3)}, 1), ({(0, 2, 0), (3, 2, 4), (1, 3, 1)}, 3)]
)
def test_communicators_with_other_members_lose_only_their_own(tmp_path: Path, lost: set[Where], unmatched: int) -> None:
    plan = Plan(skew=(0, 30_000, 10_000, 20_000), communicators=TP_IN_DP, lost=frozenset(lost))
    run = plan.write(tmp_path / "comms.sqlite")
    assert split(run) == expected(plan)
    assert (run.collectives["verdict"] == "unmatched").sum() == unmatched
    assert run.collectives["members"].unique().to_list() == [2]


def test_a_rank_whose_capture_starts_late(tmp_path: Path) -> None:
    # Rank 1 has nothing of steps 0 and 1, and of step 2 only the last two calls.
    lost = {(1, step, call) for step in (0, 1) for call in range(CALLS)} | {(1, 2, call) for call in range(CALLS - 2)}
    plan = Plan(lost=frozenset(lost))
    run = plan.write(tmp_path / "late.sqlite")
    assert split(run) == expected(plan)
    assert (run.collectives["verdict"] == "unmatched").sum() == 2 * (2 * CALLS + CALLS - 2)
    excluded = run.windows.filter(pl.col("excluded").is_not_null())["step"].unique().sort().to_list()
    assert excluded[:2] == [0, 1]


def test_another_kernel_on_each_rank_is_the_same_call(tmp_path: Path) -> None:
    plan = Plan(names={1: TREE_KERNEL}, lost=frozenset({(2, 2, 1)}))
    run = plan.write(tmp_path / "names.sqlite")
    assert run.collectives["name"].n_unique() == 2
    assert split(run) == expected(plan)


def test_send_and_receive_among_three_ranks_stay_unmatched(tmp_path: Path) -> None:
    plan = Plan(names=dict.fromkeys(range(3), SENDRECV_KERNEL), lost=frozenset({(1, 2, 1)}))
    figures = split(plan.write(tmp_path / "p2p.sqlite"))
    assert set(figures.values()) == {("unmatched", None, None)}
    assert len(figures) == 3 * STEPS * CALLS - 1


def two_streams(path: Path, begins: Mapping[int, tuple[int, int]], lost: frozenset[Where] = frozenset()) -> Run:
    """Replays in which node 1 (stream 7, until 40 us) and node 2 (stream 20, until 50 us) run at once.

    begins: of both nodes, by rank. lost: (rank, step, node) that are not in the trace.
    """
    builder = TraceBuilder()
    for rank, starts in begins.items():
        process = builder.process(100 + rank, device=rank)
        for step in range(6):
            at = STEP_NS * step
            replay = process.graph_launch(at - 20_000)
            # The number of the graph differs between the processes, those of its nodes do not.
            graph = (2 + rank) << 32
            process.kernel(COMPUTE_KERNEL, at - 5_000, at, launch=None, correlation=replay, graph_node=graph)
            for node, begin, end, stream in ((1, starts[0], 40_000, 7), (2, starts[1], 50_000, 20)):
                if (rank, step, node) not in lost:
                    process.kernel(
                        ALLREDUCE_KERNEL,
                        at + begin,
                        at + end,
                        launch=None,
                        correlation=replay,
                        graph_node=graph | node,
                        stream=stream,
                    )
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))


def waits_by_node(run: Run, step: int) -> dict[tuple[int, int], int | None]:
    """{(rank, node): wait}."""
    own = run.collectives.filter(pl.col("step") == step).select("rank", pl.col("graph_node") % (1 << 32), "wait")
    return {(rank, node): wait for rank, node, wait in own.iter_rows()}


def test_nodes_on_two_streams_are_paired_by_node(tmp_path: Path) -> None:
    # Rank 0 begins node 1 first, rank 1 node 2.
    run = two_streams(tmp_path / "nodes.sqlite", {0: (0, 5_000), 1: (12_000, 3_000)})
    assert set(run.collectives["verdict"]) == {"matched"}
    assert waits_by_node(run, 2) == {(0, 1): 12_000, (1, 1): 0, (0, 2): 0, (1, 2): 2_000}


@pytest.mark.parametrize("node", [1, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_node_is_not_replaced_by_the_one_beside_it(tmp_path: Path, rank: int, node: int) -> None:
    lost = frozenset({(rank, 2, node)})
    run = two_streams(tmp_path / "nodes.sqlite", {0: (0, 5_000), 1: (12_000, 3_000)}, lost)
    whole = {(0, 1): 12_000, (1, 1): 0, (0, 2): 0, (1, 2): 2_000}
    assert waits_by_node(run, 3) == whole
    left = {key: wait if key[1] != node else None for key, wait in whole.items() if key != (rank, node)}
    assert waits_by_node(run, 2) == left


# ---- any deletions

_TEXT = {"name": ALLREDUCE_KERNEL, "kind": "all_reduce", "cls": "collective", "library": "nccl"}
_SCHEMA = {"row": pl.Int64, "rank": pl.Int64, "step": pl.Int64, "nth": pl.Int64, "begin": pl.Int64, "end": pl.Int64}


@st.composite
def meetings(draw: st.DrawFn, steps: int) -> pl.DataFrame:
    """Calls of ranks that cannot run ahead: each begins after its own rank's call before, ends after all began."""
    ranks, calls = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    own_time = st.integers(4, 60)
    free = [0] * ranks
    rows: list[tuple[int, ...]] = []
    for step in range(steps):
        for call in range(calls):
            begins = [at + draw(own_time) for at in free]
            done = max(begins) + draw(st.integers(1, 30))
            # They leave together to within less than any of them computes before the next.
            ends = [done + draw(st.integers(0, 3)) for _ in range(ranks)]
            for rank in range(ranks):
                rows.append((len(rows), rank, step, call, begins[rank], ends[rank]))
            free = ends
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return frame.with_columns(
        **{name: pl.lit(value) for name, value in _TEXT.items()},
        communicator=pl.lit(None, dtype=pl.String),
        group=pl.lit("all"),
        barrier=pl.lit(True),
        partial=pl.lit(False),
        half=pl.lit(None, dtype=pl.String),
        context=pl.lit(1, dtype=pl.Int64),
        stream=pl.lit(7, dtype=pl.Int64),
        correlation=pl.col("row"),
        graph_node=pl.lit(None, dtype=pl.Int64),
    )


def without(calls: pl.DataFrame, data: st.DataObject, candidates: pl.DataFrame) -> pl.DataFrame:
    rows = candidates["row"].to_list()
    lost = data.draw(st.sets(st.sampled_from(rows), max_size=min(len(rows), 8)))
    return calls.filter(~pl.col("row").is_in(list(lost)))


@settings(deadline=None)
@given(meetings(3), st.data())
def test_what_is_accepted_is_possible(calls: pl.DataFrame, data: st.DataObject) -> None:
    ranks = calls["rank"].n_unique()
    matched = match_collectives(without(calls, data, calls), ranks)
    group = ["family", "step", "call"]
    assert matched.group_by(*group, "rank").len()["len"].max() in (None, 1)
    accepted = matched.filter(pl.col("verdict") == "matched")
    for _, own in accepted.group_by(group):
        assert own["rank"].n_unique() == len(own) == own["members"][0]
        assert own["end"].min() >= own["begin"].max()  # type: ignore[operator]
        assert own["last"].unique().to_list() == [own["begin"].max()]
    assert (accepted["wait"] + accepted["wire"]).to_list() == (accepted["end"] - accepted["begin"]).to_list()
    assert not (accepted.select("wait", "wire", "skew_free_wait").to_numpy() < 0).any()
    others = matched.filter(pl.col("verdict") != "matched")
    assert others.select(pl.col("last", "wait", "wire").is_null().all()).row(0) == (True, True, True)


@settings(deadline=None)
@given(meetings(7), st.data())
def test_groups_that_lost_no_call_keep_verdict_and_wait(calls: pl.DataFrame, data: st.DataObject) -> None:
    ranks = calls["rank"].n_unique()
    left = without(calls, data, calls.filter(pl.col("step") == 3))
    whole = left.filter(pl.len().over("step", "nth") == ranks)["row"]
    columns = ["row", "verdict", "last", "wait", "wire", "skew_free_wait"]
    before, after = (
        match_collectives(frame, ranks).filter(pl.col("row").is_in(whole.implode())).sort("row").select(columns)
        for frame in (calls, left)
    )
    assert after.equals(before)
    assert set(before["verdict"]) == {"matched"}
    lost = left.filter(~pl.col("row").is_in(whole.implode()))
    verdicts = match_collectives(left, ranks).join(lost, on="row", how="semi")["verdict"]
    assert set(verdicts) <= {"unmatched"}
