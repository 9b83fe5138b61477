"""NVTX events of an export: ranges with their payloads, and what payloads are made of."""

from __future__ import annotations

import polars as pl

from nsysan.columns.codes import looked_up
from nsysan.trace.globals import process_of
from nsysan.trace.tables import BYTES, I64, SMALL, TEXT, Tables, cut
from nsysan.trace.vocabulary import NAME

EVENTS = "NVTX_EVENTS"
_DOMAIN_CREATE = 75
_RANGES = (59, 60)


def read_events(tables: Tables) -> pl.DataFrame:
    """Every NVTX event as nsys has it, with process, thread, end_thread, name, json, binary in our words."""
    columns = {
        "start": I64,
        "end": I64,
        "eventType": SMALL,
        "text": TEXT,
        "textId": SMALL,
        "globalTid": I64,
        "endGlobalTid": I64,
        "domainId": SMALL,
        "jsonText": TEXT,
        "binaryData": BYTES,
    }
    frame = tables.read(EVENTS, columns)
    frame = frame.with_columns(cut(frame["text"]))
    registered = looked_up(frame["textId"], tables.strings["id"], tables.strings["value"])
    return frame.with_columns(
        name=pl.coalesce("text", registered),
        process=process_of("globalTid"),
        domainId=pl.col("domainId").fill_null(0),
    ).rename({"globalTid": "thread", "endGlobalTid": "end_thread", "jsonText": "json", "binaryData": "binary"})


def ranges_of(events: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """The closed ranges: start, end, process, thread, end_thread, domain (null: default), name, json, binary.

    json: the payload in words, a category; binary: as bytes where there are no words. Null where there is none.
    """
    domains = (
        events.filter((pl.col("eventType") == _DOMAIN_CREATE) & (pl.col("domainId") != 0))
        .select("process", "domainId", domain="name")
        .unique(["process", "domainId"], keep="first", maintain_order=True)
    )
    closed = events.filter(_is_range() & pl.col("end").is_not_null())
    # A capture range that opens late, and a trimmed file, lack the row that names NCCL's domain.
    by_prefix = pl.when((pl.col("domainId") != 0) & pl.col("name").str.contains(r"^nccl[A-Z]")).then(pl.lit("NCCL"))
    return (
        tables.timed(closed, "NVTX ranges")
        .join(domains, on=["process", "domainId"], how="left")
        .with_columns(
            domain=pl.coalesce("domain", by_prefix),
            json=pl.col("json").cast(NAME),
            binary=pl.when(pl.col("json").fill_null("") == "").then("binary"),
        )
        .select("start", "end", "process", "thread", "end_thread", "domain", "name", "json", "binary")
    )


def open_count(events: pl.DataFrame) -> int:
    """Ranges that never ended within the capture."""
    return events.filter(_is_range() & pl.col("end").is_null()).height


def payload_entries(tables: Tables) -> pl.DataFrame:
    """What payloads are made of: domain, schema, index, type, label, offset; processes are not told apart."""
    names = {
        "domainId": "domain",
        "schemaId": "schema",
        "idx": "index",
        "type": "type",
        "name": "label",
        "offset": "offset",
    }
    columns = {name: TEXT if name == "name" else I64 for name in names}
    return tables.read("NVTX_PAYLOAD_SCHEMA_ENTRIES", columns).rename(names).unique(maintain_order=True)


def _is_range() -> pl.Expr:
    return pl.col("eventType").is_in(_RANGES)
