"""Addresses of machines and their parts: IP, MAC, InfiniBand, UUID; versions and times that look like them stay."""

from __future__ import annotations

import re

from nsysan.redact.common_words import words
from nsysan.redact.masks.asked import may_hold

_IPV4 = re.compile(
    r"(?<![A-Za-z0-9.])((?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3})(?![A-Za-z0-9]|\.\d)"
)
_PORT = re.compile(r":\d{2,5}(?!\d)|/\d{1,2}(?![\d.])")
_VERSIONED = re.compile(
    r"(?:(?<![A-Za-z])(?:v|ver|version|release|driver|runtime|toolkit|firmware|fw|cuda|cudart|cudnn|cublas\w*|cufft\w*|"
    r"cusparse\w*|cusolver\w*|curand\w*|cupti|cutlass|nccl|nvrtc|nvjitlink|nvshmem|nsys|nsight[\w ]*|torch|pytorch|"
    r"triton|tensorrt\w*|trt\w*|python\d?|vllm|sglang|flashinfer|numpy|openmpi|ucx|ofed|mlnx\w*|dcgm|glibc|gcc|lib\w+)"
    r"[\s:=_/(\"'@-]{0,3}(?:v|ver|version)?[\s:=._/\"'-]{0,3}|==|>=|<=|~=)$",
    re.IGNORECASE,
)
_NEAR = 48  # characters before a number that can say that it is a version
#: Also behind an interface, as in eth0:fe80::1.
_IPV6 = re.compile(
    r"(?:(?<![A-Za-z0-9:.])|(?<=[A-Za-z]\d:)|(?<=[A-Za-z]\d\d:)|(?<=[g-zG-Z]:))"
    r"[0-9A-Fa-f:]{3,39}(?:%\w{1,16})?(?![A-Za-z0-9:])"
)
#: Where pairs begin and end, and no other pair is beside.
_BEFORE, _AFTER = r"(?<![A-Za-z0-9])(?<!\b[0-9A-Fa-f]{2}[:-])", r"(?![A-Za-z0-9])(?![:-][0-9A-Fa-f]{2}(?![A-Za-z0-9]))"
_MAC = re.compile(rf"{_BEFORE}[0-9A-Fa-f]{{2}}(?:[:-][0-9A-Fa-f]{{2}}){{5}}{_AFTER}")
_MAC_DOTTED = re.compile(r"(?<![A-Za-z0-9.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![A-Za-z0-9.])")
_OF_A_CARD = re.compile(r"(?:mac|ether|hwaddr|lladdr|nic)\W{0,3}(?:addr(?:ess)?)?\W{0,3}$", re.IGNORECASE)
_WIDE_MAC = re.compile(r"(?<![A-Za-z0-9:-])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){7,19}(?![A-Za-z0-9:-])")
_GUID = re.compile(
    r"(?<![A-Za-z0-9])(?<!\b[0-9A-Fa-f]{4}:)(?<!::)[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{4}){3}"
    r"(?![A-Za-z0-9])(?!:[0-9A-Fa-f]{1,4}(?![A-Za-z0-9]))(?!::)"
)
_GUID_TOLD = re.compile(
    r"(guid[\"']?\s{0,3}[:=]?\s{0,3})(?:0x)?[0-9a-f]{2}(?:[0-9a-f:.-]{10,46})[0-9a-f](?!\w)", re.IGNORECASE
)
#: The makers of InfiniBand cards by the first three bytes of their GUIDs (IEEE's registry of OUIs).
_MAKERS = words(
    "0002c9 e41d2d f45214 7cfe90 248a07 506b4b 98039b ec0d9a b8599f 0c42a1 1070fd 043f72 b8cef6 08c0eb 946dae a088c2 "
    "b83fd2 c470bd 5c2573 9c63c0 fc6a1c 58a2e1 e8ebd3"
)
_CARD = re.compile(
    rf"(?<![A-Za-z0-9])(?:0x)?(?:{'|'.join(sorted(_MAKERS))})[0-9a-f]{{10}}(?![A-Za-z0-9])", re.IGNORECASE
)
_UUID = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
#: As nvidia-smi and NVML's variables shorten those of GPUs.
_SHORT_UUID = re.compile(r"(?<![A-Za-z0-9])GPU-[0-9A-Fa-f]{8}(?![A-Za-z0-9])", re.IGNORECASE)
#: What tells of nobody: no address, and the machine itself.
_NOBODY = frozenset(("0.0.0.0", "127.0.0.1", "255.255.255.255", "255.255.255.0", "255.255.0.0"))


def mask_uuids(text: str) -> str:
    """The text without UUIDs, those of GPUs among them."""
    text = _UUID.sub("<uuid>", text) if text.count("-") > 3 else text
    return _SHORT_UUID.sub("GPU-<uuid>", text) if may_hold(text, ("gpu-",)) else text


def mask_cards(text: str) -> str:
    """The text without addresses of network cards: MAC, GUIDs and GIDs of InfiniBand."""
    text = _GUID_TOLD.sub(r"\1<guid>", text) if may_hold(text, ("guid",)) else text
    text = _CARD.sub("<guid>", text) if may_hold(text, _MAKERS) else text
    if text.count(":") + text.count("-") > 4:
        text = _WIDE_MAC.sub("<guid>", text)
        text = _MAC.sub(lambda match: match[0] if _is_time(match) else "<mac>", text)
    if text.count(".") > 1:
        text = _MAC_DOTTED.sub(lambda match: "<mac>" if re.search("[A-Fa-f]", match[0]) else match[0], text)
    return _GUID.sub("<guid>", text) if text.count(":") > 2 else text


def mask_ips(text: str) -> str:
    """The text without IP addresses; versions of four numbers stay."""
    if text.count(".") > 2:
        text = _IPV4.sub(lambda match: match[0] if _is_version(match) else "<ip>", text)
    if text.count(":") < 2:
        return text
    return _IPV6.sub(lambda match: "<ip>" if _is_ipv6(match[0]) else match[0], text)


def _is_version(match: re.Match[str]) -> bool:
    text = match.string
    if match[0] in _NOBODY:
        return True
    if _PORT.match(text, match.end()):
        return False
    return _VERSIONED.search(text[max(0, match.start() - _NEAR) : match.start()]) is not None


def _is_time(match: re.Match[str]) -> bool:
    """Whether the pairs read as year, month, day, hour, minute and second, and nothing says that it is a card."""
    pairs = re.split("[:-]", match[0])
    if not all(pair.isdigit() for pair in pairs):
        return False
    _, month, day, hour, minute, second = map(int, pairs)
    in_range = 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60
    before = match.string[max(0, match.start() - _NEAR) : match.start()]
    return in_range and _OF_A_CARD.search(before) is None


def _is_ipv6(token: str) -> bool:
    """Whether a token is an address of the network; a::b of C++, and the machine itself, are not."""
    address = token.partition("%")[0]
    doubles = address.count("::")
    if doubles > 1 or ":::" in address:
        return False
    groups = address.split(":")
    told = [group for group in groups if group]
    if any(len(group) > 4 for group in told) or len(told) > 8 - doubles or (not doubles and len(told) != 8):
        return False
    if not doubles and "" in groups:
        return False
    first = told[0].lower() if told else ""
    if len(first) == 4 and (first.startswith(("fe8", "fc", "fd", "ff0")) or first[0] == "2"):
        return True
    return len(told) >= 3 and any(character.isdigit() for character in address)
