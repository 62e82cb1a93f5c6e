"""Rows: what runs, what is the same, what the papers say of the faithful model."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
from PIL import Image

from superres.engines.fake import FakeEngine
from superres.errors import Cancelled, WeightsMissing
from superres.pipeline import Upscaler
from superres.scorecard import Method, Plan, Source, baselines, measure, of_models, read_truth, run
from superres.scorecard.truths import Truth


@pytest.fixture(scope="module")
def truth(photos, tmp_path_factory) -> Truth:
    path = tmp_path_factory.mktemp("truth") / "cup.png"
    Image.fromarray(photos["coffee"][:200, :216]).save(path)
    return read_truth(Source("cup", path), 512)


@pytest.fixture(scope="module")
def fake():
    with Upscaler(engine=FakeEngine()) as upscaler:
        yield upscaler


def test_every_cell_once(truth, fake) -> None:
    plan = Plan((*baselines(), *of_models(["general", "faithful"])), (4, 2), ("clean", "noise-25"))
    rows = measure(plan, truth, fake)
    assert len({row.key for row in rows}) == len(rows) == 7 * 2 * 2
    by_key = {row.key[1:]: row for row in rows}
    for scale in (2, 4):
        same = by_key[scale, "clean", "general", "1"]
        other = by_key[scale, "clean", "faithful", ""]
        assert (same.psnr_y, same.fidelity) == (other.psnr_y, 1)
        clean, noisy = (
            by_key[scale, how, "general", "default"].fidelity for how in ("clean", "noise-25")
        )
        assert noisy < clean <= 0.5  # the default looks at the picture
        assert by_key[scale, "clean", "bicubic", ""].fidelity is None
        assert (
            by_key[scale, "clean", "bicubic", ""].psnr_y
            > by_key[scale, "noise-25", "bicubic", ""].psnr_y + 2
        )
        assert by_key[scale, "clean", "lanczos", ""] != by_key[scale, "clean", "bicubic", ""]


def test_what_is_known_is_not_measured_again(truth, fake) -> None:
    calls = []

    def call(photo, scale):
        calls.append(scale)
        return photo.repeat(scale, 0).repeat(scale, 1)

    plan = Plan((Method("nearest", call=call, scales=(2,)),), (4, 2), ("clean",))
    told = []
    rows = measure(plan, truth, fake, on_row=lambda row, cost: told.append((row, cost)))
    assert calls == [2]  # it has no other scale
    assert [row for row, _ in told] == rows
    assert all(cost > 0 for _, cost in told)
    again = measure(plan, truth, fake, known={row.key: row for row in rows})
    assert again == rows
    assert calls == [2]


def test_a_method_that_fails_is_left_out(truth, fake) -> None:
    def call(photo, scale):
        if scale == 2:
            raise WeightsMissing("gone")
        return photo.repeat(scale, 0).repeat(scale, 1)

    plan = Plan((Method("bad", call=call), Method("bicubic")), (4, 2), ("clean", "blur-1"))
    failures = []
    rows = measure(
        plan, truth, fake, on_failure=lambda method, error: failures.append((method.name, error))
    )
    assert [(row.method, row.scale) for row in rows] == [
        *[("bad", 4)] * 2,
        *[("bicubic", 4)] * 2,
        *[("bicubic", 2)] * 2,
    ]
    assert [(name, str(error)) for name, error in failures] == [("bad", "gone")]
    with pytest.raises(WeightsMissing):
        measure(plan, truth, fake)


def test_a_learned_measure_sees_the_middle(truth, fake) -> None:
    seen = []

    def perceptual(result, wanted):
        seen.append((result.shape, wanted))
        return 0.25

    plan = Plan((Method("bicubic"),), (4,), ("clean",))
    row = measure(plan, truth, fake, perceptual=perceptual)[0]
    assert row.perceptual == 0.25
    assert seen[0][0] == (192, 208, 3)
    assert (seen[0][1] == truth.pixels[4:-4, 4:-4]).all()


def test_stopping(truth, fake) -> None:
    plan = Plan(tuple(baselines()), (4,), ("clean",))
    rows = []
    with pytest.raises(Cancelled):
        measure(
            plan,
            truth,
            fake,
            on_row=lambda row, cost: rows.append(row),
            cancelled=lambda: bool(rows),
        )
    assert len(rows) == 1


@pytest.mark.benchmark_data
@pytest.mark.parametrize(("scale", "published", "bicubic"), [(2, 38.08, 33.68), (4, 32.20, 28.43)])
def test_faithful_scores_what_its_paper_says(
    benchmarks: Path, scale: int, published: float, bicubic: float
) -> None:
    """Set5, reduced by our own bicubic rather than taken as it is distributed."""
    files = sorted((benchmarks / "Set5" / f"x{scale}").glob("*_HR.png"))
    truths = [read_truth(Source(path.stem, path), 1024) for path in files]
    rows = run(["faithful"], (), ["clean"], truths, scales=[scale])
    scores = {
        name: mean(row.psnr_y for row in rows if row.method == name)
        for name in ("faithful", "bicubic", "lanczos")
    }
    assert len(truths) == 5
    assert scores["faithful"] == pytest.approx(published, abs=0.04)
    assert scores["bicubic"] == pytest.approx(bicubic, abs=0.02)
    assert scores["bicubic"] < scores["lanczos"] < scores["faithful"] - 2
