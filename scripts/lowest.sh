#!/bin/sh
# Test with the lowest versions that pyproject.toml allows, in .venv-lowest. Arguments go to pytest; without any, the
# tests run that read traces and make figures of them. Takes some minutes, most of them to install.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[ -x .venv-lowest/bin/python ] || "$python" -m venv --without-pip .venv-lowest
lowest=$("$python" - <<'EOF'
import tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
tools = [name for name in extras["dev"] if name.startswith(("pytest>", "hypothesis", "jsonschema-rs"))]
print(*(name.replace(">=", "==") for name in (*project["dependencies"], *extras["cluster"], *tools)))
EOF
)
# shellcheck disable=SC2086  # a word a package
"$python" -m pip --python .venv-lowest/bin/python install --quiet --no-compile --disable-pip-version-check $lowest
[ $# -gt 0 ] || set -- tests/columns tests/trace tests/model tests/metrics tests/run tests/replay tests/diagnosis \
    tests/report/test_text.py tests/report/test_read_back.py tests/compare tests/check tests/history \
    tests/workers/test_packing.py
# Tests start processes elsewhere, too, where what is not installed is to be found.
export PYTHONPATH="$PWD"
exec .venv-lowest/bin/python -m pytest -q -p no:cacheprovider "$@"
