"""A trace of a run that could not be read."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan._errors import NsysanError


@dataclass(frozen=True)
class Failure:
    """A trace that could not be read, and why."""

    name: str
    path: str
    error: NsysanError

    @property
    def why(self) -> str:
        """The error without the file and its folder, which may say more than a report should."""
        return str(self.error).removeprefix(f"{self.path}: ").replace(self.path, self.name)
