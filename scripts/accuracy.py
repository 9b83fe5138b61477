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
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.simulator.scenarios import balanced, random_scenario  # noqa: E402
from tests.simulator.score import KEYS, Outcome, judge, spread  # noqa: E402

BAR = 0.02
TOLD = 12
BY_REPORT = "tests.simulator.score:by_report"


def main() -> int:
    """Run, print a table, and what is worst."""
    options = _options()
    seeds = options.only or range(options.first, options.first + options.count)
    calm_seeds = range(options.first, options.first + options.balanced)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        faulty = _run(partial(_judge, folder, options.analysis, False), seeds, options.jobs)
        calm = _run(partial(_judge, folder, options.analysis, True), calm_seeds, options.jobs)
    if options.only:
        for outcome in faulty:
            _print_one(outcome)
    good = _print_table(faulty) if faulty else True
    return int(not (_print_balanced(calm) and good))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=0, help="random runs with faults")
    parser.add_argument("--balanced", type=int, default=0, help="runs without faults")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--only", type=int, nargs="*", help="these seeds alone, each told in full")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the exports")
    parser.add_argument("--analysis", default=BY_REPORT, help="module:function from an export's path to an Answer")
    return parser.parse_args()


def _run(judged: partial[Outcome], seeds: Iterable[int], jobs: int) -> list[Outcome]:
    if jobs < 2:
        return list(map(judged, seeds))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(judged, seeds, chunksize=4))


def _judge(folder: Path, analysis: str, calm: bool, seed: int) -> Outcome:
    module, _, function = analysis.partition(":")
    scenario = balanced(seed) if calm else random_scenario(seed)
    path = folder / f"{'balanced' if calm else 'random'}_{seed}.sqlite"
    return judge(scenario, path, getattr(import_module(module), function))


def _print_table(outcomes: list[Outcome]) -> bool:
    print(f"{len(outcomes)} runs with faults; |predicted - true| / period")
    print(f"{'':12} {'told':>5} {'null':>5} {'p50 %':>7} {'p95 %':>7} {'max %':>7} {'> 5 %':>6}")
    good = True
    for key in KEYS:
        nulls = sum(name == key or name.startswith(f"{key}_") for o in outcomes for name in o.score.unanswered)
        found = spread(outcomes, key)
        if found is None:
            print(f"{key:12} {0:5} {nulls:5}")
            continue
        percent = f"{100 * found.p50:7.2f} {100 * found.p95:7.2f} {100 * found.max:7.2f}"
        print(f"{key:12} {found.count:5} {nulls:5} {percent} {found.far:6}")
        good &= found.p95 <= BAR
    for word in ("missed", "wrong", "cause_wrong"):
        ranks = [len(getattr(outcome.score, word)) for outcome in outcomes]
        print(f"late ranks {word.replace('_', ' ')}: {sum(ranks)} in {sum(map(bool, ranks))} runs")
        good &= not any(ranks)
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
