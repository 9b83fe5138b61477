"""One line of what was looked at before or after a capture."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.styled import Style, styled

OK = "ok"
WARN = "warn"
FAIL = "FAIL"
_STYLES = {OK: Style.GOOD, WARN: Style.DOUBTFUL, FAIL: Style.BAD}


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, what was seen, and the remedy if it is not well."""

    name: str
    status: str
    seen: str
    remedy: str = ""

    def line(self) -> str:
        """The check as one line of text."""
        status = styled(_STYLES[self.status], self.status) + " " * (4 - len(self.status))
        return f"  {status}  {self.name}: {self.seen}" + (f" -> {self.remedy}" if self.remedy else "")
