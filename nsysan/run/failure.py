"""A trace that does not count in a run: one that could not be read, or a copy of another."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan._errors import NsysanError
from nsysan.text import encodable


@dataclass(frozen=True)
class Failure:
    """A trace that is left out, and why. is_copy: another shows all that it shows."""

    name: str
    path: str
    error: NsysanError
    is_copy: bool = False

    @property
    def why(self) -> str:
        """The error without the file and its folder, which may say more than a report should."""
        return encodable(str(self.error).removeprefix(f"{self.path}: ").replace(self.path, self.name))
