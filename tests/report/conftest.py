"""A run folder written by hand: the files that `sarcofuse run` leaves, with invented but plausible content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

from sarcofuse.config import EvaluationConfig, StudyConfig
from sarcofuse.evaluation import mask_figures
from sarcofuse.imaging import write_mask, write_volume
from sarcofuse.records import Geometry, Mask, MaskQuality, Patient, Volume
from sarcofuse.runtime import read_json, write_json

SIZES = {"train": (60, 0.35), "internal": (24, 0.33), "external": (30, 0.4)}
SKILL = {"radiomic": 0.9, "deep": 0.6, "dlr": 1.2}
CLASSIFIERS = ("extratrees", "svm", "logistic")
FEATURES = (
    "wavelet-LLH_glszm_SmallAreaLowGrayLevelEmphasis",
    "original_shape_Sphericity",
    "log-sigma-3-0-mm-3D_glcm_ClusterShade",
    "original_firstorder_90Percentile",
    "wavelet-HHL_gldm_DependenceVariance",
)


class RunWriter:
    """Writes one run folder; `images` is how many patients get images."""

    def __init__(self, folder: Path, *, images: int = 6, seed: int = 3, sizes: dict[str, tuple[int, float]] | None = None) -> None:
        self.folder, self.images, self.rng, self.sizes = folder, images, np.random.default_rng(seed), sizes or SIZES
        self.patients = [(f"SECRET-{i:04d}", split) for i, split in enumerate(s for s, (n, _) in self.sizes.items() for _ in range(n))]
        self.metrics: dict[str, list[dict[str, object]]] = {"models": [], "comparisons": [], "segmentation": [], "bayes": []}

    def write(self, **changes: object) -> Path:
        """Write everything; `changes` replace entries of run.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scores()
        self._audit()
        self._images()
        self._models()
        write_json({"format": 1, **self.metrics}, self.folder / "metrics.json")
        frame = pd.DataFrame(self.patients, columns=["patient_id", "split"])
        frame["site"] = ["Hospital B" if s == "external" else "Hospital A" for _, s in self.patients]
        frame.to_parquet(self.folder / "cohort.parquet")
        write_json(self.run() | changes, self.folder / "run.json")
        return self.folder

    def run(self) -> dict[str, object]:
        config = StudyConfig.model_validate({"segment": {"masks": "model"}, "deep": {"weights": "/home/anna/SECRET-0003/weights.pt"}}).model_dump(mode="json")
        sites = {s: {"Hospital B" if s == "external" else "Hospital A": n + (s == "train")} for s, (n, _) in self.sizes.items()}
        total = sum(n for n, _ in self.sizes.values())
        return {
            "format": 1,
            "title": "Recurrence of soft tissue sarcoma",
            "config": config,
            "versions": {"python": "3.11.9", "sarcofuse": "0.1.0", "numpy": "2.4.1"},
            "hardware": {"system": "Linux", "machine": "x86_64", "cores": 2, "memory_gb": 8.2, "gpu": None},
            "timings": {"segment": 98.76543},
            "set_aside": [
                {"patient_id": "SECRET-0007x", "stage": "cohort", "reason": "SECRET-0007x t2 scan.nii.gz: file not found; expected a NIfTI file or a DICOM folder"},
                {"patient_id": "SECRET-0002", "stage": "preprocess"}
                | {"reason": "Doe Jane 1961: tumour mask of secret-0002 is empty: 0 voxels; expected at least 1. Draw it or set segment.masks: model"},
            ],
            "warnings": ["60 training patients with 21 events are few for 2,000 features; expect wide intervals (see SECRET-0005)."],
            "openings": ["evaluation of nine frozen models"],
            "flow": {"rows": total + 2, "set_aside": 1, "splits": {s: {"patients": n + (s == "train"), "sites": sites[s]} for s, (n, _) in self.sizes.items()}},
        }

    def _scores(self) -> None:
        curves, rows, truth = [], [], {}
        for split, (n, share) in self.sizes.items():
            truth[split] = (np.arange(n) < round(n * share)).astype(int)
            latent = {f: self.rng.normal(size=n) for f in ("noise", *SKILL)}
            for features, skill in SKILL.items():
                for classifier in CLASSIFIERS:
                    signal = skill * truth[split] + 0.8 * latent[features] + 0.3 * latent["noise"] + 0.4 * self.rng.normal(size=n)
                    risk = 1 / (1 + np.exp(-(signal - 0.9)))
                    curves.append({"features": features, "classifier": classifier, "split": split, **_curves(truth[split], risk)})
                    who = {"features": features, "classifier": classifier, "split": split}
                    self.metrics["models"].append({**who, "patients": n, "events": int(truth[split].sum()), "threshold": 0.42, **_scores(truth[split], risk)})
                    names = [p for p, s in self.patients if s == split]
                    primary = (features, classifier) == ("dlr", "extratrees")
                    rows += [(p, split, features, classifier, primary, r, r >= 0.42) for p, r in zip(names, risk, strict=True)]
            for classifier in CLASSIFIERS:
                for first, second in (("dlr", "radiomic"), ("dlr", "deep"), ("radiomic", "deep")):
                    gap = round(float(self.rng.normal(0.05, 0.05)), 4)
                    pair = {"classifier": classifier, "split": split, "first": first, "second": second}
                    self.metrics["comparisons"].append({**pair, "difference": gap, "low": gap - 0.11, "high": gap + 0.11, "p": 0.2 + abs(gap), "p_holm": min(1.0, 0.6 + abs(gap))})
            self.metrics["bayes"] += [{"features": f, "split": split, "auc": a} for f, a in (("radiomic", 0.81), ("deep", 0.77), ("dlr", 0.86))]
        write_json({"models": curves}, self.folder / "curves.json")
        pd.DataFrame(rows, columns=["patient_id", "split", "features", "classifier", "primary", "risk", "positive"]).to_csv(self.folder / "predictions.csv", index=False)

    def _audit(self) -> None:
        """Lists that come with settings of the evaluation: reclassification, fusion, subgroups, sample size, follow-up."""
        primary = {"features": "dlr", "classifier": "extratrees"}
        self.metrics |= {name: [] for name in ("fusion", "subgroups", "interactions", "sample_size", "survival")}
        for row in self.metrics["comparisons"]:
            if row["first"] == "dlr":
                moves = {name: round(float(self.rng.normal(0.1, 0.1)), 4) for name in ("nri", "nri_continuous", "idi")}
                row |= {name: {"value": v, "low": v - 0.07, "high": v + 0.07, "events": v / 2, "others": v / 2, "p": 0.1} for name, v in moves.items()}
        lines = []
        for split in self.sizes:
            for classifier in CLASSIFIERS:
                excess = 0.08 if (split, classifier) == ("external", "svm") else -0.02
                row = {"features": "dlr", "classifier": classifier, "split": split, "correlation": 0.11, "auc": _interval(0.82 + excess, 0.06), "independent": _interval(0.82, 0.07)}
                row |= {"sources": [{"features": f, **_interval(a, 0.08)} for f, a in (("radiomic", 0.74), ("deep", 0.71))]}
                self.metrics["fusion"].append({**row, "excess": {"value": excess, "low": excess - 0.05, "high": excess + 0.05}})
                risk = {"features": "dlr", "classifier": classifier, "split": split, "patients": self.sizes[split][0], "events": 9, "harrell_c": _interval(0.7123, 0.1)}
                risk |= {"uno_c": {**_interval(0.6987, 0.1), "until": 24.0}, "timed_auc": [{"time": t, **_interval(a, 0.1)} for t, a in ((12.0, 0.7321), (24.0, 0.7211))]}
                self.metrics["survival"].append({**risk, "log_rank": {"statistic": 5.1, "p": 0.0239}})
            for column, group, share in (("age", "up to 54", 0.5), ("age", "above 54", 0.5), ("grade", "2", 0.4), ("grade", "3", 0.6)):
                n = round(share * self.sizes[split][0])
                self.metrics["subgroups"].append({**primary, "split": split, "column": column, "group": group, "patients": n, "events": n // 3, "auc": _interval(0.6 + share / 3, 0.12)})
            for column in ("age", "grade"):
                self.metrics["interactions"].append({**primary, "split": split, "column": column, "q": 1.234, "freedom": 1, "p": 0.2666, "p_holm": 0.5332})
            time = np.arange(1.0, 9.0)
            free = {"low": 1 - time / 30, "high": 1 - time / 11}
            groups = [{"risk": r, "time": time * 4, "free": f, "low": f - 0.1, "high": np.minimum(1, f + 0.1), "at_risk": 9 - time} for r, f in free.items()]
            lines.append({**primary, "split": split, "groups": [{**g, "incidence": {"value": 0.9 - 0.9 * g["free"], "low": 0.5 - 0.5 * g["free"], "high": 1 - g["free"]}} for g in groups]})
        size = {**primary, "split": "train", "patients": 60, "events": 21, "auc": 0.812, "r2": 0.251, "r2_max": 0.726, "candidates": 2, "affordable": 1, "minimum": 350, "expected_shrinkage": 0.87}
        self.metrics["sample_size"].append(size)
        write_json({**read_json(self.folder / "curves.json"), "survival": lines}, self.folder / "curves.json")

    def _models(self) -> None:
        radiomic = {"penalty": 0.0312, "intercept": -0.612, "coefficients": dict(zip(FEATURES, (0.61, -0.44, 0.25, 0.12, -0.05), strict=True))}
        deep = {"penalty": 0.054, "intercept": -0.583, "coefficients": {f"deep_{i:04d}": c for i, c in ((17, 0.38), (402, -0.31), (911, 0.09))}}
        used = {"radiomic": {"radiomic": radiomic}, "deep": {"deep": deep}, "dlr": {"radiomic": radiomic, "deep": deep}}
        rows = [{"features": f, "classifier": c, "threshold": 0.42, "parameters": {}, "signatures": used[f], "train_patients": 60, "train_events": 21} for f in SKILL for c in CLASSIFIERS]
        write_json(rows, self.folder / "models.json")
        (self.folder / "features").mkdir(exist_ok=True)
        pd.DataFrame(np.zeros((2, 40)), index=pd.Index(["a", "b"], name="patient_id"), columns=[f"f{i}" for i in range(40)]).to_parquet(self.folder / "features" / "radiomic.parquet")

    def _images(self) -> None:
        cases, quality = [], []
        step = max(1, len(self.patients) // max(1, self.images))
        for i, (patient, split) in enumerate(self.patients):
            source = "out-of-fold" if split == "train" else "ensemble"
            dice = float(np.clip(self.rng.beta(9, 2.5), 0, 1))
            if i % step == 0 and len(cases) < self.images:
                dice = self._case(patient, split, cases)
            agreement = None if split == "train" else float(np.clip(dice + self.rng.normal(0.06, 0.05), 0, 1))
            steps = {"ensemble": dice - 0.05, "largest": dice - 0.01, "holes": dice}
            truth_ml = float(self.rng.uniform(20, 400))
            ml = truth_ml * float(np.exp(self.rng.normal(0, 0.15)))
            known = {"dice": dice, "steps": steps, "surface_mm": 9.0 - 6 * dice, "volume_error": ml / truth_ml - 1, "surface_dice": 0.9 * dice, "assd_mm": 3.0 - 2 * dice, "truth_ml": truth_ml}
            known |= {"lesions": 1 + i % 2, "lesions_found": 1, "lesions_false": i % 3 // 2}
            said = float(np.clip(dice + self.rng.normal(0, 0.06), 0, 1))
            known |= {"predicted_dice": said, "predicted_low": max(0.0, said - 0.15), "predicted_high": min(1.0, said + 0.1), "review": said < 0.6}
            quality.append({"patient_id": patient, "split": split, "source": source, "volume_ml": ml, "agreement": agreement, "confidence": 0.9, **known})
        write_json(cases, self.folder / "cases.json")
        write_json(quality, self.folder / "quality.json")
        patients = [Patient(p, s, site="Hospital B" if s == "external" else "Hospital A") for p, s in self.patients]
        self.metrics |= mask_figures([MaskQuality(**q) for q in quality], patients, EvaluationConfig(bootstrap=100), 0, missed=[self.patients[-1][0]])

    def _case(self, patient: str, split: str, cases: list[dict[str, object]]) -> float:
        geometry = Geometry((84, 76, 12), (2.0, 2.0, 5.0))
        z, y, x = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
        limb = ((x - 42) / 38) ** 2 + ((y - 38) / 34) ** 2 < 1
        muscle = ((x - 42) / 33) ** 2 + ((y - 38) / 29) ** 2 < 1
        bone = ((x - 44) / 6) ** 2 + ((y - 40) / 6) ** 2 < 1
        cx, cy, r = self.rng.uniform(25, 58), self.rng.uniform(26, 50), self.rng.uniform(7, 13)
        wobble = 1 + 0.16 * np.sin(3 * np.arctan2(y - cy, x - cx) + self.rng.uniform(0, 6)) + 0.1 * np.sin(5 * np.arctan2(y - cy, x - cx))
        tumour = (((x - cx) / r) ** 2 + ((y - cy) / (0.8 * r)) ** 2 + ((z - 6) / 4) ** 2) < wobble
        dx, dy, s = self.rng.normal(0, 1.4), self.rng.normal(0, 1.4), self.rng.uniform(0.8, 1.15)
        auto = (((x - cx - dx) / (s * r)) ** 2 + ((y - cy - dy) / (0.8 * s * r)) ** 2 + ((z - 6) / 4) ** 2) < wobble**0.7
        image = 20.0 * limb + 60 * muscle - 40 * bone + tumour * (90 + 25 * np.sin(x / 2.5) * np.cos(y / 3)) + self.rng.normal(0, 9, limb.shape)
        write_volume(Volume(image.astype(np.float32), geometry), self.folder / "images" / f"{patient}.nii.gz")
        for name, region in (("masks", auto), ("given", tumour)):
            write_mask(Mask(region.astype(np.uint8), geometry), self.folder / name / f"{patient}.nii.gz")
        cases.append({"patient_id": patient, "split": split, "site": "Hospital A", "image": f"images/{patient}.nii.gz", "mask": f"masks/{patient}.nii.gz", "reference": f"given/{patient}.nii.gz"})
        return float(2 * (auto & tumour).sum() / (auto.sum() + tumour.sum()))


def _interval(value: float, half: float) -> dict[str, float]:
    return {"value": float(value), "low": float(max(0, value - half)), "high": float(min(1, value + half))}


def _scores(truth: np.ndarray, risk: np.ndarray) -> dict[str, object]:
    said = risk >= 0.42
    half = 1.0 / np.sqrt(len(truth))
    found = {"auc": roc_auc_score(truth, risk), "sensitivity": said[truth == 1].mean(), "specificity": 1 - said[truth == 0].mean(), "accuracy": (said == truth).mean()}
    found |= {"ppv": truth[said].mean() if said.any() else 0, "npv": 1 - truth[~said].mean() if (~said).any() else 0}
    return {k: _interval(v, half) for k, v in found.items()} | {"brier": _interval(brier_score_loss(truth, risk), 0.04), "average_precision": _interval(average_precision_score(truth, risk), half)}


def _curves(truth: np.ndarray, risk: np.ndarray) -> dict[str, object]:
    fpr, tpr, _ = roc_curve(truth, risk)
    order = np.array_split(np.argsort(risk), 5)
    predicted, observed = [risk[o].mean() for o in order], [truth[o].mean() for o in order]
    at = np.linspace(0.01, 0.99, 50)
    share = truth.mean()
    benefit = [((risk >= t) & (truth == 1)).mean() - ((risk >= t) & (truth == 0)).mean() * t / (1 - t) for t in at]
    grid = np.linspace(risk.min(), risk.max(), 40)
    smooth = np.polyval(np.polyfit(risk, truth, 2), grid).clip(0, 1)
    precision, recall, _ = precision_recall_curve(truth, risk)
    avoided = 100 * (np.array(benefit) - (share - (1 - share) * at / (1 - at))) * (1 - at) / at
    return {
        "roc": {"fpr": fpr, "tpr": tpr},
        "pr": {"recall": recall[-2::-1], "precision": precision[-2::-1]},
        "reduction": {"threshold": at, "avoided": avoided, "low": avoided - 9, "high": avoided + 9},
        "calibration": {"predicted": predicted, "observed": observed, "low": np.clip(np.array(observed) - 0.2, 0, 1), "high": np.clip(np.array(observed) + 0.2, 0, 1)}
        | {"smooth_x": grid, "smooth_y": smooth},
        "decision": {"threshold": at, "net_benefit": benefit, "treat_all": share - (1 - share) * at / (1 - at), "low": np.array(benefit) - 0.06, "high": np.array(benefit) + 0.06},
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything in it; read-only, its report is written."""
    from sarcofuse.report import write_report

    folder = RunWriter(tmp_path_factory.mktemp("finished")).write()
    write_report(folder)
    return folder


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """Writes a run of this test's own, without images."""
    return RunWriter(tmp_path / "run", images=0)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the curves and charts out, which take most of the time; overlays are drawn."""
    monkeypatch.setattr("sarcofuse.report.plotting.Studio.vector", lambda *_: Markup('<svg viewBox="0 0 1 1"></svg>'))
