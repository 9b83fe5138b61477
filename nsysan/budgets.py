"""What is read, at most, of files that anybody may have made. Each stands here once, and in the map's table of budgets.

What honest files need grows with their size, and so do most of these: a bound for each byte of a file, above one that
any file may have.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# ---- all files

#: Seconds without a byte after which a pipe (as of `--baseline <(zcat base.json.gz)`) is given up.
PIPE_SECONDS = 10.0

# ---- programs

#: Seconds in which nsys says its version, or its options, and bytes that it or nvidia-smi may print before it ends. A
#: first start from a disk of the network takes seconds; a help text has 100 KB.
ASKED_SECONDS = 20.0
PRINTED_BYTES = 16 << 20

# ---- SQLite

#: Seconds of a processor that all statements on a file may take, beside those that an honest one needs at so many bytes
#: a second: one instruction can follow a chain of pages through the whole file.
SQLITE_SECONDS = 10.0
SQLITE_PACE = 2_000_000
#: Bytes of a row, at least, so that a file cannot hold more of them.
SQLITE_LEAST_ROW = 4
#: Instructions of SQLite's virtual machine for a row and column; a statement that needs more runs in circles.
SQLITE_OPCODES = 20
#: Bytes of a value: a name, a message, a payload, or an environment in one string; and of one that is redacted.
SQLITE_VALUE = 16 << 20
REDACTED_VALUE = 64_000_000
#: Bytes a second of a file that is redacted, and of one that is searched: many patterns look at each text.
REDACTED_PACE = 250_000
SEARCHED_PACE = 100_000
#: Bytes of anything unpacked that is searched.
SEARCHED_BYTES = 1 << 30
#: Bytes of a write-ahead log beside it that is looked into: SQLite merges one every 4 MB if it can.
WAL_BYTES = 64 << 20
#: Tables of an export, in SQLite or as files of a folder.
TABLES = 5_000
#: Columns of a folder's table: nsys writes 30 at most.
COLUMNS = 1_000
#: Rows of each table of a history: a run a minute for a year has half a million.
HISTORY_ROWS = 200_000

# ---- Parquet and Arrow

#: Rows that any table may have, and a row more for so many bytes of its file: nsys writes 18 bytes for a kernel, 8 for
#: an event. Of samples it writes less than a byte: so many for each.
FOLDER_ROWS = 1_000_000
FOLDER_BYTES_A_ROW = 3
FOLDER_SAMPLES_A_BYTE = 4
#: Unpacked bytes for each byte of a file, and those that any file may have: 200 bytes a row, where they are unpacked.
FOLDER_BYTES_A_BYTE = 32
FOLDER_BYTES = 64 << 20
#: Bytes of all texts of a folder that are read, and more for each byte of its files, but no more than so many: they are
#: held several times over. Texts of nsys are a tenth of what is unpacked.
FOLDER_TEXTS = 256 << 20
FOLDER_TEXTS_A_BYTE = 2
FOLDER_TEXTS_MOST = 1 << 30
#: Bytes that one packed batch of Arrow, or the texts of one of Parquet, may unpack to, all of which are there at once.
ARROW_BATCH_BYTES = 256 << 20
#: Pages of a Parquet file, and depth of the structs in their headers.
PARQUET_PAGES = 1_000_000
PARQUET_DEPTH = 8

# ---- names and payloads

#: Bytes of a name; what is longer is cut.
NAME_BYTES = 16_384
#: Size of a time in ns, 73 years: sums and differences stay within 64 bits.
TIME_NS = 1 << 61

# ---- text files

#: Bytes and lines of all logs of NCCL of a trace, bytes of one of its lines, and files. NCCL set up on 64 ranks prints
#: less than a tenth of that.
NCCL_BYTES = 64_000_000
NCCL_LINES = 400_000
NCCL_LINE = 4_096
NCCL_FILES = 1_024
#: Bytes of a line of a log that is redacted; what follows is left out. Of the log no more is taken than is read.
REDACTED_LINE = 1 << 20
#: Bytes of what nvidia-smi says of the topology; GPUs, links and letters of a word in it.
TOPOLOGY_BYTES = 1_000_000
TOPOLOGY_GPUS = 256
TOPOLOGY_LINKS = 65_536
TOPOLOGY_WORD = 16

# ---- JSON

#: Bytes and values of a report that is read back, which take 1.4 GB: the ledger of 80,000 steps of 8 ranks.
REPORT_BYTES = 256 << 20
REPORT_VALUES = 12_000_000
#: Bytes of a model's config.json, and of the note of a workload that is held.
CONFIG_BYTES = 1 << 20
NOTE_BYTES = 1 << 16

_SAMPLES = "METRIC"


class Budget(NamedTuple):
    """Of a folder's table: few bytes that are packed can stand for endless ones.

    rows: of the table; bytes: unpacked, as they are in the file or as texts are once each stands for itself.
    """

    rows: int
    bytes: int

    def check_rows(self, rows: int) -> None:
        """ArrowInvalid where a table says that it has more."""
        if not 0 <= rows <= self.rows:
            raise _invalid("more rows than its bytes can hold")

    def check_columns(self, columns: int, names: int | None = None) -> None:
        """ArrowInvalid where a table has more than any of nsys, or two of one name; names: different ones."""
        if columns > COLUMNS:
            raise _invalid("too many columns")
        if names not in (None, columns):
            raise _invalid("it has a column twice")

    def check_bytes(self, unpacked: int) -> None:
        """ArrowInvalid where what is unpacked is more."""
        if not 0 <= unpacked <= self.bytes:
            raise _invalid("more is packed into it than its bytes can hold")


def budget_of(file: Path) -> Budget:
    """The budget of a table's file."""
    size = file.stat().st_size
    more = size * FOLDER_SAMPLES_A_BYTE if _SAMPLES in file.stem else size // FOLDER_BYTES_A_ROW
    return Budget(FOLDER_ROWS + more, FOLDER_BYTES + FOLDER_BYTES_A_BYTE * size)


def texts_of_files(size: int) -> int:
    """The bytes of texts that a folder may have whose files have `size`."""
    return min(FOLDER_TEXTS + FOLDER_TEXTS_A_BYTE * size, FOLDER_TEXTS_MOST)


def _invalid(why: str) -> Exception:
    import pyarrow as pa

    error: Exception = pa.ArrowInvalid(why)
    return error
