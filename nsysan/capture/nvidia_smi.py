"""What nvidia-smi says of the links between GPUs: asked for at capture."""

from __future__ import annotations

from pathlib import Path

from nsysan.capture import bounded

_QUESTIONS = (("nvidia-smi", "topo", "-m"), ("nvidia-smi", "nvlink", "--status"))
_TIMEOUT_S = 30.0
_CAPTURE_TIMEOUT_S = 5.0


def record_topology(target: Path) -> bool:
    """Write what nvidia-smi says to `target`; False where it says nothing or the file cannot be written.

    Neither answer names the host.
    """
    answers = [(" ".join(question), ask(*question, timeout=_CAPTURE_TIMEOUT_S)) for question in _QUESTIONS]
    told = [f"$ {question}\n{answer.rstrip()}\n" for question, answer in answers if answer.strip()]
    if not told:
        return False
    try:
        target.write_text("\n".join(told), encoding="utf-8")
    except OSError:
        return False
    return True


def ask(*command: str, timeout: float = _TIMEOUT_S) -> str:
    """What a command prints; nothing if it fails, since nvidia-smi prints its errors to stdout."""
    try:
        answer = bounded.ask(command, patience=timeout)
    except OSError:
        return ""
    return "" if answer.code else answer.out
