#!/bin/sh
# Set up, then run everything that must hold: lint, types, tests. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh dev
# The pages are tested in a real browser; without one those tests are skipped and say so.
sh scripts/browser.sh || echo "no browser could be installed: browser tests will be skipped" >&2
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/pytest -n 2 "$@"
