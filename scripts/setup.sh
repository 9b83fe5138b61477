#!/bin/sh
# Make .venv with nsysan in it, and with the extras named as $1 (e.g. dev). Needs python3 >= 3.11 and its pip.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# The venv gets no pip of its own: Debian splits ensurepip off, and the outer pip can serve.
[ -x .venv/bin/python ] || "$python" -m venv --without-pip .venv
# Of a GB of packages little is ever imported: Python compiles that then, and pip need not compile all.
"$python" -m pip --python .venv/bin/python install \
    --quiet --no-compile --disable-pip-version-check --editable ".${1:+[$1]}"
