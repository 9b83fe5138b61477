"""Hold what nsysan predicts against what really happens, on simulated runs with and without their faults.

    python scripts/accuracy.py --count 220          # random runs with one to three faults
    python scripts/accuracy.py --balanced 200       # runs in which nothing is wrong: nobody may be named
    python scripts/accuracy.py --only 17 --keep DIR # one of them, with its export

Prints, of each what-if, how far the predicted period is from that of the run without the thing, as a share of the
period; the late ranks that were missed, and those that were named for nothing. Exits with 1 if a bar is broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nsysan import NsysanError  # noqa: E402
from tests.simulator.export import export  # noqa: E402
from tests.simulator.scenarios import balanced, random_scenario  # noqa: E402
from tests.simulator.score import KEYS, Answer, Score, by_report, score  # noqa: E402
from tests.simulator.truth import Truth, truths  # noqa: E402

BAR = 0.02
FAR = 0.05
TOLD = 12


@dataclass(frozen=True)
class Outcome:
    """One run: what is so, what was said, and how far that is off."""

    seed: int
    name: str
    truth: Truth
    answer: Answer
    score: Score
    trouble: str | None = None


def main() -> int:
    """Run, print a table, and what is worst."""
    options = _options()
    seeds = options.only or range(options.first, options.first + options.count)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        faulty = list(_run(partial(_judge, folder, False), seeds, options.jobs))
        calm_seeds = range(options.first, options.first + options.balanced)
        calm = list(_run(partial(_judge, folder, True), calm_seeds, options.jobs))
    if options.only:
        for outcome in faulty:
            _print_one(outcome)
    good = _print_table(faulty) if faulty else True
    return int(not (_print_balanced(calm) and good))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=220, help="random runs with faults (default 220)")
    parser.add_argument("--balanced", type=int, default=0, help="runs without faults (default none)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--only", type=int, nargs="*", help="these seeds alone, each told in full")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the exports")
    return parser.parse_args()


def _run(judge: partial[Outcome], seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    if jobs < 2:
        yield from map(judge, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(judge, seeds, chunksize=4)


def _judge(folder: Path, calm: bool, seed: int) -> Outcome:
    scenario = balanced(seed) if calm else random_scenario(seed)
    (truth,) = truths(scenario)
    path = export(scenario, folder / f"{'balanced' if calm else 'random'}_{seed}.sqlite")
    try:
        answer, trouble = by_report(path), None
    except NsysanError as error:
        answer, trouble = Answer(), str(error)
    return Outcome(seed, scenario.name, truth, answer, score(truth, answer), trouble)


def _print_table(outcomes: list[Outcome]) -> bool:
    print(f"{len(outcomes)} runs with faults; |predicted - true| / period")
    print(f"{'':12} {'told':>5} {'null':>5} {'p50 %':>7} {'p95 %':>7} {'max %':>7} {'> 5 %':>6}")
    good = True
    for key in KEYS:
        errors = sorted(abs(error) for outcome in outcomes for error in outcome.score.errors[key])
        nulls = sum(name == key or name.startswith(f"{key}_") for o in outcomes for name in o.score.unanswered)
        if not errors:
            print(f"{key:12} {0:5} {nulls:5}")
            continue
        p50, p95 = (errors[-(-len(errors) * percent // 100) - 1] for percent in (50, 95))
        far = sum(error > FAR for error in errors)
        print(f"{key:12} {len(errors):5} {nulls:5} {100 * p50:7.2f} {100 * p95:7.2f} {100 * errors[-1]:7.2f} {far:6}")
        good &= p95 <= BAR
    for word in ("missed", "wrong", "cause_wrong"):
        found = [(outcome.seed, getattr(outcome.score, word)) for outcome in outcomes if getattr(outcome.score, word)]
        print(f"late ranks {word.replace('_', ' ')}: {sum(len(ranks) for _, ranks in found)} in {len(found)} runs")
        good &= not found
    for outcome in outcomes:
        if outcome.trouble:
            print(f"not read: {outcome.name}: {outcome.trouble}")
            good = False
    print("worst:")
    for outcome in sorted(outcomes, key=_worst, reverse=True)[:TOLD]:
        far = {key: f"{100 * max(errors, key=abs):+.1f}" for key, errors in outcome.score.errors.items() if errors}
        print(f"  {outcome.name}\n    {far} missed {outcome.score.missed} wrong {outcome.score.wrong}")
    return good


def _worst(outcome: Outcome) -> float:
    return max((abs(error) for errors in outcome.score.errors.values() for error in errors), default=0.0)


def _print_balanced(outcomes: list[Outcome]) -> bool:
    named = [outcome for outcome in outcomes if outcome.answer.late]
    if outcomes:
        print(f"{len(outcomes)} balanced runs, in {len(named)} of them somebody is named")
    for outcome in named[:TOLD]:
        print(f"  {outcome.name}: ranks {sorted(outcome.answer.late)}")
    return not named


def _print_one(outcome: Outcome) -> None:
    print(outcome.name, outcome.trouble or "")
    for key, period in outcome.truth.periods.items():
        told = outcome.answer.periods.get(key)
        bounds = outcome.answer.bounds.get(key, "")
        print(f"  {key:16} {period.median / 1000:9.1f} (mean {period.mean / 1000:9.1f}), told", end=" ")
        print("nothing" if told is None else f"{told / 1000:9.1f}", bounds)
    for rank, late in outcome.truth.late.items():
        print(f"  rank {rank} costs {late.costs.median / 1000:.1f} (mean {late.costs.mean / 1000:.1f})", end=" ")
        print(f"saves {late.saves.median / 1000:.1f} {[*map(str, late.causes)]}; told {outcome.answer.late.get(rank)}")


if __name__ == "__main__":
    sys.exit(main())
