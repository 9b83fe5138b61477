"""Places of files: paths of every system, and addresses of buckets and sites."""

from __future__ import annotations

import re

from nsysan.redact.common_words import words

_NAME = r"[\w.+@%~=#,-]+"
_ROOTS = (
    "home|Users|root|mnt|media|data|scratch|lustre|gpfs|nfs|opt|usr|var|tmp|workspace|content|srv|etc|proc|app|run|"
    "lib|lib64|fsx|shared|projects?|work|dev|sys|bin|private|Volumes|export|raid|nvme\\d*|local|net|beegfs|weka|efs"
)
#: In names of code a path has to begin at one of the usual roots: C++ has slashes of its own.
_ROOTED = re.compile(
    rf"(?<![A-Za-z0-9/>)\]])\.{{0,2}}/(?:{_ROOTS})(?:/{_NAME})+/?|/{{1,3}}(?:home|Users)/{_NAME}(?:/{_NAME})*/?"
)
_WINDOWS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:\\{1,4}[^\"'<>|*?\n]+")
_WINDOWS_SLASH = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:/[^\"'<>|*?\n]+")
_UNC = re.compile(r"(?<!\\)\\{2,4}[\w.$-]+\\{1,2}[^\"'<>|*?\n\s]+")
#: The same with the slashes of POSIX; comments have a blank behind theirs, and URLs a colon before.
_UNC_SLASH = re.compile(rf"(?<![\w:/.*>)\]])//[\w.$-]+/{_NAME}(?:/{_NAME})*/?")
_HOME = re.compile(rf"(?<![A-Za-z0-9./>)\]])~\w{{0,32}}/{_NAME}(?:/{_NAME})*/?")
_ANY = re.compile(rf"(?<![A-Za-z0-9./>)\]])~?/(?!v\d+/)(?:{_NAME}/)+(?:{_NAME})?")  # no route of a server
_ROOT = re.compile(rf"(?<![A-Za-z0-9./>)\]])/(?:{_ROOTS})(?![\w/])")
_FILE = re.compile(
    r"(?<![A-Za-z0-9./-])((?:[\w.-]+/)+)[\w-]+\.(?:py|pyc|sh|so|cpp|cc|cu|cuh|h|json|ya?ml|toml|txt|log|rs|bin|pt|safetensors)\b"
)
#: Packages that everybody has: their files tell which library ran, not whose.
_PUBLIC = words(
    "torch vllm sglang transformers triton flashinfer flash_attn numpy tensorrt_llm accelerate deepspeed megatron "
    "xformers apex transformer_engine huggingface_hub jax asyncio multiprocessing threading concurrent aten c10 csrc "
    "nccl cutlass"
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>]+")
_URL_ESCAPED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:\\/\\/[^\s\"'<>]+")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w])")
_REMOTE = re.compile(r"(?<![\w.-])[\w.-]{1,64}@[\w.-]{1,253}:(?!\d)[\w./~-]+")


def mask_urls(text: str) -> str:
    """The text without URLs, whatever their scheme: sites, databases, buckets."""
    if "://" in text:
        text = _URL.sub("<url>", text)
    return _URL_ESCAPED.sub("<url>", text) if ":\\/" in text else text


def mask_mail(text: str) -> str:
    """The text without mail addresses and git's remotes."""
    return _MAIL.sub("<mail>", _REMOTE.sub("<url>", text)) if "@" in text else text


def mask_rooted(text: str) -> str:
    """A name of code without paths that begin at the usual roots, at a home or at a drive."""
    if "\\" in text:
        text = _UNC.sub("<path>", _WINDOWS.sub("<path>", text))
    return _HOME.sub("<path>", _ROOTED.sub("<path>", text)) if "/" in text else text


def mask_paths(text: str) -> str:
    """Any other text without paths; files of public packages stay, by which ranges of Python's profilers are named."""
    text = mask_rooted(text)
    if "/" not in text:
        return text
    for pattern in (_WINDOWS_SLASH, _UNC_SLASH, _ANY, _ROOT):
        text = pattern.sub("<path>", text)
    return _FILE.sub(lambda match: match[0] if match[1].split("/")[0] in _PUBLIC else "<path>", text)
