"""Whether a word can be the name of a machine: taken apart at its dots and hyphens."""

from __future__ import annotations

import re

from nsysan.redact.common_words import words

_ENDINGS = words("com org edu gov mil internal corp lan intranet example localdomain")
_SHARED = words("net io ai dev cloud local app co de uk fr ch nl se us eu ca au jp kr cn tw sg")
_NODES = words("node host login headnode server srv dgx hgx gpunode cpunode nid blade")
_CARDS = words("a100 h100 h200 h800 h20 b200 b300 gb200 gb300 v100 l40 l40s a10 a10g t4")
_RANDOM = frozenset("bcdfghjklmnpqrstvwxz2456789")
_LIST = re.compile(r"([A-Za-z][\w-]*)\[(\d+(?:[-,]\d+)+)\]")


def is_machine(word: str) -> bool:
    """Whether a word is built like the name of a host, a node or a pod."""
    labels = word.strip(".-").lower().split(".")
    if not 3 < len(word) < 254 or not all(re.fullmatch("[a-z0-9-]+", label) for label in labels):
        return False
    return (
        _is_node(labels[0])
        or any(_is_node(label) for label in labels[1:] if "-" in label)
        or (len(labels) > 1 and _is_domain(labels))
    )


def is_node_list(text: str) -> bool:
    """Whether a text holds machines with their numbers in brackets, as Slurm writes them."""
    for name, numbers in _LIST.findall(text):
        first = re.split("[-,]", numbers)[0]
        if name.lower() in _NODES or (first.startswith("0") and len(first) > 1):
            return True
    return False


def _is_domain(labels: list[str]) -> bool:
    if any(label.isdigit() and len(label) < 6 for label in labels[1:]) or not any(
        c.isalpha() for label in labels[:-1] for c in label
    ):
        return False
    last = labels[-1]
    return last in _ENDINGS or "svc" in labels[1:] or (last in _SHARED and any("-" in label for label in labels))


def _is_node(label: str) -> bool:
    parts = label.split("-")
    if parts[0] == "ip" and len(parts) == 5 and all(part.isdigit() for part in parts[1:]):
        return True
    if len(parts) > 2 and _is_pod(parts):
        return True
    if len(parts) > 2 and parts[-1].isdigit() and parts[0] in _NODES | {"gpu"} and _CARDS & set(parts[1:-1]):
        return True
    stem = label.rstrip("0123456789")
    digits = label[len(stem) :]
    return len(digits) > 1 and stem.rstrip("-").split("-")[-1] in _NODES and len(digits) < 7


def _is_pod(parts: list[str]) -> bool:
    before, last = parts[-2], parts[-1]
    random = len(last) == 5 and set(last) <= _RANDOM
    return random and 8 <= len(before) <= 10 and any(c.isdigit() for c in before) and any(c.isalpha() for c in before)
