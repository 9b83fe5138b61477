#!/bin/sh
# Set up, then run everything that must hold: lint, types, tests. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
# The pages are tested in a real browser; without one those tests are skipped and say so.
sh scripts/browser.sh &
browser=$!
said=$(mktemp)
trap 'wait; rm -f "$said"' EXIT
# Tests start hundreds of processes, of which each would compile what it imports.
unset PYTHONDONTWRITEBYTECODE
sh scripts/setup.sh dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# Types are checked on one processor, while the tests run; what that says comes after them.
.venv/bin/mypy >"$said" 2>&1 &
types=$!
wait "$browser" || echo "no browser could be installed: browser tests will be skipped" >&2
# Neighbours go to one process, which then has what they share; a third process works while two wait for others.
held=0
.venv/bin/pytest -n 3 --dist worksteal "$@" || held=$?
typed=0
wait "$types" || typed=$?
cat "$said"
[ "$held" = 0 ] || exit "$held"
exit "$typed"
