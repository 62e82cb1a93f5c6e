"""``faithful``, file in to file out, reproduces what the SPAN paper publishes."""

from __future__ import annotations

import pytest

from bench.published import PUBLISHED, ROWS, measure

TOLERANCE = 0.03
FAITHFUL = next(row for row in ROWS if row.name == "faithful")


@pytest.mark.benchmark_data
@pytest.mark.parametrize(("name", "scale"), PUBLISHED)
def test_faithful_reproduces_the_paper(upscaler, benchmarks, tmp_path, name, scale):
    figure = measure(upscaler, FAITHFUL, name, scale, tmp_path, benchmarks)
    assert figure.pictures == {"Set5": 5, "Set14": 14}[name]
    assert figure.psnr_y == pytest.approx(PUBLISHED[name, scale], abs=TOLERANCE)


@pytest.mark.benchmark_data
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name.startswith("general")], ids=lambda row: row.name
)
def test_general_is_what_it_was_measured_to_be(upscaler, benchmarks, tmp_path, row):
    figure = measure(upscaler, row, "Set5", 4, tmp_path, benchmarks)
    assert figure.psnr_y >= row.reference["Set5", 4] - 0.05
