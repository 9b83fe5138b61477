"""Names of machines that no table of the trace tells: domains, pods, and names built like those of cluster nodes."""

from __future__ import annotations

import re

from nsysan.redact.common_words import words

_TOKEN = re.compile(r"(?<![A-Za-z0-9.-])[A-Za-z0-9](?:[A-Za-z0-9.-]{1,251}[A-Za-z0-9])?(?![A-Za-z0-9-])")
_IMAGE = re.compile(
    r"(?<![A-Za-z0-9.-])(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{1,251}[A-Za-z0-9])?)(?P<port>:\d{2,5})?"
    r"/[A-Za-z0-9][\w./-]{0,200}(?::[\w.-]{1,128})?(?:@sha256:[0-9a-f]{6,64})?"
)
_NODELIST = re.compile(r"(?<![\w-])([A-Za-z][\w-]{0,40})\[(\d{1,6}(?:[,-]\d{1,6})+)\](?:\.[A-Za-z0-9.-]{1,200})?")
#: Endings that code does not have.
_DOMAINS = words("com org edu gov mil internal corp lan intranet example localdomain invalid svc")
#: Endings that are words of code too: model.net, torch.local, x.at; they count where a hyphen is in the name.
_ALSO_WORDS = words(
    "net io ai dev cloud local tech app co xyz info me sh home test site online "
    "de uk fr ch nl se fi dk es pl at be cz eu us ca au nz jp kr cn tw hk sg ru br mx il ae sa tr ie it no in hu pt gr"
)
_MODELS = "a100|h100|h200|h800|h20|b200|b300|gb200|gb300|v100|l40s?|a10g?|a40|t4|mi\\d{3}x?|p4de?|p5en?"
_NODE = re.compile(
    r"""(?:[a-z][a-z0-9]*-)*(?:
      (?:node|host|login|headnode|server|srv|dgx|hgx|gpunode|cpunode|gpuhost|blade|vm|compute-\d+)-?(?:\d{2,6}|0\d+)
    | (?:nid|compute)\d{3,6} | (?:cn|gn)\d{3,6} | compute-0\d+ | node-\d\d+ | gpu-?0\d+
    | ip-\d{1,3}(?:-\d{1,3}){3}
    )(?:-[a-z0-9]{1,8})?""",
    re.VERBOSE,
)
_MODEL_NODE = re.compile(
    rf"(?:[a-z][a-z0-9]*-)*(?:gpu|node|host|dgx|hgx|cluster)-(?:[a-z0-9]+-)*(?:{_MODELS})-(?:[a-z]+-)?\d{{1,4}}"
)
_NUMBERED_MODEL = re.compile(rf"(?:[a-z][a-z0-9]*-)*(?:{_MODELS})-(?:node-?|n)?0\d+")
#: Suffixes of pods: Kubernetes makes them without vowels, 0, 1 and 3.
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
_POD = re.compile(rf"[a-z][a-z0-9]*(?:-[a-z0-9]+)*-(?:[0-9a-f]{{8,10}}|{_SAFE}{{8,10}})-{_SAFE}{{5}}")
_JOB_POD = re.compile(
    r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*-(?:worker|master|launcher|head|job|ps)-(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{5}"
)
_CLUSTER = re.compile(r"(?:gke|aks|eks|k8s|kube|k3s)-[a-z0-9-]{6,}")
_SHAPES = (_NODE, _MODEL_NODE, _NUMBERED_MODEL, _POD, _JOB_POD, _CLUSTER)
_LIST_HEADS = re.compile(r"node|host|cn|gn|nid|dgx|hgx|compute|gpunode|.*-.*", re.IGNORECASE)
_IN_HOST = re.compile(r"[.-]|[A-Za-z]\d\d")
_HINT = re.compile(r"[A-Za-z0-9][.-][A-Za-z0-9]|[A-Za-z]\d\d")


def mask_hosts(text: str) -> str:
    """The text without names of machines: lists of nodes, images with their registry, domains, pods, nodes."""
    if "[" in text:
        text = _NODELIST.sub(lambda match: "<host>" if _is_nodelist(match) else match[0], text)
    if not _HINT.search(text):
        return text
    if "/" in text:
        text = _IMAGE.sub(_image, text)
    return _TOKEN.sub(lambda match: "<host>" if _IN_HOST.search(match[0]) and is_host(match[0]) else match[0], text)


def is_host(name: str) -> bool:
    """Whether a name is a machine's by how it is built: a domain, or a node's or pod's name."""
    labels = name.lower().strip(".").split(".")
    if not all(labels) or len(name) < 4:
        return False
    # A name of Python has no hyphen, wherever it stands.
    if any(shape.fullmatch(label) for label in labels if label is labels[0] or "-" in label for shape in _SHAPES):
        return True
    return len(labels) > 1 and _is_domain(labels)


def _is_domain(labels: list[str]) -> bool:
    last = labels[-1]
    if any(label.isdigit() and len(label) < 6 for label in labels[1:]) or len(labels) > 10:
        return False
    if "svc" in labels[1:] or last in _DOMAINS:
        return any(character.isalpha() for label in labels[:-1] for character in label)
    # Names of Python have no hyphen.
    return last in _ALSO_WORDS and any("-" in label for label in labels)


def _image(match: re.Match[str]) -> str:
    host = match["host"]
    with_port = match["port"] is not None and re.search(r"[A-Za-z]", host) is not None and len(host) > 3
    return "<image>" if with_port or is_host(host) or _is_registry(host.lower()) else match[0]


def _is_registry(host: str) -> bool:
    return (
        re.fullmatch(r"(?:[a-z0-9-]+\.)*(?:ghcr\.io|quay\.io|gcr\.io|pkg\.dev|nvcr\.io|docker\.io|azurecr\.io)", host)
        is not None
    )


def _is_nodelist(match: re.Match[str]) -> bool:
    """Whether numbers in brackets are those of machines: layers[0-15] and tokens[128-256] are not."""
    padded = match[2].startswith("0") and len(match[2].split("-")[0].split(",")[0]) > 1
    return padded or _LIST_HEADS.fullmatch(match[1]) is not None
