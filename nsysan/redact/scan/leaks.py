"""The search of an output for anything that was to be left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nsysan._errors import ExitCode, NsysanError
from nsysan.redact.scan.by_form import form, is_told_by_form
from nsysan.redact.scan.decoding import hidden, readings
from nsysan.redact.scan.detectors import kinds
from nsysan.redact.scan.names import Names
from nsysan.redact.scan.sqlite_numbers import without_numbers
from nsysan.redact.scan.surfaces import BYTES, Found, texts_of, texts_of_file
from nsysan.text import counted

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

#: detect-secrets looks through so many letters at once: what its patterns take may grow with the square of it.
_WINDOW, _OVERLAP = 1_024, 256
_SHOWN = 5
#: Short texts of which it is kept what is in them.
_REMEMBERED = 16_384
#: A reading, and kinds of secret.
_Read = tuple[str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Leak:
    """A kind of secret and where it is left; never the secret itself."""

    kind: str
    where: str


def scan(output: Path, names: Names) -> list[Leak]:
    """Everything left in a file or folder: in its values, its schema, its metadata and its bytes."""
    runs: set[str] = set()
    found: dict[Leak, None] = {}
    for where, text, told in _telling(texts_of_file(output), names):
        if where == BYTES:
            runs.add(text)
        else:
            found |= dict.fromkeys(Leak(kind, where) for kind in told)
    # Numbers that follow each other read as an address once in a few thousand steps.
    rest = ((BYTES, text) for text in without_numbers(output, runs)) if runs else ()
    return list(found | dict.fromkeys(_leaks(rest, names)))


def scan_bytes(content: bytes, names: Names) -> list[Leak]:
    """Everything left in a document (see surfaces.texts_of)."""
    return _leaks(texts_of(content), names)


def check_clean(leaks: list[Leak], what: str) -> None:
    """NsysanError that says what kinds are left and where, if any; what: the output, for people."""
    if not leaks:
        return
    shown = "; ".join(f"{leak.kind} in {leak.where}" for leak in leaks[:_SHOWN])
    raise NsysanError(
        f"{what} would still tell what was to be removed, in {counted(len(leaks), 'place')} ({shown}); "
        f"nothing was written",
        ExitCode.NOT_CLEAN,
    )


def _leaks(texts: Iterable[Found], names: Names) -> list[Leak]:
    return list(dict.fromkeys(Leak(kind, where) for where, _, told in _telling(texts, names) for kind in told))


def _telling(texts: Iterable[Found], names: Names) -> Iterator[tuple[str, str, list[str]]]:
    """The texts that hold a secret, where each is, and of what kinds."""
    known: dict[str, list[str]] = {}
    forms: dict[str, bool | None] = {}
    for where, text in texts:
        if text not in known:
            clean = len(text) <= _WINDOW and _is_clean(form(text), forms)
            known[text] = list(names.within(text) if clean else of_text(text, names))
        if known[text]:
            yield where, text, known[text]


def _is_clean(form_of_it: str, known: dict[str, bool | None]) -> bool:
    """Whether texts of a form hold nothing but perhaps names; asked when there is a second one."""
    if form_of_it not in known:
        known[form_of_it] = None
        return False
    clean = known[form_of_it]
    if clean is None:
        clean = is_told_by_form(form_of_it) and not any(True for _ in of_text(form_of_it, Names({})))
        known[form_of_it] = clean
    return clean


def of_text(text: str, names: Names) -> Iterator[str]:
    """The kinds of secret in a text, in any of its readings."""
    for reading, first, last in _short(text) if len(text) <= _WINDOW else _read(text):
        yield from first
        yield from names.within(reading)
        yield from last


@lru_cache(maxsize=_REMEMBERED)
def _short(text: str) -> tuple[_Read, ...]:
    """What `_read` gives: outputs of a run, and of other runs, hold the same short texts."""
    return tuple(_read(text))


def _read(text: str) -> Iterator[_Read]:
    """Each reading of a text, and the kinds of secret in it, whoever it names: told before names, and after."""
    for reading in readings(text):
        yield reading, tuple(kinds(reading)), tuple(_by_library(reading))
    if hidden(text):
        yield "", (), ("encoded text",)


def _by_library(text: str) -> Iterator[str]:
    if len(text) < 16:
        return
    for begin in range(0, len(text), _WINDOW - _OVERLAP):
        window = text[begin : begin + _WINDOW]
        for kind, patterns in _patterns():
            # Not any(): fifty patterns search each of a million texts.
            for pattern in patterns:
                if pattern.search(window):
                    yield kind
                    break


@cache
def _patterns() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    return tuple((plugin.secret_type, tuple(plugin.denylist)) for plugin in _plugins())


def _plugins() -> tuple[RegexBasedDetector, ...]:
    """The detectors of detect-secrets, but for those that take a common word for a key, and those that never end:
    the patterns for OpenAI and npm try every letter of a word as its middle."""
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
    from detect_secrets.plugins.basic_auth import BasicAuthDetector
    from detect_secrets.plugins.discord import DiscordBotTokenDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
    from detect_secrets.plugins.jwt import JwtTokenDetector
    from detect_secrets.plugins.mailchimp import MailchimpDetector
    from detect_secrets.plugins.private_key import PrivateKeyDetector
    from detect_secrets.plugins.pypi_token import PypiTokenDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector
    from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
    from detect_secrets.plugins.twilio import TwilioKeyDetector

    return (
        AWSKeyDetector(),
        AzureStorageKeyDetector(),
        BasicAuthDetector(),
        DiscordBotTokenDetector(),
        GitHubTokenDetector(),
        GitLabTokenDetector(),
        JwtTokenDetector(),
        MailchimpDetector(),
        PrivateKeyDetector(),
        PypiTokenDetector(),
        SendGridDetector(),
        SlackDetector(),
        SquareOAuthDetector(),
        StripeDetector(),
        TelegramBotTokenDetector(),
        TwilioKeyDetector(),
    )
