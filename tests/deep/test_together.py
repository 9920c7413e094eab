"""Pictures of several patients in a batch: the same features, one bad case not killing its group, nothing done twice."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep import extract, stage, together
from sarcofuse.deep.look import show_together
from sarcofuse.runtime import Engine

CONFIG = DeepConfig(crop="neighbours", batch=7)


def serial(folder):
    return Engine(folder, scheduler="serial", progress=False)


@pytest.mark.parametrize(
    ("settings", "device", "patients"),
    [
        ({"batch": 64}, "cuda", 7),  # nine pictures each
        ({"batch": 64}, "cpu", 1),
        ({"batch": 8}, "cuda", 1),
        ({"batch": 8, "crop": "largest"}, "cuda", 8),
        ({"batch": 8, "slices": 1}, "cuda", 2),
        ({"batch": 8, "backbone": "medicalnet-resnet10"}, "cuda", 1),
    ],
)
def test_so_many_patients_fill_a_batch(settings, device, patients):
    assert together.patients_a_batch(DeepConfig(**settings), device) == patients


def test_features_agree_with_those_of_patients_one_by_one(make_case, tmp_path, monkeypatch):
    cases = [make_case(f"P{i}", seed=i) for i in range(5)]
    alone, _ = extract(cases, CONFIG, serial(tmp_path / "alone"))
    monkeypatch.setattr(stage, "patients_a_batch", lambda *_: 2)
    shown = []
    monkeypatch.setattr(together, "show_together", lambda scenes, *rest: (shown.append(len(scenes)), show_together(scenes, *rest))[1])
    monkeypatch.setattr(stage, "show", lambda *_: pytest.fail("shown by itself"))
    joined, aside = extract(cases, CONFIG, serial(tmp_path / "joined"))
    assert (shown, aside) == ([2, 2, 1], [])
    assert joined.patient_ids == alone.patient_ids
    np.testing.assert_allclose(joined.values, alone.values, rtol=0, atol=1e-6 * np.abs(alone.values).max())
    turned, _ = extract(cases[::-1], CONFIG, serial(tmp_path / "turned"))
    assert turned.values[::-1].tobytes() == joined.values.tobytes()
    with Engine(tmp_path / "joined", scheduler="serial", progress=False) as engine:
        again, _ = extract(cases, CONFIG, engine)
    assert again.values.tobytes() == joined.values.tobytes()
    assert len(shown) == 6  # the cache answered


def test_a_bad_case_is_left_to_itself_and_told(make_case, tmp_path, monkeypatch):
    cases = [make_case(f"P{i}", seed=i) for i in range(3)]
    cases[1].image.write_bytes(b"no image")
    monkeypatch.setattr(stage, "patients_a_batch", lambda *_: 3)
    table, aside = extract(cases, CONFIG, serial(tmp_path / "cache"))
    assert table.patient_ids == ("P0", "P2")
    assert [s.patient_id for s in aside] == ["P1"]
    assert "cannot be read" in aside[0].reason


def test_a_group_that_memory_does_not_hold_is_shown_patient_by_patient(make_case, tmp_path, monkeypatch):
    cases = [make_case(f"P{i}", seed=i) for i in range(2)]
    alone, _ = extract(cases, CONFIG, serial(tmp_path / "alone"))

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(stage, "patients_a_batch", lambda *_: 2)
    monkeypatch.setattr(together, "show_together", refuse)
    found, aside = extract(cases, CONFIG, serial(tmp_path / "cache"))
    assert aside == []
    assert found.values.tobytes() == alone.values.tobytes()
