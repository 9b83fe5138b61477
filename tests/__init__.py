"""The tests; what holds for all of them is in conftest.py."""

import os

# Before polars is loaded. Workers share the processors, and frames of tests are small: more threads wait on each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
