"""Columns of numbers, intervals and threads: what everything above is computed with."""
