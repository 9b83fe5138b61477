"""The pass that masks: what a text gives away by its form, whoever wrote it. `scan` shares nothing with it."""

from nsysan.redact.masks.forms import asks_for_numbers, form_of
from nsysan.redact.masks.order import Mask, masked

__all__ = ["Mask", "asks_for_numbers", "form_of", "masked"]
