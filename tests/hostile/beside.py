"""What lies or is named beside a trace: logs of SQLite and NCCL, topology, notes, documents, configurations."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fakensys import fake_nsys
from tests.hostile.case import OUTPUTS, PAGE, REPORT, Case, reading
from tests.hostile.jsons import damaged_json
from tests.hostile.sources import take
from tests.mutations import mutate

_NOTE: dict[str, object] = {
    "format": "nsysan.hold/1",
    "nsys": "/bin/false",
    "session": "nsysan-0123456789ab",
    "start": ["--sample=none"],
    "pid": 1,
    "expected_ranks": 2,
    "open": None,
}
_ODD_NOTES: dict[str, tuple[object, ...]] = {
    "pid": (0, -1, 1 << 31, 1 << 70, 4_000_000, True),
    "open": ("..", "", "a/b", "x" * 300, "srv.\x1b[1m"),
    "nsys": ("./nsys", "/bin/false", "/bin/true", "/dev/zero", "/", "nowhere", "x" * 5_000, "/bin/\x00"),
    "session": ("--help", "nsysan-"),
    "start": (["--a\0b"], [["--a"]], ["x" * 9_000] * 6, "--a", [1], ["--output=/dev/null"]),
    "expected_ranks": (0, -1, 1 << 70, True),
}
_CONFIGS: tuple[dict[str, object], ...] = (
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 2,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], "ignore": ["lm_head"]},
    },
    {
        "model_type": "gemma3_text",
        "text_config": {
            "hidden_size": 2560,
            "num_hidden_layers": 34,
            "intermediate_size": 10240,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
            "sliding_window": 1024,
        },
        "vocab_size": 262208,
    },
    {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_attention_heads": 128,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "moe_layer_freq": 1,
        "mlp_only_layers": [],
        "vocab_size": 129280,
        "quantization_config": {"config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}},
    },
)
_NUMBERS = ("0", "1", "-1", "9" * 30, "1e9", "4096", "16777216", "1.5", "", "x", "\u0663", "nan", "inf")


def odd_file(path: Path, chance: random.Random) -> str:
    """Something else under a name where a file is expected."""
    how = chance.choice(("pipe", "folder", "circle", "zeros", "huge", "unreadable", "dangling", "empty", "noise"))
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "circle":
        path.symlink_to(path.name)
    elif how == "zeros":
        path.symlink_to("/dev/zero")
    elif how == "dangling":
        path.symlink_to("nowhere")
    elif how == "huge":
        path.touch()
        os.truncate(path, chance.choice((2 << 30, 200 << 30, (64 << 20) + 1)))
    elif how == "unreadable":
        path.write_bytes(b"x")
        path.chmod(0)
    else:
        path.write_bytes(chance.randbytes(5_000) if how == "noise" else b"")
    return how


def write_ahead_log(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, chance.choice(("paper2.sqlite", "tp2_graph.sqlite")))
    trace = folder / name
    which = chance.choice(("-wal", "-wal", "-wal", "-shm", "-journal"))
    how = chance.choice(("odd", "real", "real", "stale", "damaged", "damaged", "header"))
    log = folder / f"{name}{which}"
    if how == "odd":
        how = odd_file(log, chance)
    elif how == "header":
        size = chance.choice((0, 1, 512, 4096, 65536, 1 << 31))
        head = b"\x37\x7f\x06\x82" + (3007000).to_bytes(4, "big") + size.to_bytes(4, "big")
        log.write_bytes(head + chance.randbytes(chance.choice((0, 20, 9_000))))
    else:
        data = _log_of(folder, sources / name, chance)
        if how == "damaged":
            for _ in range(chance.choice((1, 5, 50))):
                place = chance.choice((chance.randrange(32), chance.randrange(32, 56), chance.randrange(len(data))))
                data[place % len(data)] ^= 1 << chance.randrange(8)
            data = data[: chance.choice((len(data), chance.randrange(len(data)), 32, 56))]
        elif how == "stale":
            data[16:24] = chance.randbytes(8)
        log.write_bytes(data)
    if chance.random() < 0.2:
        (folder / "link.sqlite").symlink_to(trace.name)
        name = "link.sqlite"
    command = chance.choice((reading(chance, name), ["redact", name, "-o", "out.sqlite"]))
    return Case([command], f"{which}: {how}")


def _log_of(folder: Path, source: Path, chance: random.Random) -> bytearray:
    """What SQLite would leave beside the file if it was killed after a change."""
    copy = folder / "writing"
    copy.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE StringIds SET value = value || 'x' WHERE id % 2 = 0")
        if chance.random() < 0.5:
            connection.commit()
        else:
            connection.execute("DELETE FROM CUPTI_ACTIVITY_KIND_KERNEL")
            connection.commit()
        data = bytearray((folder / "writing-wal").read_bytes())
    for left in folder.glob("writing*"):
        left.unlink()
    return data or bytearray(64)


def topology(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, "paper4.sqlite")
    size = chance.choice((2, 4, 8, 8, 64, 600))
    words = ["NV18", "NV4", "PIX", "PXB", "SYS", "NODE", "X", "NV" + "9" * 40, "", "\x1b[1m", "\u202e", "NV-1", "NV0"]
    lines = ["\t" + "\t".join(f"GPU{i}" for i in range(size)) + "\tCPU Affinity\tNUMA Affinity"]
    for row in range(size):
        cells = ["X" if row == column else chance.choice(words[:2]) for column in range(size)]
        for _ in range(chance.choice((0, 0, 1, 3))):
            cells[chance.randrange(size)] = chance.choice(words)
        lines.append(f"GPU{chance.choice((row, row, row, row, 0, 10**20, -1))}\t" + "\t".join(cells) + "\t0-95\t0")
    speeds = ("26.562", "0", "-1", "1e400", "nan", "9" * 999)
    lines += [f"\t Link {i}: {chance.choice(speeds)} GB/s" for i in range(chance.choice((0, 18, 5_000)))]
    for _ in range(chance.choice((0, 1, 20))):
        at = chance.randrange(len(lines))
        lines[at] = chance.choice(
            (lines[at][::-1], lines[at] * 3, "", "GPU 0: NVIDIA H200 (UUID: GPU-\x00)", "=" * 9_999)
        )
    file = folder / "paper4.topology.txt"
    how = odd_file(file, chance) if chance.random() < 0.15 else f"{size} GPUs"
    if how.endswith("GPUs"):
        file.write_text(chance.choice(("\n", "\n", "\r\n", "\r", "\v")).join(lines))
    command = chance.choice(
        (reading(chance, name), ["redact", file.name, "-o", "out.md"], ["redact", name, "-o", "out.sqlite"])
    )
    return Case([command], how, outputs=OUTPUTS | {"out.topology.txt"})


def nccl_logs(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, "paper4.sqlite")
    logs = sorted(sources.glob("paper4.nccl.*.log"))
    lines = [line for log in logs for line in log.read_text().splitlines()]
    did = []
    for _ in range(chance.choice((1, 3, 30))):
        at = chance.randrange(len(lines))
        words = lines[at].split(" ")
        place = chance.randrange(len(words))
        words[place] = chance.choice(
            (
                "9" * 5_000,
                "-1",
                "",
                "0x" + "f" * 40,
                "1e400",
                "\x1b[2J",
                "\u202e",
                "[" * 2_000,
                words[place] * 3,
                "1/2/3",
            )
        )
        lines[at] = " ".join(words)
        did.append(words[place][:8])
    how = chance.choice(("", "", "", "many", "long", "ranks", "shuffled", "noise", "odd"))
    if how == "many":
        lines = lines * chance.choice((50, 2_000))
    elif how == "long":
        lines.insert(0, "a:1:1 [0] NCCL INFO Channel 00/02 : " + " ".join(map(str, range(100_000))))
    elif how == "ranks":
        lines += [
            f"a:{i}:1 [0] NCCL INFO ncclCommInitRank comm 0x{i:x} rank {i} nranks {1 << 30} cudaDev 0 nvmlDev 0 "
            f"busId {i:x} commId 0x{i % 5:x} - Init COMPLETE"
            for i in range(5_000)
        ]
    elif how == "shuffled":
        chance.shuffle(lines)
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    if how == "noise":
        data = data[:5_000] + chance.randbytes(20_000) + data[5_000:]
    log = folder / chance.choice(("paper4.nccl.a.1.log", "other.log"))
    if how == "odd":
        how = odd_file(log, chance)
    else:
        log.write_bytes(data)
    named = [] if log.name.startswith("paper4") else ["--nccl-log", log.name]
    report = [*chance.choice((PAGE, REPORT, ["report", "-o", "out.html"])), name, *named]
    redact = chance.choice((["redact", log.name, "-o", "out.md"], ["redact", name, "-o", "out.sqlite"]))
    outputs = OUTPUTS | {path.name for path in (folder / "out.nccl.a.1.log", folder / "out.nccl.0.log")}
    return Case([chance.choice((report, report, redact))], f"{how} {did[:4]}", outputs=frozenset(outputs))


def hold_notes(folder: Path, sources: Path, chance: random.Random) -> Case:
    del sources
    note = folder / ".srv.hold"
    if chance.random() < 0.2:
        did = odd_file(note, chance)
    else:
        told = _NOTE | {
            "pid": os.getpid(),
            "nsys": str(fake_nsys(folder, "2025.3.1")),
            "open": chance.choice((None, "srv.1")),
        }
        odd = chance.sample(sorted(_ODD_NOTES), chance.choice((0, 1, 1, 2)))
        told |= {key: chance.choice(_ODD_NOTES[key]) for key in odd}
        data, did = damaged_json(told, chance) if chance.random() < 0.5 else (json.dumps(told).encode(), f"odd {odd}")
        note.write_bytes(data)
    action = chance.choice(
        (["open", "srv", "--seconds", "0.01"], ["open", "srv"], ["close", "srv"], ["close", "srv", "-q"])
    )
    return Case([["window", *action]], did, outputs=frozenset((".srv.hold", ".srv.hold.part")))


def foreign_json(folder: Path, sources: Path, chance: random.Random) -> Case:
    take(sources, folder, "base.json", "paper4.sqlite")
    document = json.loads((sources / "base.json").read_bytes())
    file = folder / "foreign.json"
    if chance.random() < 0.1:
        did = odd_file(file, chance)
    else:
        data, did = damaged_json(document, chance)
        file.write_bytes(data)
    rules = [
        word
        for rule in ("period>+5%", "straggler", "all_reduce.wire_p50>+5%", "kernel[~a].ns>+5%", "tail>1us", "p99>1ms")
        for word in ("--fail-on", rule)
    ]
    way = chance.choice(("check", "baseline", "both", "history", "history"))
    commands = {
        "check": [["check", file.name, *rules]],
        "baseline": [["check", "base.json", *rules, "--baseline", file.name]],
        "both": [["check", file.name, *rules, "--baseline", file.name]],
        "history": [
            ["history", "add", file.name, "--db", "out.db"],
            ["history", "list", "--db", "out.db"],
            ["history", "plot", "--db", "out.db", "-o", "out.html"],
            ["history", "show", "1", "--db", "out.db"],
        ],
    }
    return Case(commands[way], f"{way} {did}")


def history(folder: Path, sources: Path, chance: random.Random) -> Case:
    """A database of runs that a hand, a disk or a newer version changed."""
    take(sources, folder, "base.json")
    did = mutate(sources / "runs.db", folder / "out.db", chance.randrange(1 << 30))
    if chance.random() < 0.1:
        (folder / "out.db").unlink()
        did = odd_file(folder / "out.db", chance)
    shown = ["--format", chance.choice(("table", "json", "csv"))]
    commands = [
        ["history", "list", "--db", "out.db", *shown],
        ["history", "plot", "--db", "out.db", "-o", "out.html"],
        ["history", "show", "1", "--db", "out.db"],
        ["history", "add", "base.json", "--db", "out.db", "--tag", "three"],
        ["history", "list", "--db", "out.db"],
    ]
    return Case(commands, did, outputs=OUTPUTS | {"nowhere"})


def configurations(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, chance.choice(("paper4.sqlite", "tp2_graph.sqlite")))
    model = folder / "config.json"
    if chance.random() < 0.3:
        keys = ("hidden", "layers", "ffn", "heads", "kv_heads", "vocab", "dtype", "head_dim", "experts", "x", "")
        told = {"hidden": "4096", "layers": "2", "ffn": "64", "heads": "8", "dtype": "bf16"}
        for _ in range(chance.choice((1, 3))):
            told[chance.choice(keys)] = chance.choice((*_NUMBERS, "fp4"))
        shape = ",".join(f"{key}={value}" for key, value in told.items())
        did = shape
    elif chance.random() < 0.15:
        shape, did = model.name, odd_file(model, chance)
    else:
        data, did = damaged_json(chance.choice(_CONFIGS), chance)
        model.write_bytes(data)
        shape = chance.choice((model.name, "."))
    more = chance.choice(
        ([], ["--context", "1073741824"], ["--batch", "9" * 19], ["--layers", "1"], ["--context", "2048"])
    )
    command = [*chance.choice((PAGE, REPORT, ["report", "-o", "out.html"])), name, "--model", shape, *more]
    return Case([command], did)
