"""The pass that masks: every kind of secret that can be told by its form, in the order in which they may overlap."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nsysan.redact.masks.addresses import mask_cards, mask_ips, mask_uuids
from nsysan.redact.masks.encoded import mask_encoded, mask_noise, visible
from nsysan.redact.masks.hosts import mask_hosts
from nsysan.redact.masks.keys import mask_keys
from nsysan.redact.masks.paths import mask_mail, mask_paths, mask_rooted, mask_urls
from nsysan.redact.masks.settings import mask_certificates, mask_settings, mask_tokens


@dataclass(frozen=True)
class Step:
    """One kind of secret: what it is called, and the function that masks it."""

    kind: str
    mask: Callable[[str], str]


#: Names like most: short words, with nothing between them that a key, an address or a setting has.
_PLAIN = re.compile(r"(?:[A-Za-z0-9]{1,11}(?![A-Za-z0-9])|[_ ,()#]|::| = (?=\d))*")
#: Words that can make a secret of what follows all the same.
_HINTS = re.compile(
    r"node|host|login|server|srv|dgx|hgx|blade|vm|nid|compute|cn|gn|gpu|slurm|job|serial|bearer|basic|pass|pwd|secret|"
    r"credential|token|key|sess|sid|client|project|user|owner|author|logname|csrf|xsrf|(?:\b[0-9a-f]{2}[ ,]{1,2}){7}",
    re.IGNORECASE,
)

Mask = Callable[[str], tuple[str, list[str]]]


def _nothing(text: str) -> tuple[str, list[str]]:
    return text, []


_FIRST = (
    Step("key or certificate", mask_certificates),
    Step("URL", mask_urls),
    Step("key or token", mask_keys),
    Step("setting", mask_settings),
    Step("key or token", mask_tokens),
    Step("mail address", mask_mail),
)
_LAST = (
    Step("UUID", mask_uuids),
    Step("card address", mask_cards),
    Step("host name", mask_hosts),
    Step("IP address", mask_ips),
    Step("key or token", mask_noise),
)
_OF_LABELS = (*_FIRST, Step("path", mask_paths), *_LAST)
_OF_CODE = (*_FIRST, Step("path", mask_rooted), *_LAST)


def masked(text: str, known: Mask = _nothing, *, code: bool = False) -> tuple[str, list[str]]:
    """The text without what its form gives away, nor what is known to be secret, and the kinds of what was masked.

    known: masks what this trace tells of people and machines, and says the kinds. code: the text is the name of a
    kernel or call, in which slashes and colons mean something else.
    """
    if _PLAIN.fullmatch(text) and not _HINTS.search(text):
        return known(text)
    seen = visible(text)
    steps = _OF_CODE if code else _OF_LABELS

    def tells(plain: str) -> bool:
        return bool(_through(plain, _OF_LABELS, known)[1])

    done, kinds = _through(seen, steps, known)
    decoded = mask_encoded(done, tells)
    if decoded != done:
        kinds.append("encoded text")
    # Where nothing is masked, the text stays as it was written.
    return (decoded, kinds) if kinds else (text, [])


def _through(text: str, steps: tuple[Step, ...], known: Mask) -> tuple[str, list[str]]:
    kinds = []
    for step in steps:
        done = step.mask(text)
        if done != text:
            kinds.append(step.kind)
            text = done
    text, more = known(text)
    return text, kinds + more
