"""Automatic masks against the given ones: overlap, surfaces, volume, lesions, and the Dice that was predicted; by split, size, site and scanner."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.evaluation.groups import Floats, estimate
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.metrics.agreement import Agreement, bland_altman
from sarcofuse.metrics.operating import wilson_interval
from sarcofuse.metrics.roc import Estimate
from sarcofuse.records import SPLITS, MaskQuality, Patient
from sarcofuse.runtime import plain, single_thread

_COLUMNS = ("size", "site", "scanner")
_MEANS = {"dice": "dice", "surface_dice": "surface_dice", "hd95_mm": "surface_mm", "assd_mm": "assd_mm"}
_PARTS = 3
_MOST = 20


@dataclass(frozen=True, slots=True)
class _Measured:
    """Masks of one group that can be measured, and the bootstrap samples of them."""

    quality: tuple[MaskQuality, ...]
    sampling: Sampling
    weights: Floats

    @classmethod
    def of(cls, quality: Sequence[MaskQuality], config: EvaluationConfig, seed: list[int]) -> _Measured:
        ordered = tuple(sorted(quality, key=lambda q: q.patient_id))
        sampling = Sampling(np.zeros(len(ordered), dtype=np.int64), config, seed)
        return cls(ordered, sampling, np.concatenate(list(sampling.batches())))

    def values(self, name: str) -> Floats:
        """Give one field of all masks; NaN where it is not known."""
        found = [getattr(q, name) for q in self.quality]
        return np.array([np.nan if v is None else float(v) for v in found])

    def ratio(self, above: Floats, below: Floats) -> Estimate:
        """Give the ratio of two sums over patients, with its interval; a mean where `below` is 1."""
        known = np.isfinite(above) & np.isfinite(below)
        top, bottom, weights = above[known], below[known], self.weights[:, known]
        if not bottom.sum() > 0:
            return Estimate(float("nan"), float("nan"), float("nan"))
        sums = weights @ bottom
        rows = np.divide(weights @ top, sums, out=np.full(len(sums), np.nan), where=sums > 0)
        return self.sampling.estimate(float(top.sum() / bottom.sum()), rows)


def mask_figures(
    quality: Sequence[MaskQuality], patients: Sequence[Patient], config: EvaluationConfig, seed: int, *, missed: Sequence[str] = (), scanners: Mapping[str, str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Measure automatic masks where there are given ones.

    Parameters
    ----------
    quality : sequence of MaskQuality
        All automatic masks, in any order.
    patients : sequence of Patient
        For their sites.
    config : EvaluationConfig
        Samples, kind and coverage of the intervals.
    seed : int
        Seed of the bootstrap over patients.
    missed : sequence of str
        Patients with a given mask for whom no automatic one was found: they have no Dice and no lesions here, and are only counted.
    scanners : mapping of str to str, optional
        Scanner by patient, where it is known.

    Returns
    -------
    dict
        Lists of metrics.json: ``segmentation`` (a row a split), ``segmentation_groups`` (a group of a column on a split) and ``predicted_dice`` (a split).
    """
    known = sorted((q for q in quality if q.dice is not None), key=lambda q: q.patient_id)
    split_of = {p.patient_id: p.split for p in patients}
    without = {s: sum(split_of.get(p) == s for p in missed) for s in SPLITS}
    places = {"site": {p.patient_id: p.site for p in patients}, "scanner": dict(scanners or {})}
    found: dict[str, list[dict[str, Any]]] = {"segmentation": [], "segmentation_groups": [], "predicted_dice": []}
    sizes = _sizes([q.truth_ml for q in known if q.split == "train" and q.truth_ml is not None])
    training = [float(q.dice) for q in known if q.split == "train" and q.dice is not None]
    with single_thread():
        for split in SPLITS:
            mine = [q for q in known if q.split == split]
            if not mine:
                continue
            measured = _Measured.of(mine, config, [seed, zlib.crc32(split.encode())])
            found["segmentation"].append({"split": split, **_row(measured, config), "missed": without[split]})
            found["predicted_dice"] += _predicted(measured, split, training)
            for column in _COLUMNS:
                for label, part in (_by_size(mine, sizes) if column == "size" else _by_place(mine, places[column])).items():
                    sample = _Measured.of(part, config, [seed, zlib.crc32(f"{split} {column} {label}".encode())])
                    found["segmentation_groups"].append({"split": split, "column": column, "group": label, **_row(sample, config)})
    return plain(found)  # type: ignore[return-value]


def _row(measured: _Measured, config: EvaluationConfig) -> dict[str, Any]:
    dice = measured.values("dice")
    row: dict[str, Any] = {"patients": len(measured.quality), "dice_mean": float(dice.mean()), "dice_median": float(np.median(dice))}
    for name, source in _MEANS.items():
        values = measured.values(source)
        middle = float(np.nanmedian(values)) if np.isfinite(values).any() else None
        row[name] = {**estimate(measured.ratio(values, np.ones(len(values)))), "median": middle}
    return {**row, **_volumes(measured, config), "detection": _detection(measured, config)}


def _volumes(measured: _Measured, config: EvaluationConfig) -> dict[str, Any]:
    """Give Bland and Altman's bias and limits: of the volumes in ml, and of their ratio, for errors grow with volumes."""
    drawn, given = measured.values("volume_ml"), measured.values("truth_ml")
    real = (drawn > 0) & (given > 0)
    ratio = bland_altman(np.log(drawn[real]), np.log(given[real]), config.confidence)
    return {"volume_ml": _limits(bland_altman(drawn[real], given[real], config.confidence), lambda v: v), "volume_ratio": _limits(ratio, np.exp)}


def _limits(found: Agreement, back: Any) -> dict[str, dict[str, float]]:  # noqa: ANN401 - any function of a number
    parts = {"bias": found.bias, "lower": found.lower, "upper": found.upper}
    return {name: {k: float(back(v)) for k, v in estimate(e).items()} for name, e in parts.items()}


def _detection(measured: _Measured, config: EvaluationConfig) -> dict[str, Any] | None:
    lesions, hit, false = (measured.values(name) for name in ("lesions", "lesions_found", "lesions_false"))
    if not np.nansum(lesions):
        return None
    sensitivity = measured.ratio(hit, lesions)
    if sensitivity.value in (0.0, 1.0):
        sensitivity = wilson_interval(sensitivity.value, int(np.nansum(lesions)), config.confidence)
    counts = {name: int(np.nansum(v)) for name, v in (("lesions", lesions), ("found", hit), ("false", false))}
    return {**counts, "sensitivity": estimate(sensitivity), "false_per_patient": estimate(measured.ratio(false, np.ones(len(false))))}


def _predicted(measured: _Measured, split: str, training: Sequence[float]) -> list[dict[str, Any]]:
    """Compare predicted with true Dice, beside the training patients' mean Dice as everybody's prediction (for each of themselves, the mean of the others)."""
    dice, said = measured.values("dice"), measured.values("predicted_dice")
    there = np.isfinite(said)
    if not there.any() or len(training) < 2:
        return []
    constant = (sum(training) - dice) / (len(training) - 1) if split == "train" else np.full(len(dice), np.mean(training))
    one, both = np.where(there, 1.0, np.nan), there.sum() > 2 and min(np.ptp(dice[there]), np.ptp(said[there])) > 0
    low, high, flagged = measured.values("predicted_low"), measured.values("predicted_high"), measured.values("review") > 0
    figures = {"mae": np.abs(said - dice), "constant_mae": np.where(there, np.abs(constant - dice), np.nan), "bias": said - dice}
    row: dict[str, Any] = {"split": split, "patients": int(there.sum()), **{name: estimate(measured.ratio(v, one)) for name, v in figures.items()}}
    row["correlation"] = float(np.corrcoef(dice[there], said[there])[0, 1]) if both else None
    row["within_interval"] = float(((low <= dice) & (dice <= high))[there].mean())
    row["review"] = int(flagged.sum())
    row["review_dice_mean"] = float(dice[flagged].mean()) if flagged.any() else None
    row["other_dice_mean"] = float(dice[there & ~flagged].mean()) if (there & ~flagged).any() else None
    return [row]


def _sizes(volumes: Sequence[float]) -> tuple[float, ...]:
    """Give the cuts between thirds of the training tumours, in ml; none where there are too few to part."""
    cuts = tuple(float(c) for c in np.unique(np.quantile(volumes, [1 / 3, 2 / 3]))) if len(volumes) >= _PARTS else ()
    return cuts if len(cuts) == _PARTS - 1 else ()


def _by_size(quality: Sequence[MaskQuality], sizes: tuple[float, ...]) -> dict[str, list[MaskQuality]]:
    if not sizes:
        return {}
    names = [f"up to {sizes[0]:.3g} ml", f"{sizes[0]:.3g} to {sizes[1]:.3g} ml", f"above {sizes[1]:.3g} ml"]
    found: dict[str, list[MaskQuality]] = {name: [] for name in names}
    for q in quality:
        if q.truth_ml is not None:
            found[names[int(np.searchsorted(sizes, q.truth_ml, side="left"))]].append(q)
    return {name: part for name, part in found.items() if part}


def _by_place(quality: Sequence[MaskQuality], places: Mapping[str, str]) -> dict[str, list[MaskQuality]]:
    """Deal masks out by site or scanner; nothing where that is not known, or every patient has another."""
    found: dict[str, list[MaskQuality]] = {}
    for q in sorted(quality, key=lambda q: (places.get(q.patient_id, ""), q.patient_id)):
        found.setdefault(places.get(q.patient_id, "") or "missing", []).append(q)
    return {} if len(found) > _MOST or set(found) == {"missing"} else found
