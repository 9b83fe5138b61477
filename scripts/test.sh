#!/bin/sh
# Set up, then run everything that must hold: lint, types, tests. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
# The pages are tested in a real browser; without one those tests are skipped and say so.
sh scripts/browser.sh &
browser=$!
trap wait EXIT
sh scripts/setup.sh dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
wait "$browser" || echo "no browser could be installed: browser tests will be skipped" >&2
# Neighbours go to one process, which then has what they share.
.venv/bin/pytest -n 2 --dist worksteal "$@"
