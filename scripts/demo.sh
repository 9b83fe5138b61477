#!/bin/sh
# Set up, then report on a real trace: four H200, tensor-parallel decode, one rank slower than the others.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
.venv/bin/nsysan report fixtures/tp4_slow.sqlite -o report.html --force
