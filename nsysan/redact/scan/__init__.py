"""The proof of an output: its own detectors look through all of it, and know nothing of what was masked, or how."""

from nsysan.redact.scan.leaks import Leak, check_clean, scan, scan_bytes
from nsysan.redact.scan.names import Names, names_in, names_of

__all__ = ["Leak", "Names", "check_clean", "names_in", "names_of", "scan", "scan_bytes"]
