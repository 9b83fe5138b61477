"""What is read at most: each bound stands once, is told in the map, and is asked for where its file is read."""

from __future__ import annotations

import re

from nsysan import budgets
from tests.test_layers import MODULES, ROOT

BOUNDS: dict[str, float] = {name: value for name, value in vars(budgets).items() if re.fullmatch(r"[A-Z][A-Z_]+", name)}
TEXTS = {name: path.read_text("utf-8") for name, path in MODULES.items()}
#: What bounds of bytes, lines, rows or values were called in modules that had their own.
OWN = re.compile(r"^_?(?:MAX|MOST|LONGEST)_(?:BYTES|LINES?|FILES|ROWS|VALUES?|TABLES|PAGES) = [\d(]", re.M)
#: Of messages of NCCL, which are in no file, and of what is kept of a run.
OTHERS = {"model.payloads", "redact.scrub", "history.kept_kernels"}


def test_the_map_tells_every_bound() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([\d,]+) \| .+ \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert rows == [(name, f"{value:,.0f}") for name, value in BOUNDS.items()]


def test_every_bound_is_asked_for() -> None:
    used = {name for name in BOUNDS for text in TEXTS.values() if len(re.findall(rf"\b{name}\b", text)) > 1}
    assert used == BOUNDS.keys()


def test_no_module_has_a_bound_of_its_own() -> None:
    of_files = {
        name for name in TEXTS if name.partition(".")[0] in ("trace", "model", "redact", "light", "history", "check")
    }
    assert {name for name in of_files if OWN.search(TEXTS[name])} == OTHERS
