"""Detectors: what kinds of secret a text holds. Most take it apart into words and ask what each word can be."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

from nsysan.redact.common_words import words
from nsysan.redact.scan.machines import is_machine, is_node_list

_WORDS = re.compile(r"[^\s\"'<>()\[\]{},;|`]+")
_NUMBERS = re.compile(r"(?<![A-Za-z0-9.])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9]|\.\d)")
_PAIRS = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}(?![A-Za-z0-9]))+")
_QUADS = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{4}(?![A-Za-z0-9])){3}")
_PARTS = re.compile(r"[_:=/@\\#*$!?&+~^%]")
_DRIVE = re.compile(r"(?<![A-Za-z])[A-Za-z]:\\{1,4}[^\\\s]|(?<!\\)\\\\[\w.$-]+\\[\w]")
_LETTERS = re.compile(r"[A-Za-z]+")
_PIECES = re.compile(r"[A-Za-z0-9+/]+")
_HEX = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{32,}(?![A-Za-z0-9])")
_SIXTEEN = re.compile(r"(?<![A-Za-z0-9])(?:0[xX])?([0-9A-Fa-f]{16})(?![A-Za-z0-9])")
_UUIDS = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
#: Makers of InfiniBand cards, as their GUIDs begin.
_CARDS = ("0002c9", "248a07", "506b4b", "7cfe90", "98039b", "b8599f", "0c42a1", "1070fd", "08c0eb", "946dae", "a088c2")
_ROOTS = words(
    "home Users root mnt scratch lustre gpfs nfs fsx workspace data tmp opt srv etc var proc projects Volumes"
)
#: Beginnings of keys, and how many letters that vary have to follow.
_BEGINNINGS = (
    ("sk-", 20), ("sk-ant-", 10), ("sk-proj-", 10), ("hf_", 30), ("ghp_", 30), ("gho_", 30), ("ghu_", 30), ("ghs_", 30),
    ("ghr_", 30), ("github_pat_", 20), ("glpat-", 16), ("xoxb-", 12), ("xoxp-", 12), ("xapp-", 12), ("aiza", 32),
    ("ya29.", 20), ("sk_live_", 12), ("sk_test_", 12), ("rk_live_", 12), ("sg.", 40), ("npm_", 30), ("pypi-", 40),
    ("dckr_pat_", 16), ("nvapi-", 20), ("gsk_", 30), ("akia", 16), ("asia", 16), ("wandb_v1_", 20), ("hvs.", 20),
)  # fmt: skip
_TELLING = words(
    "password passwd passphrase secret apikey accesskey privatekey accountkey authtoken accesstoken credential "
    "sessionid setcookie sharedaccess refreshtoken sessid projectid clientemail"
)
_BETWEEN = str.maketrans("", "", "_.-")
_VERSIONED = words(
    "v ver version release driver runtime toolkit firmware fw cuda cudart cudnn cublas cublaslt cufft cusparse "
    "cusolver curand cupti cutlass nccl nvrtc nvjitlink nvshmem nsys nsight systems torch pytorch triton tensorrt "
    "trt python vllm sglang flashinfer numpy openmpi ucx ofed dcgm glibc gcc lib"
)
_HARMLESS = words("true false none null nil yes no on off auto default")
_NAME_BEFORE = r"([A-Za-z_][\w.-]{1,60})\\{0,9}[\"']?\s{0,3}"
_VALUE_AFTER = r"\s{0,3}\\{0,9}[\"']?([^\s\"'<>&,;\\]{3,})"
_ASSIGNMENTS = tuple(re.compile(f"{_NAME_BEFORE}{sign}{_VALUE_AFTER}") for sign in ("(?:=>|:=|=)", ":(?!:)"))
_OPTION = re.compile(r"--([a-z][\w-]{2,40})[ =]([^\s\"'<>-][^\s\"'<>]{2,})", re.IGNORECASE)
#: Each with letters of which it has one, in lower case: most texts have none, and need not be searched.
_PHRASES = (
    ("private key", ("private key",), re.compile(r"BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY")),
    (
        "public key",
        ("ssh-", "ecdsa-"),
        re.compile(r"(?:ssh-|ecdsa-)\S{1,24}\s{1,3}(?:AAAA[\w+/]{20}|\S{1,64}\s\w{1,64}@\w)"),
    ),
    ("address of a repository", ("git@",), re.compile(r"git@\S{1,253}:[\w./~-]{2}")),
    (
        "header with credentials",
        ("bearer",),
        re.compile(r"bearer\s{1,3}(?:[\w.~+/=-]{12}|[\w-]{2,64}\.[\w-]{2,64}\.\w\w)", re.IGNORECASE),
    ),
    ("UUID", ("gpu-",), re.compile(r"(?<![A-Za-z0-9])GPU-[0-9a-f]{8}(?![0-9a-z])", re.IGNORECASE)),
    (
        "setting",
        ("key", "passw"),
        re.compile(
            r"(?:(?:api|access|private)[_-]?key|password|passwd)\s{1,3}(?:is\s{1,3})?"
            r"(?=[\w-]{0,64}\d)(?=[\w-]{0,64}[a-z])[\w-]{6}",
            re.IGNORECASE,
        ),
    ),
    (
        "header with credentials",
        ("authorization",),
        re.compile(r"authorization\W{1,6}(?:basic|digest|negotiate)\s{1,3}[\w+/=]{8}", re.IGNORECASE),
    ),
    ("cookie", ("cookie",), re.compile(r"cookie:\s{0,3}\w+=[^\s<]", re.IGNORECASE)),
    (
        "job of a cluster",
        ("slurm",),
        re.compile(r"slurm[-_ ]?(?:job)?[-_ :=#]{0,2}\d{4}|SLURM_\w{0,20}(?:ID|LIST|NAME)=[\"']?[^\s\"'<]{5}", re.I),
    ),
    ("serial number", ("serial",), re.compile(r"serial\W{0,3}(?:number|no)?\W{0,4}[A-Z]{0,4}\d{7}", re.IGNORECASE)),
    ("GUID", ("guid",), re.compile(r"guid\W{0,6}(?:0x)?[0-9a-f]{2}(?:[:.]?[0-9a-f]{2}){5}", re.IGNORECASE)),
    (
        "signed address",
        ("sig",),
        re.compile(r"(?:[?&]|X-Amz-Signature=|\bsig=)sig=?\w|X-Amz-Signature=\w|[?&]sig=[\w%]{8}"),
    ),
    (
        "account of a storage",
        ("account", "sharedaccess"),
        re.compile(r"AccountName=\w|AccountKey=\w|SharedAccessKey=\w"),
    ),
    ("telephone number", ("+",), re.compile(r"(?<![A-Za-z0-9+])\+\d{2,3} \d{3,4}(?: \d{3,})+(?![A-Za-z0-9])")),
)


def kinds(text: str) -> Iterator[str]:
    """The kinds of secret in a text, perhaps more than once."""
    # Outside of ASCII, letters can be of words whose lower case has others.
    lowered = text.lower() if text.isascii() else None
    for kind, begins, phrase in _PHRASES:
        if (lowered is None or _holds(lowered, begins)) and phrase.search(text):
            yield kind
    yield from _assigned(text)
    if "[" in text and is_node_list(text):
        yield "host name"
    yield from _addresses(text)
    for word in set(_WORDS.findall(text)):
        yield from of_word(word)


@lru_cache(maxsize=200_000)
def of_word(word: str) -> tuple[str, ...]:
    """The kinds of secret that a word can be."""
    if len(word) < 4 or word.isdigit():
        return ()
    return tuple(_of_word(word))


def _of_word(word: str) -> Iterator[str]:
    if "://" in word and _is_url(word):
        yield "URL"
    if "@" in word and _is_mail(word):
        yield "mail address"
    if ("/" in word or "\\" in word) and _is_path(word):
        yield "path"
    if _is_key(word):
        yield "key or token"
    if len(word) >= 24 and _is_mixed(word):
        yield "key or token"
    if any(digits.lower().startswith(_CARDS) for digits in _SIXTEEN.findall(word)):
        yield "card address"
    if len(word) >= 32:
        for digits in _HEX.findall(word):
            if len(set(digits.lower()) & set("abcdef")) >= 4 and len(set(digits) & set("0123456789")) >= 4:
                yield "digest"
        for found in _UUIDS.findall(word):
            if UUID(found).int:
                yield "UUID"
    if any(is_machine(part) for part in _PARTS.split(word)):
        yield "host name"


def _holds(text: str, letters: Iterable[str]) -> bool:
    # Not any(): this is asked of each text a dozen times.
    for some in letters:  # noqa: SIM110
        if some in text:
            return True
    return False


def _addresses(text: str) -> Iterator[str]:
    for match in _NUMBERS.finditer(text) if text.count(".") >= 3 else ():
        if _is_ip(match[0], text[: match.start()], text[match.end() :]):
            yield "IP address"
    if text.count(":") < 2 and text.count("-") < 5:
        return
    many = "::" in text or text.count(":") > 6
    for word in (part for whole in _WORDS.findall(text) for part in re.split(r"[#*$@!?]", whole)) if many else ():
        if ("::" in word or word.count(":") > 6) and any(map(_is_ipv6, _from_each_colon(word[:256]))):
            yield "IP address"
    for pairs in _PAIRS.findall(text):
        numbers = re.split("[:-]", pairs)
        if len(numbers) in (6, 8, 20) and not all(number.isdigit() for number in numbers):
            yield "card address"
    if _QUADS.search(text):
        yield "card address"


def _is_ip(number: str, before: str, after: str) -> bool:
    try:
        address = ipaddress.IPv4Address(number)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or number.startswith("255."):
        return False
    if after[:1] == ":" and after[1:3].isdigit():
        return True
    last = [word.lower() for word in _LETTERS.findall(before[-32:])][-2:]
    return not any(word in _VERSIONED or word.startswith("lib") for word in last)


def _from_each_colon(word: str) -> Iterator[str]:
    """The word, and what is behind each single colon or underscore in it, up to a percent sign."""
    word = word.partition("%")[0].strip("./_")
    yield word.partition("_")[0]
    for at, character in enumerate(word[:-1]):
        if character == "_" or (character in ":=/" and word[at - 1] != ":" and word[at + 1] != ":"):
            yield word[at + 1 :].partition("_")[0]


def _is_ipv6(group: str) -> bool:
    try:
        address = ipaddress.IPv6Address(group)
    except ValueError:
        return False
    told = [part for part in group.split(":") if part]
    if address.is_loopback or address.is_unspecified or len(told) < 2:
        return False
    # Namespaces of C++ read like short addresses.
    return len(told) >= 4 or (len(told[0]) == 4 and (address.is_link_local or told[0][0] == "2"))


def _is_url(word: str) -> bool:
    scheme = word.partition("://")[0]
    try:
        parts = urlsplit(word[max(0, len(scheme) - 20) :])
    except ValueError:
        return True
    return scheme[-1:].isalnum() and bool(parts.netloc or parts.path.strip("/"))


def _is_mail(word: str) -> bool:
    name, _, domain = word.rpartition("@")
    labels = domain.strip(".:").split(":")[0].split(".")
    return bool(name) and name[-1].isalnum() and len(labels) > 1 and labels[-1].isalpha() and 1 < len(labels[-1]) <= 24


def _is_path(word: str) -> bool:
    if any(mark in word and len(word.partition(mark)[2]) > 1 for mark in ("/home/", "/Users/")):
        return True
    for at, character in enumerate(word[:4_096]):
        if character == "/" and (at == 0 or not (word[at - 1].isalnum() or word[at - 1] in "./>)]~")):
            parts = word[at + 1 :].split("/")
            if len(parts) > 1 and parts[0] in _ROOTS and len(parts[1]) > 1:
                return True
    if word.startswith("~/") and len(word) > 4:
        return True
    return _DRIVE.search(word[:4_096]) is not None


def _is_key(word: str) -> bool:
    lowered = word.lower()
    for begin, least in _BEGINNINGS:
        at = lowered.find(begin)
        while at >= 0:
            rest = re.match(r"[\w-]*", word[at + len(begin) : at + 256])
            tail = rest[0] if rest else ""
            apart = at == 0 or not word[at - 1].isalpha()
            if apart and len(tail) >= least and any(c.isdigit() for c in tail[:64]) and len(set(tail)) > least // 3:
                return True
            at = lowered.find(begin, at + 1)
    return word.count(".") == 2 and word.startswith("eyJ") and len(word) > 30


def _is_mixed(word: str) -> bool:
    """Whether a piece of a word is as mixed as a key: no word in it, and every kind of letter."""
    if word.startswith("_Z"):
        return False
    for piece in _PIECES.findall(word.partition("_Z")[0]):
        if len(piece) < 28 or sum(c.isdigit() for c in piece) < 4:
            continue
        if not any(c.isupper() for c in piece) or sum(c.islower() for c in piece) < 4:
            continue
        runs = re.findall("[a-z]+|[A-Z]+|[0-9]+", piece)
        if (max(map(len, runs)) < 5 and _bits(piece) >= 4.0) or len(runs) > 0.5 * len(piece):
            return True
    return False


def _bits(word: str) -> float:
    """Shannon's entropy of the letters of a word, in bits a letter."""
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts)


def _assigned(text: str) -> Iterator[str]:
    whole = text.lower().translate(_BETWEEN)
    if ("=" in text or ":" in text) and (not text.isascii() or _holds(whole, _TELLING)):
        for name, value in (found for pattern in _ASSIGNMENTS for found in pattern.findall(text)):
            squeezed = name.lower().translate(_BETWEEN)
            if any(telling in squeezed for telling in _TELLING) and not _is_harmless(value):
                yield "setting"
    for name, value in _OPTION.findall(text) if "--" in text else ():
        last = re.split("[_-]", name.lower())[-1]
        if last in ("password", "token", "secret", "key", "passwd", "apikey") and not _is_harmless(value):
            yield "setting"


def _is_harmless(value: str) -> bool:
    # What a report shows of a long name ends in dots.
    return not value.strip(".") or value.lower() in _HARMLESS or (value.isdigit() and len(value) < 5)
