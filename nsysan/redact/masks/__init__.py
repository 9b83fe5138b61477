"""The pass that masks: what a text gives away by its form, whoever wrote it. `scan` shares nothing with it."""

from nsysan.redact.masks.order import Mask, masked

__all__ = ["Mask", "masked"]
