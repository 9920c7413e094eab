"""Local intensity, statistics, histograms, each against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from sarcofuse.config import IbsiConfig
from sarcofuse.radiomics.ibsi import intensity


def test_peaks_are_means_within_a_ball_of_one_ml():
    rng = np.random.default_rng(0)
    image, spacing = rng.normal(1000, 50, (9, 16, 15)), (3.0, 1.1, 0.9)
    inside = np.zeros(image.shape, bool)
    inside[3:6, 0:9, 4:12] = rng.random((3, 9, 8)) < 0.7
    image[tuple(np.argwhere(inside)[::40].T)] = 1500.0  # several highest voxels: the best of their balls counts
    places = np.argwhere(np.ones_like(inside)) * spacing
    means = {}
    for voxel in np.argwhere(inside):
        near = np.linalg.norm(places - voxel * spacing, axis=1) <= (3000 / (4 * math.pi)) ** (1 / 3)
        means[tuple(voxel)] = image.ravel()[near].mean()
    found = intensity.local(image, inside, spacing)
    assert found["0F91"] == pytest.approx(max(means.values()), rel=1e-12)
    assert found["VJGA"] == pytest.approx(max(m for v, m in means.items() if image[v] == 1500.0), rel=1e-12)


def test_statistics():
    values = np.random.default_rng(0).gamma(2.0, 30.0, 500)
    found = intensity.statistics(values)
    p10, p25, p50, p75, p90 = np.percentile(values, (10, 25, 50, 75, 90))
    middle = values[(values >= p10) & (values <= p90)]
    expected = {
        "ECT3": np.var(values), "KE2A": scipy.stats.skew(values), "IPH6": scipy.stats.kurtosis(values), "QG58": p10, "8DWT": p90, "SALO": p75 - p25,
        "4FUA": np.abs(values - values.mean()).mean(), "1128": np.abs(middle - middle.mean()).mean(), "N72L": np.abs(values - p50).mean(),
        "7TET": values.std() / values.mean(), "9S40": (p75 - p25) / (p75 + p25), "N8CA": (values**2).sum(), "5ZWQ": np.sqrt((values**2).mean()),
    }  # fmt: skip
    assert {k: found[k] for k in expected} == pytest.approx(expected, rel=1e-12)


def test_statistics_of_one_intensity():
    found = intensity.statistics(np.full(7, 0.1))
    assert {k: found[k] for k in ("Q4LE", "ECT3", "KE2A", "IPH6", "2OJQ", "4FUA", "1128", "7TET", "9S40")} == {"Q4LE": 0.1} | dict.fromkeys(
        ("ECT3", "KE2A", "IPH6", "2OJQ", "4FUA", "1128", "7TET", "9S40"), 0.0
    )
    nothing = intensity.statistics(np.zeros(5))
    assert math.isnan(nothing["7TET"])  # 0 / 0
    assert math.isnan(nothing["9S40"])


def test_of_several_modes_the_one_nearest_to_the_mean():
    levels = np.array([1, 1, 3, 3, 6, 6, 7])
    assert intensity.histogram(levels, 7)["AMMC"] == 3.0
    assert intensity.histogram(8 - levels, 7)["AMMC"] == 5.0


def test_gradient_counts_empty_bins():
    found = intensity.histogram(np.array([1] * 5 + [4] * 8), 6)  # counts 5 0 0 8 0 0, gradient -5 -2.5 4 0 -4 0
    assert [found[k] for k in ("12CE", "8E6O", "VQB3", "RHQZ")] == [4.0, 3.0, -5.0, 1.0]
    assert all(math.isnan(intensity.histogram(np.array([1, 1]), 1)[k]) for k in ("12CE", "8E6O", "VQB3", "RHQZ"))


def test_volume_histogram_of_definite_units():
    """Intensities 1 to 10, once each: the fraction of the range is (i - 1) / 9, the volume (11 - i) / 10."""
    found = intensity.volume_histogram(np.arange(1.0, 11.0), IbsiConfig(ivh_discretisation="none"))
    expected = {"NK6P": 0.9, "4279": 0.1, "PWN1": 10.0, "BOHI": 2.0, "WITY": 0.8, "JXJA": 8.0, "9CMM": 0.55}
    assert found == pytest.approx(expected, rel=1e-12)
    # With re-segmentation by range, the fraction is that of the range: 10 % of 0 to 20 is 2.
    found = intensity.volume_histogram(np.arange(1.0, 11.0), IbsiConfig(ivh_discretisation="none", resegment_range=(0, 20)))
    assert [found[k] for k in ("NK6P", "4279", "PWN1", "BOHI")] == pytest.approx([0.9, 0.0, 10.0, 2.0])


def test_volume_histogram_of_continuous_units():
    """Bins of 0.5 from 0: centres 0.25, 0.75 to 4.75."""
    values = np.array([0.1, 0.3, 0.6, 1.2, 2.2, 2.3, 2.4, 3.1, 3.2, 4.9])
    found = intensity.volume_histogram(values, IbsiConfig(ivh_discretisation="FBS", ivh_bin_width=0.5, resegment_range=(0, 5)))
    assert [found[k] for k in ("NK6P", "4279", "PWN1", "BOHI")] == pytest.approx([0.8, 0.1, 3.75, 0.75])


def test_volume_histogram_of_arbitrary_units():
    values = np.linspace(-3.0, 5.0, 2001)
    found = intensity.volume_histogram(values, IbsiConfig())
    assert [found[k] for k in ("NK6P", "4279", "PWN1", "BOHI")] == pytest.approx([0.9, 0.1, 901, 101], abs=1.01e-3 * 1000)
    assert [found[k] for k in ("NK6P", "4279", "9CMM")] == pytest.approx([0.9, 0.1, 0.5], abs=2e-3)


def test_volume_histogram_where_no_intensity_is_rare():
    found = intensity.volume_histogram(np.array([1.0, 2.0, 2.0]), IbsiConfig(ivh_discretisation="none"))
    assert found["PWN1"] == 3.0  # one above the highest
    single = intensity.volume_histogram(np.array([7.0, 7.0]), IbsiConfig(ivh_discretisation="none"))
    assert [single["PWN1"], single["BOHI"]] == [8.0, 8.0]
    assert all(math.isnan(single[k]) for k in ("NK6P", "4279", "WITY", "9CMM"))
