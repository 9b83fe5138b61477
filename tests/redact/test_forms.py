"""Lines of a log that differ by numbers alone are looked at once, and become what each would by itself."""

from __future__ import annotations

import random
import re

import pytest

from nsysan.redact import scrub
from nsysan.redact.masks import masked
from nsysan.redact.scan import leaks
from nsysan.redact.scrub import Scrubber
from nsysan.redact.secrets import HOST, Secrets
from tests.planting import kinds, names

_CALL = "[{0}] NCCL INFO AllReduce: opCount {1:x} sendbuff 0x7f{2:010x} count {1} comm 0x55aa00000000 [nranks=8]"
#: In each, what a number is, is asked; what stands in place of {} is another in each line.
_ASKED = (
    "serial number {}",
    "-u {} 10.0.0.1",
    "{} 6f 6e 20 6e 6f 64 65 31",
    "slurm job {}",
    "GUID {} at port 1",
    "bearer {}",
    "pin: {}",
    "cuda {} 10.1.2.3",
    "+1 555 {} 12",
    "rank[0,{}]",
    "{}.corp.example",
    "host {}",
)


def _varied(text: str, chance: random.Random) -> str:
    """The text with other numbers where there are some as words."""
    return re.sub(r"(?<!\S)\d{3,}(?!\S)", lambda match: "".join(chance.choices("123456789", k=len(match[0]))), text)


def test_each_text_becomes_what_it_would_by_itself() -> None:
    chance = random.Random(1)
    secrets = Secrets()
    secrets.add(HOST, "123456789")
    texts = [form.format(number) for form in _ASKED for number in (1234, 5678901, 123456789, "6e6f", "0x6e6f6465")]
    texts += [_varied(f"count 8192 {kind.text} 4096", chance) for kind in kinds() for _ in range(3)]
    together, nobody = Scrubber(secrets), names()
    found = {text: told for _, text, told in leaks._telling((("", text) for text in texts), nobody)}
    for text in texts:
        assert together.label(text) == Scrubber(secrets).label(text) == masked(text, Scrubber(secrets)._known)[0]
        assert set(found.get(text, ())) == set(leaks.of_text(text, nobody))


def test_lines_that_differ_by_numbers_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    lines = [_CALL.format(0, 4096 + number, number) for number in range(500)]

    def counted(text: str, *_: object, **__: object) -> tuple[str, list[str]]:
        looked.append(text)
        return masked(text)

    monkeypatch.setattr(scrub, "masked", counted)
    together = Scrubber(Secrets())
    assert [together.label(line) for line in lines] == lines
    monkeypatch.setattr(leaks, "of_text", lambda text, _: iter(counted(text)[1]))
    assert not list(leaks._telling((("", line) for line in lines), names()))
    assert len(looked) < 20
