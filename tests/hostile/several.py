"""Inputs of several files, of another form, or of none: folders of tables, pairs, windows, options, mixtures."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from tests.hostile.beside import odd_file
from tests.hostile.case import OUTPUTS, PAGE, REPORT, Case, Surroundings, reading
from tests.hostile.sources import take
from tests.mutations import mutate, mutate_folder

_TABLES = ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS", "StringIds", "META_DATA_EXPORT")
_KINDS: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.uint64(),
    pa.float64(),
    pa.float16(),
    pa.decimal128(30, 2),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.duration("ns"),
    pa.list_(pa.int64()),
    pa.struct([("a", pa.int64())]),
    pa.map_(pa.string(), pa.int64()),
    pa.dictionary(pa.int8(), pa.string()),
    pa.date32(),
)


def tables(folder: Path, sources: Path, chance: random.Random) -> Case:
    """A folder of Parquet or Arrow files, one of them other than nsys writes it."""
    kind = chance.choice(("tp2_pqtdir", "tp2_arwdir"))
    copy = folder / "damaged_dir"
    if chance.random() < 0.4:
        did = mutate_folder(sources / kind, copy, chance.randrange(1 << 30))
        return Case([_of_folder(chance)], f"{kind} {did}")
    shutil.copytree(sources / kind, copy)
    file = next(copy.glob(f"{chance.choice(_TABLES)}.*"))
    table = pq.read_table(sources / "tp2_pqtdir" / f"{file.stem}.parquet")
    table, did = _remade(table, chance)
    _write(table, file, chance)
    return Case([_of_folder(chance)], f"{kind} {file.stem} {did}")


def _of_folder(chance: random.Random) -> list[str]:
    redact = ["redact", "damaged_dir", "-o", "out_dir"]
    return chance.choice((reading(chance, "damaged_dir"), reading(chance, "damaged_dir"), redact))


def _remade(table: pa.Table, chance: random.Random) -> tuple[pa.Table, str]:
    how = chance.choice(("type", "type", "type", "twice", "no rows", "many columns", "bomb", "told", "nulls"))
    at = chance.randrange(table.num_columns)
    name = table.column_names[at]
    if how == "type":
        kind = chance.choice(_KINDS)
        how, table = f"{name} as {kind}", table.set_column(at, name, _as(table.column(at), kind))
    elif how == "twice":
        how, table = f"{name} twice", table.append_column(name, table.column(at))
    elif how == "no rows":
        table = table.slice(0, 0) if chance.random() < 0.5 else table.select([])
    elif how == "many columns":
        for number in range(2_000):
            table = table.append_column(f"c{number}", pa.nulls(table.num_rows))
    elif how == "bomb":
        rows = chance.choice((10**5, 2 * 10**6))  # of more, writing them takes more than the bar
        index = pa.nulls(rows, pa.int32()).fill_null(0)
        filled = pa.DictionaryArray.from_arrays(index, pa.array(["x" * chance.choice((1, 1_000))]))
        how = f"{rows} rows of one text"
        table = pa.table({one: filled if one == name else pa.nulls(rows) for one in table.column_names})
    elif how == "told":
        table = table.replace_schema_metadata({"pandas": "[" * 50_000, "\u202e": "x" * 10_000})
    else:
        how, table = f"{name} of nulls", table.set_column(at, name, pa.nulls(table.num_rows, table.column(at).type))
    return table, how


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    try:
        return column.cast(kind, safe=False).combine_chunks()
    except (pa.ArrowException, NotImplementedError):
        return pa.nulls(len(column), kind)


def _write(table: pa.Table, file: Path, chance: random.Random) -> None:
    try:
        if file.suffix == ".parquet":
            packing = chance.choice(("snappy", "gzip", "zstd", "none"))
            pq.write_table(
                table,
                file,
                compression=packing,
                row_group_size=chance.choice((1_000, 1 << 20)),
                use_dictionary=chance.random() < 0.5,
                data_page_version=chance.choice(("1.0", "2.0")),
            )
        elif chance.random() < 0.5:
            feather.write_feather(table, str(file), compression=chance.choice(("zstd", "lz4", "uncompressed")))
        else:
            with pa.ipc.new_stream(str(file), table.schema) as writer:
                writer.write_table(table, chance.choice((1_000, 1 << 20)))
    except (pa.ArrowException, NotImplementedError, OSError):  # no such file can be written
        file.write_bytes(b"PAR1")


def predicted(folder: Path, sources: Path, chance: random.Random) -> Case:
    names = take(sources, folder, "paper1.sqlite", "paper2.sqlite", "paper4.sqlite")
    victims = chance.sample(names, chance.choice((1, 1, 2)))
    did = []
    for name in victims:
        did.append(mutate(sources / name, folder / name, chance.randrange(1 << 30)))
    sides = chance.choice((names, names[1:], names[::-1], [names[1], names[1]], [*names, *names]))
    asked = [word for n in chance.choice((("8",), ("1024", "3"), ("1", "2", "4"), ("7",))) for word in ("--predict", n)]
    way = chance.choice((["--json", "out.json", "-q"], ["-o", "out.html"], ["--markdown", "out.md"], []))
    return Case([["compare", *sides, *asked, *way]], f"{victims} {did}")


def windows(folder: Path, sources: Path, chance: random.Random) -> Case:
    """Windows of a server, of which one is damaged or told at another time."""
    names = [f"srv.{n}.sqlite" for n in (1, 2, 3)]
    for name in names:
        shutil.copyfile(sources / "paper2.sqlite", folder / name)
    did = ""
    if chance.random() < 0.5:
        did = mutate(sources / "paper2.sqlite", folder / names[1], chance.randrange(1 << 30))
    else:
        column = chance.choice(("utcEpochNs", "utcTime", "localTime"))
        value = chance.choice((0, -1, 1 << 62, (1 << 63) - 1, -(1 << 63), None, "x", 1.5, "9" * 400))
        with closing(sqlite3.connect(folder / names[1])) as connection, connection:
            connection.execute(f"UPDATE TARGET_INFO_SESSION_START_TIME SET {column} = ?", (value,))
            if chance.random() < 0.3:
                connection.execute("INSERT INTO TARGET_INFO_SESSION_START_TIME SELECT 5, 'x', 'y'")
        did = f"{column} = {str(value)[:20]}"
    command = chance.choice(
        (
            reading(chance, *names),
            ["report", ".", "--json", "out.json", "-q"],
            ["compare", *names, "--json", "out.json", "-q"],
            ["compare", names[0], names[1]],
            ["report", "srv.[0-9].sqlite", "-o", "out.html"],
            ["report", names[1], "--from", chance.choice(("1ms", "0", "99999s")), "--to", "2ms", "--json", "out.json"],
        )
    )
    return Case([command], did)


_OPTIONS: tuple[tuple[str, ...], ...] = (
    ("report", "--from"),
    ("report", "--to"),
    ("report", "--steps"),
    ("report", "--ranks"),
    ("report", "--replica"),
    ("report", "--population"),
    ("report", "--batch"),
    ("report", "--layers"),
    ("report", "--message-bytes"),
    ("report", "--link-gbps"),
    ("report", "--untraced"),
    ("report", "--jobs"),
    ("report", "--png"),
    ("report", "--plotlyjs"),
    ("report", "--model"),
    ("report", "-o"),
    ("report", "--json"),
    ("compare", "x", "--batch"),
    ("compare", "x", "--predict"),
    ("compare", "x", "--steps"),
    ("check", "--fail-on"),
    ("check", "--fail-on", "period>1%", "--baseline"),
    ("whatif", "--set"),
    ("whatif", "--untraced"),
    ("export", "--perfetto"),
    ("redact", "-o"),
    ("history", "add", "--db"),
    ("history", "add", "--db", "out.db", "--tag"),
    ("history", "add", "--db", "out.db", "--name"),
    ("history", "list", "--db", "out.db", "--tag"),
    ("history", "show", "--db", "out.db"),
    ("report", "--scheduler"),
)
_GIVEN = (
    "",
    "-1",
    "0",
    "1",
    "1:2",
    "2:1",
    "1:" + "9" * 400,
    "9" * 5_000,
    "1e400s",
    "nan",
    "infs",
    "-5ms",
    "\u0663ms",
    "1,2,2,-1",
    ",",
    "(a+)+$",
    "(" * 3_000,
    "[",
    "(?P<a>x){1000}{1000}",
    "x" * 300,
    "x" * 100_000,
    "\x1b[2J\u202e",
    ".",
    "..",
    "/",
    "/dev/null",
    "/dev/full",
    "nowhere/out.html",
    "paper2.sqlite",
    "paper2.sqlite/x",
    "kernel[~" + "a" * 5_000 + "].x0.5",
    "wire=" + "9" * 500 + "us",
    "kernel[~(a+)+$]=1us",
    "rank[9]=level",
    "period>9" + "9" * 400 + "ms",
    "period>1e999%",
    "all_reduce[" + "9" * 99 + "].wire_p50>1us",
    "kernel[~].ns>-5%",
    "tcp://",
    "tls://x:1",
    "file:///etc/passwd",
    "hidden=" + "9" * 400,
    "out.html",
)


def options(folder: Path, sources: Path, chance: random.Random) -> Case:
    """A sound trace, and something else than an option expects."""
    take(sources, folder, "paper2.sqlite")
    shutil.copyfile(sources / "runs.db", folder / "out.db")
    words = chance.choice(_OPTIONS)
    value = chance.choice(_GIVEN)
    # Asked for, charts are written there, too.
    value = "." if words[-1] == "--png" and value in ("..", "/") else value
    trace = [] if words[:2] in (("history", "list"), ("history", "show")) else ["paper2.sqlite"]
    more = ["--json", "out.json", "-q"] if words[0] in ("report", "compare", "whatif") and words[-1] != "--json" else []
    command = [*("paper2.sqlite" if word == "x" else word for word in words), value, *trace, *more]
    # A file may be asked for by any name.
    own = {
        value,
        Path(value).name,
        f"{value}-ledger.png",
        f"{value}-caused.png",
        f"{value}-timeline.png",
        "paper2.html",
    }
    own |= {f"{chart}.png" for chart in ("ledger", "caused", "timeline")} if words[-1] == "--png" else set()
    return Case([command], f"{' '.join(words)} {value[:30]!r}", outputs=OUTPUTS | own - {"paper2.sqlite"})


def mixtures(folder: Path, sources: Path, chance: random.Random) -> Case:
    """One kind of file in the place of another."""
    names = take(sources, folder, "paper2.sqlite", "base.json", "tp2_pqtdir")
    shutil.copyfile(sources / "runs.db", folder / "runs.db")
    odd = folder / chance.choice(("odd.sqlite", "odd", "odd.json", "odd.log", "odd.parquet", "odd.arrow"))
    names += ["runs.db", odd.name, "/dev/null", "/dev/zero", "nowhere", ".", "tp2_pqtdir/StringIds.parquet"]
    did = odd_file(odd, chance)
    first, second = chance.choice(names), chance.choice(names)
    command = chance.choice(
        (
            [*PAGE, first],
            [*REPORT, "paper2.sqlite", first],
            [*REPORT, "paper2.sqlite", "--model", first],
            [*REPORT, "paper2.sqlite", "--nccl-log", first],
            ["report", first, "-o", second, "-q"],
            ["report", "paper2.sqlite", "-o", first, "--json", second, "-q"],
            ["compare", first, second, "--json", "out.json"],
            ["check", first, "--fail-on", "period>1%", "--baseline", second],
            ["check", first, "--fail-on", "straggler"],
            ["history", "add", first, "--db", "out.db"],
            ["history", "add", "base.json", "--db", first],
            ["history", "plot", "--db", first, "-o", "out.html"],
            ["history", "list", "--db", first],
            ["redact", first, "-o", "out.sqlite"],
            ["redact", first, "-o", second],
            ["redact", first, "-o", "out_dir"],
            ["export", "--perfetto", second, first],
            ["info", first],
            ["whatif", first, "--list"],
            ["window", "open", first],
        )
    )
    written = {"paper2.html", "base.html"} | ({first, "nowhere"} if "--db" in command else {"nowhere"})
    return Case([command], f"{odd.name} is {did}", outputs=OUTPUTS | written)


_SETTINGS: tuple[dict[str, str | None], ...] = (
    {"TMPDIR": "/nonexistent"},
    {"TMPDIR": "/dev/null"},
    {"TMPDIR": ""},
    {"HOME": None},
    {"HOME": "/nonexistent"},
    {"HOME": "\udcff"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LANG": "xx_XX.bogus", "LC_ALL": "xx_XX.bogus"},
    {"LC_ALL": "tr_TR.UTF-8"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"COLUMNS": "1", "LINES": "0"},
    {"COLUMNS": "x"},
    {"TERM": "dumb", "NO_COLOR": "1"},
    {"TZ": "Nowhere/Bogus"},
    {"PATH": ""},
    {"PATH": None},
    {"POLARS_MAX_THREADS": "0"},
    {"POLARS_MAX_THREADS": "x"},
    {"POLARS_MAX_THREADS": "9999"},
    {"OMP_NUM_THREADS": "x", "OPENBLAS_NUM_THREADS": "-1"},
    {"NSYSAN_NSYS": "/dev/zero"},
    {"NSYSAN_BROWSER": "/dev/null"},
    {"PYTHONHASHSEED": "0", "PYTHONDEVMODE": "1"},
    {"PYTHONWARNINGS": "error"},
    {"RANK": "9" * 500, "WORLD_SIZE": "x", "SLURM_PROCID": "-1"},
)


def surroundings(folder: Path, sources: Path, chance: random.Random) -> Case:
    """A sound trace on a machine that is not."""
    take(sources, folder, "paper2.sqlite", "base.json")
    mib = 1 << 20
    limits = chance.choice(
        (
            (),
            (),
            ((resource.RLIMIT_NOFILE, chance.choice((32, 20, 16)))),
            ((resource.RLIMIT_FSIZE, chance.choice((0, 1_000, 100_000)))),
            ((resource.RLIMIT_AS, chance.choice((3_000, 1_200)) * mib)),
            ((resource.RLIMIT_STACK, mib)),
        )
    )
    around = Surroundings(
        environment=chance.choice(_SETTINGS) if chance.random() < 0.6 else {},
        closed=chance.choice(((), (), (0,), (1,), (2,), (0, 1, 2), (1, 2))),
        limits=(limits,) if limits else (),
        gone=chance.random() < 0.1,
        umask=chance.choice((0o022, 0o022, 0o777, 0o000)),
        out=chance.choice((None, None, None, "/dev/full", "/dev/null")),
    )
    command = chance.choice(
        (
            reading(chance, "paper2.sqlite"),
            ["report", "paper2.sqlite"],
            ["redact", "paper2.sqlite", "-o", "out.sqlite"],
            ["compare", "paper2.sqlite", "paper2.sqlite"],
            ["history", "add", "base.json", "--db", "out.db"],
            ["check", "base.json", "--fail-on", "period>1ms"],
            ["doctor"],
            ["--help"],
            ["window", "open", "srv"],
        )
    )
    if around.gone:
        command = [str(folder / word) if word in ("paper2.sqlite", "base.json") else word for word in command]
        command = [str(folder / word) if word.startswith("out") else word for word in command]
    return Case([command], str(around), outputs=OUTPUTS | {"paper2.html"}, surroundings=around)
