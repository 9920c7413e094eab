"""Whose deep signature the report explains, and by what maps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sarcofuse.config import DeepConfig
from sarcofuse.errors import StageError
from sarcofuse.records import Case, FeatureTable
from sarcofuse.runtime import Engine, read_json, write_json

if TYPE_CHECKING:
    from sarcofuse.deep import FineTuner
    from sarcofuse.models import FittedModel


def map_extremes(
    cases: Sequence[Case], models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], config: DeepConfig, engine: Engine, folder: Path, *, count: int, files: tuple[Path | None, Path | None]
) -> str:
    """Map the deep signature of the patients in whom it is highest and lowest; write ``why.json`` and ``why/``.

    Patients of the test splits are taken where there are any: the signature has not learned from them. No outcome is looked at.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks.
    models : sequence of FittedModel
        The frozen models; without one that reads deep features nothing is done.
    tables : mapping of str to FeatureTable
        Features as the models read them.
    config : DeepConfig
        The settings that deep features were taken with.
    engine : Engine
        Runs and caches the work.
    folder : Path
        Where to write.
    count : int
        How many patients at most.
    files : (Path or None, Path or None)
        Weights file, and folder of the segmenter.

    Returns
    -------
    str
        Why there are no maps, where that must be told; else empty.
    """
    from sarcofuse.bundle import deep_formulas, deep_signatures
    from sarcofuse.deep import explain_cases

    if not count or not any("deep" in m.blocks for m in models):
        return ""
    unseen = _unseen(cases, tables["deep"])
    chosen = _extremes(unseen, deep_signatures(models, tables, [c.patient_id for c in unseen]), count)
    try:
        formulas = deep_formulas(models, tables, [c.patient_id for c in chosen])
    except StageError as error:
        return f"no maps of the deep signature: {error}"
    done, _ = explain_cases(chosen, config, formulas, engine, weights=files[0], encoder=files[1])
    _write(chosen, done, folder)
    return ""


def map_tuned_extremes(
    cases: Sequence[Case], table: FeatureTable, tuner: FineTuner, folder: Path, *, count: int, networks: Path, unseen: Mapping[str, Path], files: tuple[Path | None, Path | None]
) -> None:
    """Map the deep signature that networks learnt, of the patients in whom it is highest and lowest; write ``why.json`` and ``why/``.

    A training patient's map is that of the one network that did not learn from them, as their signature is; others get the mean over all networks.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks.
    table : FeatureTable
        Block ``deep``, whose first column is the signature.
    tuner : FineTuner
        Whose networks they are.
    folder : Path
        Where to write.
    count : int
        How many patients at most.
    networks : Path
        Folder of the networks that serve new patients.
    unseen : mapping of str to Path
        By training patient the folder of the network that did not learn from them.
    files : (Path or None, Path or None)
        Weights file, and folder of the segmenter.
    """
    from sarcofuse.deep import explain_tuned_cases

    if not count:
        return
    known = _unseen(cases, table)
    values = dict(zip((c.patient_id for c in known), map(float, table.rows([c.patient_id for c in known])[:, 0]), strict=True))
    chosen = _extremes(known, values, count)
    every = sorted(p for p in networks.iterdir() if p.is_dir())
    asked = {c.patient_id: [unseen[c.patient_id]] if c.patient_id in unseen else every for c in chosen}
    done, _ = explain_tuned_cases(chosen, tuner.config, asked, tuner.engine, weights=files[0], encoder=files[1])
    _write(chosen, done, folder)


def _unseen(cases: Sequence[Case], table: FeatureTable) -> list[Case]:
    """Give the patients with deep features, of the test splits if there are any there."""
    there = set(table.patient_ids)
    known = [c for c in cases if c.patient_id in there]
    return [c for c in known if c.split != "train"] or known


def _extremes(cases: Sequence[Case], values: Mapping[str, float], count: int) -> list[Case]:
    """Choose those of the highest and lowest values, the highest first."""
    ordered = sorted(cases, key=lambda c: (-values[c.patient_id], c.patient_id))
    return ordered if len(ordered) <= count else [*ordered[: (count + 1) // 2], *ordered[len(ordered) - count // 2 :]]


def _write(chosen: Sequence[Case], done: Mapping[str, Path], folder: Path) -> None:
    shutil.rmtree(folder / "why", ignore_errors=True)
    (folder / "why").mkdir(parents=True)
    rows = []
    for number, case in enumerate((c for c in chosen if c.patient_id in done), 1):
        picture = f"why/{number:02d}.png"
        shutil.copyfile(done[case.patient_id] / "map.png", folder / picture)
        rows.append({"patient_id": case.patient_id, "split": case.split, "picture": picture, **read_json(done[case.patient_id] / "why.json")})
    write_json({"format": 1, "method": rows[0]["method"] if rows else "exact", "patients": rows}, folder / "why.json")
