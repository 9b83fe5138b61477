"""One line of what was looked at before or after a capture."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
WARN = "warn"
FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, what was seen, and the remedy if it is not well."""

    name: str
    status: str
    seen: str
    remedy: str = ""

    def line(self) -> str:
        """The check as one line of text."""
        return f"  {self.status:4}  {self.name}: {self.seen}" + (f" -> {self.remedy}" if self.remedy else "")
