"""The task stays honest: thresholds cannot find the tumour, volume cannot tell the outcome, and each hidden component shows where it should and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import rankdata, spearmanr

from sarcofuse.phantom import Latents, draw_patient, plan_cohort

pytestmark = pytest.mark.slow
CEILING = 0.55


@pytest.fixture(scope="module")
def drawn():
    """Every eleventh patient of a full cohort: 73 of both hospitals and all regions."""
    plans = plan_cohort(803, seed=1)[::11]
    return plans, [draw_patient(p)[:2] for p in plans]


def largest(region):
    pieces, count = ndimage.label(region)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax() if count else region


def dice(found, mask):
    return 2 * np.count_nonzero(found & mask) / (np.count_nonzero(found) + np.count_nonzero(mask))


def body_of(image):
    smooth = ndimage.gaussian_filter(image, (0.5, 1.5, 1.5))
    return ndimage.binary_fill_holes(smooth > 0.25 * np.median(smooth[smooth > smooth.mean()]))


def multi_otsu(values, classes):
    """Cuts between classes of least variance within (Otsu 1979), exactly, by dynamic programming over 80 bins."""
    counts, edges = np.histogram(values, 80, (0, np.percentile(values, 99.9)))
    weight = np.concatenate([[0], np.cumsum(counts / counts.sum())])
    moment = np.concatenate([[0], np.cumsum(counts / counts.sum() * (edges[1:] + edges[:-1]) / 2)])
    mass = weight[None, :] - weight[:, None]
    gain = np.where(mass > 0, (moment[None, :] - moment[:, None]) ** 2 / np.where(mass > 0, mass, 1), -1.0)
    best, back = gain[0], []
    for _ in range(classes - 1):
        total = best[:, None] + np.where(np.triu(np.ones_like(gain), 1) > 0, gain, -9)
        back.append(total.argmax(0))
        best = total.max(0)
    cuts, at = [], 80
    for step in reversed(back):
        at = step[at]
        cuts.append(edges[at])
    return sorted(cuts)


def attempts(image, body):
    """Every way of thresholding that is tried: name and region."""
    values = image[body]
    low, high = np.percentile(values, [1, 99])
    for name, scaled, levels in (
        ("z-score", (image - values.mean()) / values.std(), np.arange(0.6, 2.7, 0.3)),
        ("percentiles", (image - low) / (high - low), np.arange(0.35, 0.9, 0.09)),
        ("median", image / np.median(values), np.arange(1.35, 2.7, 0.15)),
    ):
        for level in levels:
            yield f"{name} above {level:.2f}", (scaled > level) & body
    for share in (75, 82, 88, 91, 94, 97):
        yield f"brightest from percentile {share}", (image > np.percentile(values, share)) & body
    for classes in (2, 3, 4):
        cuts = multi_otsu(values, classes)
        for k, cut in enumerate(cuts):
            yield f"Otsu of {classes}, above cut {k}", (image > cut) & body
            if k + 1 < len(cuts):
                yield f"Otsu of {classes}, class {k}", (image > cut) & (image <= cuts[k + 1]) & body


@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_thresholding_does_not_find_the_tumour(drawn, smoothing):
    found: dict[str, list[float]] = {}
    for volume, mask in drawn[1][::2]:
        image = ndimage.gaussian_filter(volume.array, (0, smoothing, smoothing)) if smoothing else volume.array
        for name, region in attempts(image, body_of(volume.array)):
            found.setdefault(name, []).append(dice(largest(region), mask.array > 0))
    best = max(found, key=lambda name: np.mean(found[name]))
    assert np.mean(found[best]) <= CEILING, best
    assert np.mean(found[best]) > 0.15, "thresholds that find nothing at all test nothing"


def auc(score, outcome):
    events = outcome.sum()
    return (rankdata(score)[outcome].sum() - events * (events + 1) / 2) / (events * (len(outcome) - events))


def test_drawn_volume_is_the_planned_one_and_does_not_tell_the_outcome(drawn):
    plans, pairs = drawn
    volume, wanted = np.array([m.volume_ml for _, m in pairs]), np.array([p.volume_ml for p in plans])
    off = np.abs(np.log(volume / wanted))
    assert off.max() < 0.2
    assert off.mean() < 0.02
    # so the planned volumes of all 527 training patients may stand for the drawn ones, even were all those with the event 3 % larger, or smaller
    train = [p for p in plan_cohort(803, seed=1) if p.split == "train"]
    events = np.array([p.recurrence for p in train]) == 1
    for bias in (-0.03, 0.0, 0.03):
        assert 0.38 <= auc(np.log([p.volume_ml for p in train]) + bias * events, events) <= 0.62


def measure(image, mask):
    """Simple measurements with the true mask: spread of brightness inside, compactness, brightness of the ring around it, log volume."""
    inside, spacing = mask.array > 0, mask.geometry.spacing[::-1]
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    away = ndimage.distance_transform_edt(~inside, sampling=spacing)
    core = image.array[depth > 4]
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), (0.5, 1, 1))
    slopes = np.gradient(smooth, *spacing)
    surface = np.sqrt(sum(s * s for s in slopes)).sum() * np.prod(spacing)
    volume = inside.sum() * np.prod(spacing)
    body = body_of(image.array)
    muscle = np.median(image.array[body & (away > 0)])
    ring = np.median(image.array[body & (away > 6) & (away < 18)])
    return np.log(core.std() / core.mean()), -np.log(volume ** (2 / 3) / surface), (ring - muscle) / (np.median(core) - muscle), np.log(volume)


@pytest.fixture(scope="module")
def measured(drawn):
    return np.array([measure(*pair) for pair in drawn[1]])


def test_each_component_shows_in_its_own_measurement_and_in_no_other(drawn, measured):
    latents = np.array([[p.latents.texture, p.latents.shape, p.latents.oedema] for p in drawn[0]])
    found = np.array([[spearmanr(measured[:, k], latents[:, j])[0] for j in range(3)] for k in range(4)])
    for k in range(3):
        assert found[k, k] >= 0.5
        assert np.abs(np.delete(found[k], k)).max() < 0.33
    assert np.abs(found[3]).max() < 0.33


def test_both_hospitals_show_the_components(drawn, measured):
    site = np.array([p.site for p in drawn[0]])
    latents = np.array([[p.latents.texture, p.latents.shape, p.latents.oedema] for p in drawn[0]])
    for where in "AB":
        for k in range(3):
            assert spearmanr(measured[site == where, k], latents[site == where, k])[0] >= 0.4


@pytest.mark.parametrize("name", ["texture", "shape", "oedema"])
def test_a_component_alone_changes_only_what_it_should(name):
    plan = plan_cohort(24, 2)[0]
    low, high = (draw_patient(replace(plan, latents=replace(Latents(0.0, 0.0, 0.0), **{name: value}))) for value in (-1.5, 1.5))
    a, b = measure(*low[:2]), measure(*high[:2])
    own = ("texture", "shape", "oedema").index(name)
    assert b[own] > a[own]
    assert np.array_equal(low[1].array, high[1].array) == (name != "shape")
    assert abs(b[3] - a[3]) < 0.05
