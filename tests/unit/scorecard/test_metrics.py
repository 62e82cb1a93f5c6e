"""The measures against scikit-image's, scipy's, and what papers print."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import color, measure
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.scorecard import metrics
from superres.scorecard.colour import ciede2000, lab
from superres.scorecard.resample import resample


@pytest.fixture(scope="module")
def pair(photos):
    """A photograph and what is left of it after a reduction to a quarter."""
    truth = photos["astronaut"][:384, :448]
    return truth, resample(resample(truth, 96, 112), 384, 448)


@pytest.fixture(scope="module")
def planes(pair):
    return tuple(metrics.luma(photo) for photo in pair)


def test_psnr(planes) -> None:
    assert metrics.psnr(*planes) == pytest.approx(
        peak_signal_noise_ratio(*planes, data_range=255), abs=1e-9
    )
    assert metrics.psnr(planes[0], planes[0]) == 100


def test_ssim(planes) -> None:
    reference = structural_similarity(
        *planes, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(*planes) == pytest.approx(reference, abs=1e-12)


def test_ms_ssim(planes) -> None:
    """Against the definition, written down with scipy's filter."""

    def parts(one, other):
        def mean(x):
            return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

        m1, m2 = mean(one), mean(other)
        v1, v2 = mean(one**2) - m1**2, mean(other**2) - m2**2
        v12 = mean(one * other) - m1 * m2
        structure = (2 * v12 + 58.5225) / (v1 + v2 + 58.5225)
        light = (2 * m1 * m2 + 6.5025) / (m1**2 + m2**2 + 6.5025)
        return (light * structure).mean(), structure.mean()

    one, other = planes
    expected = 1.0
    for index, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        whole, structure = parts(one, other)
        expected *= (whole if index == 4 else structure) ** weight
        one, other = (
            x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
            .reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2)
            .mean((1, 3))
            for x in (one, other)
        )
    assert metrics.ms_ssim(*planes) == pytest.approx(expected, abs=1e-9)
    assert metrics.ms_ssim(planes[0][:175], planes[1][:175]) is None
    assert metrics.ms_ssim(planes[0], planes[0]) == pytest.approx(1)


def test_blur(planes) -> None:
    for plane in planes:
        assert metrics.blur(plane) == pytest.approx(measure.blur_effect(plane / 255), abs=1e-6)
    assert metrics.blur(np.full((40, 40), 90.0)) == 1


def test_lab(pair) -> None:
    np.testing.assert_allclose(lab(pair[0] / 255), color.rgb2lab(pair[0] / 255.0), atol=1e-9)


def test_ciede2000_of_photographs(pair) -> None:
    one, other = (color.rgb2lab(photo / 255.0) for photo in pair)
    np.testing.assert_allclose(ciede2000(one, other), color.deltaE_ciede2000(one, other), atol=1e-9)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [  # of the table of Sharma, Wu and Dalal (2005), where formulas differ
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_of_the_paper(one, other, expected) -> None:
    one, other = np.array(one, float), np.array(other, float)
    assert float(ciede2000(one, other)) == pytest.approx(expected, abs=5e-5)
    assert float(ciede2000(other, one)) == pytest.approx(expected, abs=5e-5)


def test_what_a_result_scores(pair) -> None:
    truth, result = pair
    found = metrics.quality(result, truth, 4)
    inside = (slice(4, -4),) * 2
    assert found.psnr_y == metrics.psnr(metrics.luma(result)[inside], metrics.luma(truth)[inside])
    assert 0 < found.shift < 0.5
    assert 0 < found.delta_e < 1
    assert found.blur > metrics.quality(truth, truth, 4).blur


def test_colour_that_is_off_over_areas(pair) -> None:
    truth = pair[0]
    tinted = truth.copy()
    tinted[..., 2] = np.minimum(tinted[..., 2], 245) + 10
    found = metrics.quality(tinted, truth, 4)
    assert found.shift == pytest.approx(10, abs=0.6)
    assert found.delta_e > 2
    rng = np.random.default_rng(1)
    flicker = np.clip(truth + rng.integers(-10, 11, truth.shape), 0, 255).astype(np.uint8)
    assert metrics.quality(flicker, truth, 4).delta_e < 0.7


def test_what_cannot_be_compared(pair) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.quality(pair[0][:100], pair[1], 4)
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.quality(pair[0][:20, :20], pair[1][:20, :20], 4)
