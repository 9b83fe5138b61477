"""The last arrival at a collective, and what a call is when it is held against the other ranks'."""

from __future__ import annotations

MATCHED = "matched"
UNMATCHED = "unmatched"
REJECTED = "rejected"
SINGLE = "single"
