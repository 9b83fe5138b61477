"""Every kind of secret by itself, in the forms in which a name can hold it, before both halves; and names that stay."""

from __future__ import annotations

import ast
import json
import re
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

import nsysan.redact.masks
import nsysan.redact.scan
from nsysan.redact.masks import masked, order
from nsysan.redact.scan import Names
from nsysan.redact.scan import names as of_names
from nsysan.redact.scan.leaks import of_text
from nsysan.redact.scrub import Scrubber
from nsysan.redact.secrets import HOST, USER, Secret, Secrets
from tests.planting import kinds, names, plant_module

FORMS = (
    "{}",
    "load {} now",
    "kernel<{}>",
    "void k<(int)4, {}>(T1 *)",
    "name_{}",
    "x={}",
    '"{}"',
    "('{}',)",
    "[{}]",
    "step 3: {}",
    "{}_step_3",
    "a,{},b",
    "see {}.",
)
STAY = (Path(__file__).parent.parent / "data" / "names_of_code.txt").read_text("utf-8").splitlines()
NOBODY = Names({})


def scrubber() -> Scrubber:
    told = plant_module("plant_kinds")
    secrets = Secrets()
    secrets.add(HOST, f"{told.HOST}.{told.DOMAIN}")
    secrets.add(USER, told.USER)
    return Scrubber(secrets)


def test_there_are_at_least_sixty_kinds_each_once() -> None:
    found = [kind.name for kind in kinds()]
    assert len(found) == len(set(found)) >= 60
    assert all(tell.lower() in kind.text.lower() or "secret" in kind.name for kind in kinds() for tell in kind.tells)


@pytest.mark.parametrize("how", ["label", "code"])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_of_a_kind_is_left_in_a_name(how: str, seed: int) -> None:
    mask = getattr(scrubber(), how)
    left = [
        (kind.name, form)
        for kind in kinds(seed)
        for form in FORMS
        if any(tell.lower() in mask(form.format(kind.text)).lower() for tell in kind.tells)
    ]
    assert left == []


@pytest.mark.parametrize("seed", [0, 1])
def test_the_scan_finds_every_kind_by_itself(seed: int) -> None:
    missed = [
        (kind.name, form)
        for kind in kinds(seed)
        for form in FORMS
        if not any(True for _ in of_text(form.format(kind.text), names()))
    ]
    assert missed == []


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 twice": lambda text: b64encode(b64encode(text.encode())).decode(),
    "base64 without its end": lambda text: b64encode(text.encode()).decode().rstrip("="),
    "base64 of URLs": lambda text: urlsafe_b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: f"0x{text.encode().hex().upper()}",
    "bytes": lambda text: text.encode().hex(" "),
    "percent signs": lambda text: "".join(f"%{ord(c):02x}" for c in text),
    "percent signs twice": lambda text: "".join(f"%25{ord(c):02x}" for c in text),
    "JSON": lambda text: json.dumps({"x": text}),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"x": text})),
    "code points": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "no width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "in a long text": lambda text: f"{'x' * 5_000} {text} {'y' * 5_000}",
}


@pytest.mark.parametrize("how", ENCODINGS)
def test_other_ways_to_write_it(how: str) -> None:
    """Of each kind that is long enough to be told when it is written in another way."""
    write, mask = ENCODINGS[how], scrubber().label
    for kind in kinds():
        written = write(kind.text)
        # A number in decimal digits may be just that.
        if len(kind.text) < 18 or written[2:].isdigit() or (how == "code points" and "\\\\" in kind.text):
            continue
        done = mask(f"a {written} b")
        assert written not in done, kind.name
        assert not any(tell.lower() in done.lower() for tell in kind.tells), kind.name
        assert any(True for _ in of_text(written, names())), kind.name
        assert not any(True for _ in of_text(done, names())), (kind.name, done)


def test_the_scan_lets_pass_what_the_pass_has_masked() -> None:
    mask = scrubber().label
    stopped = [
        (kind.name, mask(form.format(kind.text)))
        for kind in kinds()
        for form in FORMS
        if any(True for _ in of_text(mask(form.format(kind.text)), names()))
    ]
    assert stopped == []


@pytest.mark.parametrize("number", range(len(order._OF_LABELS)))
def test_what_the_pass_forgets_the_scan_finds(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = order._OF_LABELS[number].kind
    monkeypatch.setattr(order, "_OF_LABELS", tuple(step for step in order._OF_LABELS if step.kind != forgotten))
    mask = scrubber().label
    left = [(kind, mask(form.format(kind.text))) for kind in kinds() for form in FORMS[:5]]
    left = [(kind, text) for kind, text in left if any(tell.lower() in text.lower() for tell in kind.tells)]
    assert left
    assert [(kind.name, text) for kind, text in left if not any(True for _ in of_text(text, names()))] == []


@pytest.mark.parametrize("text", STAY)
def test_names_of_code_stay(text: str) -> None:
    assert masked(text) == (text, [])
    assert masked(text, code=True) == (text, [])
    assert list(of_text(text, NOBODY)) == []


def test_the_short_way_gives_what_the_long_way_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*STAY, *(form.format(kind.text) for kind in kinds() for form in FORMS)]
    texts += [write(kind.text) for kind in kinds() for write in ENCODINGS.values()]
    short = [masked(text) for text in texts]
    monkeypatch.setattr(order, "_HINTS", re.compile(""))
    assert [masked(text) for text in texts] == short


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("CUDA 12.8.1.2 at 12.8.1.2:443", "CUDA 12.8.1.2 at <ip>:443"),
        ("peer 12.8.1.2", "peer <ip>"),
        ("25:11:28:02:19:33", "25:11:28:02:19:33"),
        ("mac 25:11:28:02:19:33", "mac <mac>"),
        ("25:13:28:02:19:33", "<mac>"),
        ("NET/IB eth0:fe80::a00:27ff:fe4e:66a1%eth0<0>", "NET/IB eth0:<ip><0>"),
        ("layers[0-15] on node[01-04]", "layers[0-15] on <host>"),
        ("torch/nn/linear.py(9) acme/net.py(9)", "torch/nn/linear.py(9) <path>(9)"),
        ("password: 1234, key: 1234", "password: <key>, key: 1234"),
        ("--max-tokens 128 --hf-token abcdef", "--max-tokens 128 --hf-token <key>"),
        ("basic attention, Basic amlsbDpodW50ZXIy", "basic attention, Basic <key>"),
        ("load from gpu17.corp.example:8000/v1", "load from <image>"),
        ("k\u200bey wesk\u200ber@corp\u2024example", "key <mail>"),
        ("\uff31 step", "\uff31 step"),
        ("0x" + "5ab1" * 8, "0x" + "5ab1" * 8),
        ("token: 8f2kq9zx71pw", "token: <key>"),
        ("key: layer_12_attention_weights", "key: layer_12_attention_weights"),
        ("as arn:aws:iam::123456789012:role/llm", "as <resource>"),
        ("on i-0ab12cd34ef56ab78", "on <resource>"),
        ("login -u jill:hunter2 -p hunter22 -p 8000", "login -u <key> -p <key> -p 8000"),
        ("S/N 1653022012345", "S/N <serial>"),
        ("name\0HOME=/home/jill", "name"),
    ],
)
def test_what_a_text_becomes(text: str, done: str) -> None:
    assert Scrubber(Secrets()).label(text) == done


def test_the_halves_share_nothing_but_words_that_tell_nothing() -> None:
    """Neither imports the other, nor what the other is made of."""
    pass_, scan_ = (_imports(Path(package.__path__[0])) for package in (nsysan.redact.masks, nsysan.redact.scan))
    ours = {name for name in pass_ & scan_ if name.startswith("nsysan")}
    assert ours <= {"nsysan.redact.common_words"}
    assert not any(name.startswith("nsysan.redact.scan") for name in pass_)
    assert not any(
        name.startswith("nsysan.redact") for name in scan_ if "scan" not in name and "common_words" not in name
    )


def _imports(folder: Path) -> set[str]:
    trees = [ast.parse(file.read_text("utf-8")) for file in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


HOSTILE: tuple[str, ...] = (
    "a",
    "Ab9",
    "sk-",
    "sk-1",
    "a.",
    "a/",
    "/a",
    "a@",
    "a::",
    "1:",
    "%41",
    "\\x41",
    "\\",
    "&a;",
    "A=",
    "{",
    "'",
)
HOSTILE += (
    "-----BEGIN A-----",
    "password=",
    'password="',
    "--a-key ",
    "cookie:",
    "X-Amz-A=a&",
    "eyJaaaaaa.",
    "node[1,",
)
HOSTILE += ("http://", "1.1.1.", "serial ", "slurm-", "guid 0x0a", "ssh-rsa AAAA", "cGFzc3dvcmQ", "~/a/", "\\\\a\\")
HOSTILE += ("a\u200b", "0a ", "AKIA", "node-17.", "a.com:80/", "basic AA", " -u a", "123456789:", "sig=a&sig=")
HOSTILE += ("T3BlbkFJ", "xoxb-1-", "https://hooks.slack.com/services/T", "AccountKey=", "://a:", "aws key ")
HOSTILE += ("sv=", "sig=a", "X-Amz-A=", "-eyJaaaaaa", "eyJ.eyJaaaaaa.")


@pytest.mark.parametrize("part", HOSTILE)
def test_time_grows_with_length_and_no_more(part: str) -> None:
    """Texts of traces are hostile: twice the text must not take four times as long."""

    def seconds(letters: int) -> float:
        text = part * (letters // len(part))
        began = time.process_time()
        masked(text)
        list(of_text(text, NOBODY))
        return time.process_time() - began

    seconds(1_000)
    once = max(seconds(40_000), 0.02)
    assert seconds(160_000) < 12 * once


@pytest.mark.parametrize(
    "text",
    [
        "sk-" + "proj-" + "a1b2" * 20_000,
        'password="' + "x1" * 20_000 + '"',
        'password="' + "x1" * 20_000,
        "Bearer " + "a1" * 20_000,
        "AccountKey=" + "a1" * 20_000,
        "ey" + "JhbGciOi." + "a1" * 20_000 + ".b",
        "5ab1c9d7" * 5_000,
    ],
    ids=["key", "password", "password without an end", "bearer", "account", "JWT", "digest"],
)
def test_of_what_is_long_no_rest_is_left(text: str) -> None:
    done = Scrubber(Secrets()).label(f"load {text} now")
    assert len(done) < 60
    assert done.startswith("load ")
    assert done.endswith(" now")


def test_thousands_of_names_are_not_looked_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile trace names as many users as it has room for."""
    secrets, found = Secrets(), {}
    looked_for: list[object] = []
    for i in range(3_000):
        secrets.add(USER, f"user{i:06d}x")
        found[f"user{i:06d}x"] = "user name"
    mask, many = Scrubber(secrets), Names(found)

    def counted(whole: Callable[..., bool]) -> Callable[..., bool]:
        def looked(*asked: object) -> bool:
            looked_for.append(asked)
            return whole(*asked)

        return looked

    monkeypatch.setattr(Secret, "is_in", counted(Secret.is_in))
    monkeypatch.setattr(of_names, "_stands_in", counted(of_names._stands_in))
    for i in range(100):
        assert mask.label(f"by user{i:06d}x, step {i}") == f"by <user>, step {i}"
        assert list(many.within(f"by user{i:06d}x, step {i}")) == ["user name"]
        assert not any(many.within(f"step {i}"))
    assert 200 <= len(looked_for) < 3_000
