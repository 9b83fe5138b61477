"""Lines of a log that differ by numbers alone are looked at once, and become what each would by itself."""

from __future__ import annotations

import random
import re

import pytest

from nsysan.page.elements import own_script, render
from nsysan.redact import scrub
from nsysan.redact.masks import masked
from nsysan.redact.scan import Names, leaks
from nsysan.redact.scan import names as scanned
from nsysan.redact.scan.surfaces import texts_of
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


def test_the_script_of_a_page_is_known_and_the_rest_of_it_searched() -> None:
    page = render("title", "subtitle", "<p>a report</p>", {}, "0", of="a trace")
    assert own_script() in page
    texts = [text for _, text in texts_of(page.encode())]
    assert not any("const nsysan" in text for text in texts)
    planted = page.replace(own_script(), f"{own_script()}// at raccoon07")
    assert any("at raccoon07" in text for _, text in texts_of(planted.encode()))


def test_a_pair_of_texts_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    kind = scanned._kind

    def counted(label: str, value: str) -> tuple[str, list[str]]:
        asked.append((label, value))
        return kind(label, value)

    monkeypatch.setattr(scanned, "_kind", counted)
    found = scanned._collected([("Hostname", "raccoon07"), ("text", "decode")] * 100 + [("USER", "wesker")])
    assert found.kinds == {"raccoon07": "host name", "wesker": "user name"}
    assert len(asked) == 3


def test_what_is_remembered_of_a_text_depends_on_no_names() -> None:
    text = "by wesker in /home/jill"
    assert list(leaks.of_text(text, Names({}))) == ["path"]
    assert list(leaks.of_text(text, Names({"wesker": "user name"}))) == ["path", "user name"]
    assert list(leaks.of_text(text, Names({}))) == ["path"]
