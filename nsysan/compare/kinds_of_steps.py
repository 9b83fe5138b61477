"""Steps of one kind and batch on several sides."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.report.replica import PopulationRow


@dataclass(frozen=True)
class PopulationOnSides:
    """Steps of one kind and batch that several sides have: the one of each that takes most time, by label."""

    kind: str
    batch: int | None
    sides: dict[str, PopulationRow]

    @property
    def name(self) -> str:
        """Such as "decode of batch 8"."""
        return self.kind if self.batch is None else f"{self.kind} of batch {self.batch}"
