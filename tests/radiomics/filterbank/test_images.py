"""The door to all filters: parts of images, names, errors, settings."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from sarcofuse.config.filters import FilterConfig, GaborFilter, LawsFilter, LogFilter, MeanFilter, RieszFilter, ShannonFilter, SimoncelliFilter, WaveletFilter
from sarcofuse.errors import ImageError
from sarcofuse.radiomics.filterbank import filter_box, filter_image, filter_name
from sarcofuse.radiomics.filterbank.separable import MODES

SPACING = (3.0, 1.0, 1.5)
FILTERS = [
    MeanFilter(size=5),
    MeanFilter(size=5, dimensions=2),
    LogFilter(sigma_mm=1.0),
    LawsFilter(kernels="E5S5L3", energy={"delta": 2}),
    LawsFilter(kernels="L5S5", dimensions=2, rotation_invariance=False),
    GaborFilter(sigma_mm=1.0, lambda_mm=2.5, theta_step=90, planes=("xy", "yz")),
    WaveletFilter(family="db2", band="LHL", level=2),
    SimoncelliFilter(),
    ShannonFilter(level=2, boundary="mirror"),
    RieszFilter(of=LogFilter(sigma_mm=1.0), order=(1, 1, 0), alignment_sigma_mm=2.0),
]
READ = TypeAdapter(FilterConfig)


@pytest.mark.parametrize("settings", FILTERS, ids=filter_name)
@pytest.mark.parametrize("boundary", MODES)
def test_part_of_an_image_is_filtered_as_in_the_whole(settings, boundary):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(17, 40, 23)).astype(np.float32)
    bounded = {"boundary": boundary}
    settings = settings.model_copy(update={"of": settings.of.model_copy(update=bounded)} if isinstance(settings, RieszFilter) else bounded)
    whole = filter_image(array, SPACING, settings)
    assert whole.dtype == np.float64
    assert np.array_equal(whole, filter_image(array, SPACING, settings))
    for _ in range(4):
        ends = [np.sort(rng.choice(n + 1, 2, replace=False)) for n in array.shape]
        box = tuple(slice(int(a), int(b)) for a, b in ends)
        np.testing.assert_allclose(filter_box(array, SPACING, settings, box), whole[box], atol=1e-11)


def test_only_what_bears_on_the_box_is_read():
    array = np.zeros((40, 40, 40))
    array[0] = np.nan
    box = (slice(20, 22),) * 3
    assert not filter_box(array, (1.0, 1.0, 1.0), LawsFilter(kernels="E5L5S5", energy={"delta": 7}), box).any()


@pytest.mark.parametrize("settings", FILTERS, ids=filter_name)
def test_whole_numbers_and_order_in_memory_change_nothing(settings):
    array = np.random.default_rng(1).integers(-50, 50, (8, 12, 10)).astype(np.int16)
    expected = filter_image(array.astype(np.float64), SPACING, settings)
    assert np.array_equal(filter_image(array, SPACING, settings), expected)
    assert np.array_equal(filter_image(np.asfortranarray(array), SPACING, settings), expected)


@pytest.mark.parametrize("settings", FILTERS, ids=filter_name)
def test_images_of_one_voxel_and_one_slice_have_a_response(settings):
    for shape in ((1, 1, 1), (1, 9, 9)):
        found = filter_image(np.ones(shape), SPACING, settings)
        assert found.shape == shape
        assert np.isfinite(found).all()


def test_bad_images_are_refused():
    with pytest.raises(ImageError, match=r"three axes .* found shape \(4, 4\)"):
        filter_image(np.zeros((4, 4)), SPACING, MeanFilter())
    with pytest.raises(ImageError, match="1 voxels are not finite"):
        filter_image(np.array([[[1.0, np.inf]]]), SPACING, MeanFilter())


def test_different_images_have_different_names():
    changes = {"boundary": "zero", "size": 7, "sigma_mm": 1.25, "cutoff": 3.0, "energy": None, "level": 3, "frequencies": "dft", "gamma": 2.0, "theta": 22.5, "theta_step": 45.0, "order": (2, 0, 0)}
    variants = list(FILTERS)
    for settings in FILTERS:
        pooled = {"pooling": "min"} if getattr(settings, "rotation_invariance", True) else {}
        variants += [settings.model_copy(update={name: value}) for name, value in (changes | pooled).items() if name in type(settings).model_fields]
    variants = list(dict.fromkeys(variants))
    names = [filter_name(one) for one in variants]
    alike = [one for one in names if names.count(one) > 1]
    assert not alike
    assert not any(set(name) & set("_. /,") for name in names)


def test_settings_come_from_plain_mappings():
    given = [
        {"kind": "mean", "size": 15, "boundary": "zero"},
        {"kind": "log", "sigma_mm": 5, "cutoff": 4},
        {"kind": "laws", "kernels": "E5W5S5", "rotation_invariance": True, "pooling": "max", "energy": {"delta": 7}},
        {"kind": "gabor", "sigma_mm": 5, "lambda_mm": 2, "gamma": 1.5, "theta_step": 22.5, "planes": ["xy", "xz", "yz"], "pooling": "average"},
        {"kind": "wavelet", "family": "db3", "band": "LLH"},
        {"kind": "riesz", "of": {"kind": "simoncelli", "level": 2}, "order": [0, 2, 0], "alignment_sigma_mm": 1},
    ]
    names = [filter_name(READ.validate_python(one)) for one in given]
    expected = ["mean-15-zero", "log-5mm", "laws-E5W5S5-max-energy7", "gabor-s5-l2-g1p5-t0-step22p5-xy-xz-yz-average", "wavelet-db3-LLH-1-average", "riesz-020-aligned1mm-simoncelli-2"]
    assert names == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "median"}, "'median'"),
        ({"kind": "mean", "size": 4}, "odd"),
        ({"kind": "laws", "kernels": "E5L5"}, "kernels must have 3 parts"),
        ({"kind": "laws", "kernels": "E5W3S5"}, "pattern"),
        ({"kind": "wavelet", "family": "coif1", "band": "LLH", "dimensions": 2}, "band must have 2 parts"),
        ({"kind": "wavelet", "family": "morl", "band": "LLH"}, "discrete wavelet"),
        ({"kind": "gabor", "sigma_mm": 1, "lambda_mm": 2, "theta_step": 50}, "divide 360"),
        ({"kind": "gabor", "sigma_mm": 1, "lambda_mm": 2, "planes": ["xy", "xy"]}, "twice"),
        ({"kind": "riesz", "of": {"kind": "simoncelli"}, "order": [1, 1]}, "order must have 3 parts"),
        ({"kind": "riesz", "of": {"kind": "simoncelli"}, "order": [0, 0, 0]}, "add up"),
        ({"kind": "riesz", "of": {"kind": "mean"}, "order": [1, 0, 0]}, "'mean'"),
        ({"kind": "log", "sigma_mm": 0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        READ.validate_python(given)
