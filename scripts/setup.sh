#!/bin/sh
# Make .venv with nsysan in it, and with the extras named as $1 (e.g. dev). Needs python3 >= 3.11 and its pip.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
# The venv gets no pip of its own: Debian splits ensurepip off, and the outer pip can serve.
[ -x .venv/bin/python ] || "$python" -m venv --without-pip .venv
"$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check --editable ".${1:+[$1]}"
