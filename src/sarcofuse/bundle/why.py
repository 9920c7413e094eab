"""Where the deep signature of a frozen study looks, in new patients' images."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.bundle.predict import Bundle, load_bundle
from sarcofuse.errors import BundleError, CaseError, StageError
from sarcofuse.records import Case, FeatureTable, Patient, SetAside, Volume
from sarcofuse.runtime import Engine, read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.deep.cam import Method, Wanted
    from sarcofuse.deep.why import Formula
    from sarcofuse.models import FittedModel

    Floats = NDArray[np.float64]

DEEP = "deep"
TOLERANCE = 1e-6  # of a signature's value, within which it must be what its linear form says


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Where the deep signature of one patient comes from.

    Attributes
    ----------
    patient_id : str
        Whom it concerns.
    signature, base : float
        The deep signature (linear predictor), and its value for features as the mean training patient's; where networks learnt the outcome, for slices that are all like the mean one.
    map : Volume
        On the grid of the image as it came. But for ``gradcam`` each voxel's part of the signature: they add up to ``signature - base`` less what lies beyond the image.
    record : dict
        Figures as in ``explain.json``: ``method``, ``agreement``, ``beyond``, ``sanity`` and ``pictures``; see `sarcofuse.deep.Why`.
    """

    patient_id: str
    signature: float
    base: float
    map: Volume
    record: dict[str, Any]


def deep_formulas(models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], patient_ids: Sequence[str]) -> dict[str, Formula]:
    """Give the deep signature as a formula in the deep features, for each patient (where it harmonises by site, the formula differs by site).

    Parameters
    ----------
    models : sequence of FittedModel
        Frozen models; the first that reads deep features is taken, for all share one deep signature.
    tables : mapping of str to FeatureTable
        With the models' columns of the block ``deep``.
    patient_ids : sequence of str
        Whom.

    Returns
    -------
    dict of str to Formula
        By patient.

    Raises
    ------
    BundleError
        If no model reads deep features.
    StageError
        If the signature is not linear in them.
    """
    signature, names, rows = _signature(models, tables, patient_ids)
    return {p: _formula(signature, names, row) for p, row in zip(patient_ids, rows, strict=True)}


def deep_signatures(models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], patient_ids: Sequence[str]) -> dict[str, float]:
    """Give the deep signature of patients.

    Parameters
    ----------
    models, tables, patient_ids : object
        As in `deep_formulas`.

    Returns
    -------
    dict of str to float
        Linear predictor by patient.

    Raises
    ------
    BundleError
        If no model reads deep features.
    """
    signature, _, rows = _signature(models, tables, patient_ids)
    return dict(zip(patient_ids, map(float, signature.transform(rows)[:, 0]), strict=True))


def _signature(models: Sequence[FittedModel], tables: Mapping[str, FeatureTable], patient_ids: Sequence[str]) -> tuple[Any, tuple[str, ...], Floats]:
    """Give the fitted deep signature, the names of its columns, and the patients' rows of them."""
    chosen = next((m for m in models if DEEP in m.blocks), None)
    if chosen is None:
        message = "none of the models reads deep features, so there is nothing to explain; expected a study whose models read the block deep"
        raise BundleError(message)
    estimator: Any = chosen.estimator
    names, table = chosen.blocks[DEEP], tables[DEEP]
    place = {n: i for i, n in enumerate(table.names)}
    return estimator.signatures[list(chosen.blocks).index(DEEP)], names, table.rows(list(patient_ids))[:, [place[n] for n in names]]


def _formula(signature: Any, names: Sequence[str], row: Floats) -> Formula:  # noqa: ANN401 - any signature
    """Read weights off a signature by changing one feature at a time around one patient."""
    from sarcofuse.deep.why import Formula

    design = int(getattr(signature, "design", 0))
    used = len(names) - design
    centre = np.where(np.isfinite(signature.mean_), signature.mean_, row)[:used]
    middle = np.concatenate([centre, row[used:]])
    steps = np.where(np.isfinite(signature.scale_[:used]) & (np.nan_to_num(signature.scale_[:used]) > 0), signature.scale_[:used], 1.0)
    moved = np.tile(middle, (used, 1))
    moved[np.arange(used), np.arange(used)] += steps
    values = signature.transform(np.vstack([middle, row, moved]))[:, 0]
    weights = (values[2:] - values[0]) / steps
    told = values[0] + weights @ (np.where(np.isfinite(row[:used]), row[:used], centre) - centre)
    if not abs(told - values[1]) <= TOLERANCE * (1.0 + abs(values[1])):
        message = f"the deep signature is not linear in its features: it says {values[1]:.6g} where its linear form says {told:.6g}; maps can be had of linear signatures alone"
        raise StageError(message)
    least = 1e-12 * float(np.abs(weights * steps).max(initial=0.0))
    return Formula(float(values[0]), {n: (float(w), float(c)) for n, w, c, s in zip(names, weights, centre, steps, strict=False) if abs(w * s) > least})


def explain_patients(
    bundle: Bundle, patients: Sequence[Patient], out: Path | None = None, *, engine: Engine | None = None, given_masks: bool | None = None, method: Wanted = "auto"
) -> tuple[list[Explanation], list[SetAside]]:
    """Map where the deep signature of new patients comes from.

    Parameters
    ----------
    bundle : Bundle
        A frozen study whose models read deep features.
    patients : sequence of Patient
        New patients.
    out : Path, optional
        Folder for ``<patient>_map.nii.gz`` on each image's own grid, ``<patient>_map.png`` and ``explain.json``.
    engine : Engine, optional
        Runs and caches the work; by default serially, in a temporary folder.
    given_masks : bool, optional
        As in `Bundle.predict`.
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        ``exact``: each voxel's part of the signature; ``integrated``: its part by integrated gradients, for heads that are not linear; ``auto``: the one of the two that fits;
        ``gradcam``: Grad-CAM by the book. See `sarcofuse.deep.cam.choose_method` and `sarcofuse.deep.cam.cell_maps`. Of networks that learnt the outcome the mean is mapped.

    Returns
    -------
    explanations : list of Explanation
        In the order of the patients.
    set_aside : list of SetAside
        Patients that could not be explained, with reasons.

    Raises
    ------
    BundleError
        If the bundle has no imaging half, or none of its models reads deep features.
    ConfigError
        If an exact map is asked of a head that is not linear.
    """
    from sarcofuse.deep.cam import choose_method
    from sarcofuse.imaging import write_volume

    if not bundle.manifest.imaging or DEEP not in bundle.manifest.columns:
        message = f"bundle {bundle.folder.name} has no deep features taken from images, so there is nothing to map; expected the bundle of a study that ran on images with deep features"
        raise BundleError(message)
    how = choose_method(bundle.manifest.deep, method)
    use = bundle.manifest.segment.masks != "model" if given_masks is None else given_masks
    with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room:
        own = engine or Engine(Path(room), scheduler="serial")
        tables, cases, aside = bundle._features(patients if use else [dataclasses.replace(p, mask=None) for p in patients], own)
        found, failed = _explain(bundle, patients, tables, cases, own, how)
        for explanation, folder in found:
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                write_volume(explanation.map, out / f"{explanation.patient_id}_map.nii.gz")
                (out / f"{explanation.patient_id}_map.png").write_bytes((folder / "map.png").read_bytes())
    if out is not None and found:
        write_json([{"patient_id": e.patient_id, **e.record} for e, _ in found], out / "explain.json")
    return [e for e, _ in found], aside + failed


def _explain(
    bundle: Bundle, patients: Sequence[Patient], tables: Mapping[str, FeatureTable], cases: Sequence[Case], engine: Engine, method: Method
) -> tuple[list[tuple[Explanation, Path]], list[SetAside]]:
    from sarcofuse.deep.places import to_native
    from sarcofuse.deep.why import MAP, RECORD
    from sarcofuse.imaging import read_geometry, read_volume

    known = [c for c in cases if DEEP in tables and c.patient_id in set(tables[DEEP].patient_ids)]
    if not known:
        return [], []
    folders, failed = _maps(bundle, patients, tables, known, engine, method)
    found = []
    for case in known:
        if case.patient_id in folders:
            folder = folders[case.patient_id]
            record = read_json(folder / RECORD) | ({"prompted": case.prompted} if case.prompted else {})
            native = to_native(read_volume(folder / MAP), read_geometry(case.native_image, case.patient_id), whole=method != "gradcam")
            found.append((Explanation(case.patient_id, record["risk"], record["base"], native, record), folder))
    return found, failed


def _maps(
    bundle: Bundle, patients: Sequence[Patient], tables: Mapping[str, FeatureTable], known: Sequence[Case], engine: Engine, method: Method
) -> tuple[dict[str, Path], list[SetAside]]:
    """Make the maps, by patient a folder."""
    from sarcofuse.deep import explain_cases, explain_tuned_cases

    manifest, segmenter = bundle.manifest, bundle.folder / "segmenter"
    weights = None if manifest.weights is None else bundle.folder / manifest.weights
    encoder = segmenter if segmenter.is_dir() else None
    if manifest.networks is not None:
        return explain_tuned_cases(known, manifest.deep, bundle.folder / manifest.networks, engine, weights=weights, encoder=encoder, method=method)
    served = [p for p in patients if p.patient_id in {c.patient_id for c in known}]
    tables = bundle._with_sites({DEEP: tables[DEEP]}, served)
    item = next(m for m in (manifest.primary, *manifest.models) if DEEP in m.blocks)
    formulas = deep_formulas([bundle.model(item)], tables, [c.patient_id for c in known])
    return explain_cases(known, manifest.deep, formulas, engine, weights=weights, encoder=encoder, method=method)


def explain_deep(
    bundle: Bundle | Path | str, image: Path | str, mask: Path | str | None = None, *, out: Path | str | None = None, method: Wanted = "auto", name: str | None = None
) -> Explanation:
    """Map where the deep signature of one image comes from.

    Parameters
    ----------
    bundle : Bundle or path
        A frozen study whose models read deep features, or its folder.
    image : path
        NIfTI, NRRD or MetaImage file, or DICOM folder.
    mask : path, optional
        The tumour's mask; without it the bundle's networks draw one.
    out : path, optional
        Folder for map, picture and figures, as in `explain_patients`.
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        As in `explain_patients`.
    name : str, optional
        Label of the case; by default the image file's name without its ending.

    Returns
    -------
    Explanation
        Map and figures.

    Raises
    ------
    BundleError
        If the bundle has no deep features taken from images.
    ConfigError
        If an exact map is asked of a head that is not linear.
    CaseError
        If the image or its mask cannot be used.
    """
    frozen = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    label = name or Path(image).name.split(".")[0]
    patient = Patient(patient_id=label, split="external", site="", image=Path(image), mask=None if mask is None else Path(mask))
    found, aside = explain_patients(frozen, [patient], None if out is None else Path(out), given_masks=True if mask is not None else None, method=method)
    if aside:
        raise CaseError(label, aside[0].reason)
    return found[0]
