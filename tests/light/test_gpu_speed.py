"""The table of what GPUs read and compute."""

from __future__ import annotations

import pytest

from nsysan.light.gpu_speed import SpeedRow, load_speeds, speed_of

TABLE = load_speeds()


@pytest.mark.parametrize("row", TABLE.gpus, ids=lambda row: row.name)
def test_every_row_is_found_by_its_examples_and_has_a_source(row: SpeedRow) -> None:
    assert row.examples
    assert row.source
    assert [TABLE.find(name) for name in row.examples] == [row] * len(row.examples)
    assert row.memory_gbps > 0
    assert set(row.tflops) <= {"bf16", "fp8", "int8", "fp4"}
    # Half the bits never compute more slowly.
    assert sorted(row.tflops.values()) == [
        row.tflops[name] for name in ("bf16", "fp8", "int8", "fp4") if name in row.tflops
    ]


def test_what_is_achievable_is_a_share_with_a_source() -> None:
    assert 0.5 < TABLE.achievable.share < 1
    assert TABLE.achievable.source


def test_the_trace_tells_the_memory_before_the_table_does() -> None:
    told, untold = (speed_of("NVIDIA H200", given, "bf16") for given in (4_814_304_000_000, 0))
    assert told is not None
    assert untold is not None
    assert (told.memory, told.rate) == (4_814_304_000_000, 989_500_000_000_000)
    assert untold.memory == 4_800_000_000_000
    unknown = speed_of("GPU of tomorrow", 1_000, "bf16")
    assert unknown is not None
    assert (unknown.memory, unknown.rate) == (1_000, None)
    assert speed_of("GPU of tomorrow", None, "bf16") is None
    assert speed_of("NVIDIA A100-SXM4-80GB", 1, "fp8") is not None
    assert speed_of("NVIDIA A100-SXM4-80GB", 1, "fp8").rate is None  # type: ignore[union-attr]
