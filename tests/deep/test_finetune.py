"""Learning the outcome: found where it is in the pictures, chance where it is not, and never seen by whom it is asked of."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.config import DeepConfig
from sarcofuse.deep import FineTuner, begin_fine_tuning, serve_fine_tuned
from sarcofuse.deep.bags import BAG, Kept
from sarcofuse.deep.look import Source
from sarcofuse.errors import ConfigError, StageError, WeightsError
from sarcofuse.metrics import auc, grouped_folds
from sarcofuse.records import Case
from sarcofuse.runtime import Engine, read_json
from tests.deep.conftest import ball

PATIENTS = 24
HERE = Source(path=None, digest="none", device="cpu")  # a probe never asks for the network


def settings(mode: str = "probe", head: str = "pool", **changes: object) -> DeepConfig:
    tune = {"mode": mode, "epochs": 6, "patience": 3, **changes}
    return DeepConfig.model_validate({"backbone": "cifar-resnet20", "crop": "neighbours", "layer": "last", "pooling": "average", "head": head, "fine_tune": tune})


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path / "cache", scheduler="serial", progress=False) as found:
        yield found


@pytest.fixture
def made(tmp_path):
    """Patients whose bags hold numbers of one's own choice: no pictures, no network."""

    def make(tokens: np.ndarray) -> dict[str, Kept]:
        found = {}
        for i, own in enumerate(tokens):
            folder = tmp_path / f"bag-{i}-{abs(hash(own.tobytes()))}"
            folder.mkdir(exist_ok=True)
            np.savez(folder / BAG, tokens=own.astype(np.float32), areas=np.ones(len(own), np.float32), pictures=np.zeros((0, 1, 1)), regions=np.zeros((0, 1, 1, 1)))
            found[f"P{i:03d}"] = Kept(f"P{i:03d}", folder, folder.name)
        return found

    return make


@pytest.fixture
def cohort(make_case):
    """Tumours with a bright halo, the brighter with the event; of several slices."""
    y = np.tile([1.0, 0.0, 0.0], PATIENTS // 3)
    cases = [make_case(f"P{i:03d}", *ball(i, shape=(6, 20, 22), centre=(3, 10, 11), radius_mm=9.0, halo=40.0 + 60.0 * y[i])) for i in range(PATIENTS)]
    return cases, y


def everybody(y: np.ndarray, folds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(y.size, dtype=bool), grouped_folds(y, None, folds, [0, 3])


def weights(reference_data):
    return reference_data / "weights" / "resnet20-12fca82f.th"


@pytest.mark.parametrize(("mode", "head"), [("probe", "pool"), ("probe", "attention"), ("probe", "transformer"), ("last", "pool"), ("all", "attention"), ("adapters", "pool")])
def test_what_is_in_the_pictures_is_found_out_of_fold(mode, head, cohort, engine, reference_data, tmp_path):
    cases, y = cohort
    tuner, aside = begin_fine_tuning(cases, settings(mode, head, epochs=2), engine, 0, weights=weights(reference_data))
    ids, (train, fold) = [c.patient_id for c in cases], everybody(y, 2)
    (values,) = tuner.learn(ids, y, None, [(train, fold)])
    assert not aside
    assert auc(y, values[:, 0]) > 0.9
    tuner.keep(tmp_path / "networks", ids, y, None, fold)
    (kept,) = serve_fine_tuned(cases[:2], tuner.config, engine, tmp_path / "networks", weights=weights(reference_data))[0].values.T
    with Engine(tmp_path / "elsewhere", scheduler="serial", progress=False) as other:
        (again,) = serve_fine_tuned(cases[1::-1], tuner.config, other, tmp_path / "networks", weights=weights(reference_data))[0].values.T
    assert kept.tolist() == again[::-1].tolist()  # alone, among others, in any order: the same bits
    own = [read_json(p)["numbers"] for p in sorted((tmp_path / "networks").rglob("notes.json"))]
    if (mode, head) == ("last", "pool"):
        # layer3 of the paper's network: 64 x 32 x 9 and five times 64 x 64 x 9 weights, two numbers for each of six normalisations; the head: 64 weights, a bias, 64 means, 64 deviations
        assert own == [64 * 32 * 9 + 5 * 64 * 64 * 9 + 12 * 64 + 193] * 2


def test_the_encoder_in_3d_learns_too(cohort, engine, segmenter, tmp_path):
    cases, y = cohort
    config = settings("last", epochs=4, batch=4, learning_rate=0.01).model_copy(update={"backbone": "segresnet-encoder", "margin_mm": 5.0, "pooling": "masked", "layer": "blocks"})
    tuner, _ = begin_fine_tuning(cases, config, engine, 0, encoder=segmenter)
    ids, (train, fold) = [c.patient_id for c in cases], everybody(y, 2)
    (values,) = tuner.learn(ids, y, None, [(train, fold)])
    assert np.isfinite(values).all()
    tuner.keep(tmp_path / "networks", ids, y, None, fold)
    served, _ = serve_fine_tuned(cases, tuner.config, engine, tmp_path / "networks", encoder=segmenter)
    assert auc(y, served.values[:, 0]) > 0.9  # they learnt from these
    (tmp_path / "networks" / "recipe.json").write_text((tmp_path / "networks" / "recipe.json").read_text().replace(tuner.source.digest, "0" * 64))
    with pytest.raises(WeightsError, match="started from other weights of segresnet-encoder"):
        serve_fine_tuned(cases, tuner.config, engine, tmp_path / "networks", encoder=segmenter)


def test_too_little_memory_is_told_of_bags_and_of_networks(cohort, made, engine, monkeypatch, reference_data):
    class Full:
        def maps(self, *_):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory")

    cases, y = cohort
    with monkeypatch.context() as within:
        within.setattr("sarcofuse.deep.bags.load", lambda *_: Full())
        _, aside = begin_fine_tuning(cases[:1], settings(), engine, 0, weights=weights(reference_data))
    assert aside[0].reason.startswith("memory does not suffice for one picture of 32 x 32 pixels; run with fewer --workers")
    monkeypatch.setattr("sarcofuse.deep.learning.learn_network", lambda *_: (_ for _ in ()).throw(MemoryError()))
    bags = made(np.random.default_rng(0).standard_normal((24, 1, 4)))
    with pytest.raises(StageError, match=r"memory does not suffice to learn; run with fewer --workers, or set deep\.fine_tune\.mode: probe"):
        FineTuner(settings(), HERE, engine, 0, bags).figures(list(bags), y, None, everybody(y)[1])


def test_noise_gives_chance_out_of_fold_and_looks_splendid_in_sample(made, engine):
    rng, inside, outside = np.random.default_rng(0), [], []
    bags = made(rng.standard_normal((48, 1, 80)))
    for seed in range(6):
        y = np.random.default_rng([1, seed]).permutation(np.repeat([1.0, 0.0], [20, 28]))
        tuner = FineTuner(settings(epochs=6, learning_rate=0.02, patience=6), HERE, engine, seed, bags)
        found = tuner.figures(list(bags), y, None, everybody(y)[1])
        inside.append(found["in_sample"]["value"])
        outside.append(found["out_of_fold"]["value"])
        assert found["gap"] == pytest.approx(inside[-1] - outside[-1])
    error = np.std(outside, ddof=1) / np.sqrt(len(outside))
    assert abs(np.mean(outside) - 0.5) < 3 * error
    assert error < 0.05
    assert min(inside) > 0.75
    assert np.mean(inside) > 0.85


def test_outcomes_of_those_left_out_change_no_bit(made, engine):
    """Round by round: flip every outcome in the fold that a round leaves out, and its values stay; flip those of the fold of a learner, and his own value stays."""
    rng = np.random.default_rng(3)
    bags, y = made(rng.standard_normal((40, 2, 6))), np.tile([1.0, 0.0], 20)
    tuner, ids = FineTuner(settings(epochs=2), HERE, engine, 0, bags), list(bags)
    train, fold = everybody(y, 4)
    rounds = [(train, fold)] + [(fold != k, np.where(fold != k, fold, -1)) for k in range(4)]
    first = tuner.learn(ids, y, None, rounds)
    networks = len(list((engine.cache / "deep-networks").iterdir()))
    assert networks == 4 + 6  # one without each fold, and one without each pair of folds, which two rounds share
    for k in (0, 2):
        out = fold == k
        again = tuner.learn(ids, np.where(out, 1.0 - y, y), None, [rounds[0], rounds[k + 1]])
        assert again[0][out].tolist() == first[0][out].tolist()
        assert again[0][~out].tolist() != first[0][~out].tolist()
        assert again[1].tolist() == first[k + 1].tolist()


def test_groups_are_never_torn_apart(made, tmp_path):
    rng = np.random.default_rng(4)
    bags, y, group = made(rng.standard_normal((32, 3, 5))), np.tile([1.0, 0.0, 0.0, 0.0], 8), np.repeat(np.arange(16), 2)
    fold, found = grouped_folds(y, group, 3, 0), []
    for name in ("one", "two"):
        with Engine(tmp_path / name, scheduler="serial", progress=False) as engine:
            tuner = FineTuner(settings(head="attention", epochs=2), HERE, engine, 5, bags)
            found.append(tuner.learn(list(bags), y, group, [(np.ones(32, dtype=bool), fold)])[0])
            notes = [read_json(p)["held_out"] for p in engine.cache.rglob("notes.json")]
            assert all(n % 2 == 0 for n in notes)  # whole groups are held out for stopping
    assert found[0].tolist() == found[1].tolist()


def test_both_outcomes_weigh_alike_where_asked(made, engine):
    """With features that say nothing, balanced weights take a network's logits to 0, plain ones to the log-odds: here ln(1/7) = -1.95."""
    bags, y = made(np.zeros((64, 1, 3))), np.tile([1.0] + [0.0] * 7, 8)
    raw = {}
    for kind in ("balanced", "none"):
        tuner = FineTuner(settings(class_weights=kind, epochs=25, patience=25, learning_rate=0.15, weight_decay=0.0, batch=16), HERE, engine, 0, bags)
        tuner.learn(list(bags), y, None, [everybody(y, 2)])
        raw[kind] = [n["centre"] for n in tuner.figures(list(bags), y, None, everybody(y, 2)[1])["networks"]]
    assert raw["balanced"] == pytest.approx([0.0, 0.0], abs=0.25)
    assert raw["none"] == pytest.approx([np.log(1 / 7)] * 2, abs=0.35)


def test_too_few_events_and_a_loss_that_explodes_are_refused(made, engine):
    bags = made(np.random.default_rng(5).standard_normal((20, 1, 60)))
    y = np.array([1.0] * 3 + [0.0] * 17)
    tuner = FineTuner(settings(mode="probe"), HERE, engine, 0, bags)
    with pytest.raises(StageError, match=r"would learn from 1 patients with the event .* Set models.folds higher"):
        tuner.learn(list(bags), y, None, [(np.ones(20, dtype=bool), np.arange(20) % 2)])
    assert not (engine.cache / "deep-networks").exists()  # told before any network learns
    assert "mode: probe changes a head alone" in FineTuner(settings(mode="last"), HERE, engine, 0, bags).warnings(29)[0]
    assert FineTuner(settings(mode="last"), HERE, engine, 0, bags).warnings(30) == tuner.warnings(3) == []
    wild = FineTuner(settings(learning_rate=3e37, weight_decay=0.0), HERE, engine, 0, bags)
    with pytest.raises(StageError, match="no longer a number in pass"):
        wild.learn(list(bags), np.tile([1.0, 0.0], 10), None, [everybody(np.tile([1.0, 0.0], 10), 2)])


def test_activations_that_are_no_numbers_set_the_patient_aside(cohort, engine, segmenter):
    from tests.deep.conftest import write_segmenter

    cases, _ = cohort
    broken = write_segmenter(segmenter.parent / "broken", fill=float("nan"))
    config = settings("probe").model_copy(update={"backbone": "segresnet-encoder"})
    tuner, aside = begin_fine_tuning(cases[:1], config, engine, 0, encoder=broken)
    assert not tuner.bags
    assert "activations of segresnet-encoder are NaN or infinite" in aside[0].reason
    bare = Case("X", "train", "A", cases[0].image, None, cases[0].image, "0")
    assert "has no mask" in begin_fine_tuning([bare], config, engine, 0, encoder=segmenter)[1][0].reason


def test_settings_that_do_not_go_together_are_refused():
    from sarcofuse.deep.stage import read_config

    with pytest.raises(ConfigError, match="head attention learns from the outcome"):
        read_config(None, {"head": "attention"})
    with pytest.raises(ConfigError, match="ONNX file cannot learn"):
        read_config(None, {"backbone": "onnx", "fine_tune": {"mode": "all"}})
