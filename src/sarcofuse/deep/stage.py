"""The deep stage: a task a patient, each patient's pictures through the network by themselves, so that company does not change a bit."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.deep import DeepConfig, FineTuneConfig
from sarcofuse.config.yaml import parse_study
from sarcofuse.deep import ahead
from sarcofuse.deep.contact import pack_png, write_contact
from sarcofuse.deep.idle import drop_idle
from sarcofuse.deep.look import Source, load, make_scene, measure, show
from sarcofuse.deep.registry import backbone
from sarcofuse.deep.scene import Scene
from sarcofuse.deep.together import FEATURES, NOTES, PICTURE, fill, patients_a_batch, write_look
from sarcofuse.errors import ConfigError, MaskError
from sarcofuse.records import Case, FeatureTable, Mask, Patient, SetAside, Volume
from sarcofuse.runtime import Engine, Entry, Task, available_cores, digest, digest_file, read_json, single_thread, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "deep 3"
AHEAD = 4  # patients made ready at a time for a GPU
STAGE, IDLE = "deep", "idle.json"


def find_source(config: DeepConfig, weights: Path | None = None, encoder: Path | None = None) -> Source:
    """Find and verify what a configuration needs.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    Source
        Verified weights.

    Raises
    ------
    WeightsError
        If weights are absent or altered.
    ConfigError
        If the backbone is unknown, is the encoder and there is no segmenter, or needs onnxruntime and it is not installed.
    """
    from sarcofuse.deep.backbones import find_device
    from sarcofuse.deep.weights import find_weights, identity

    entry, device = backbone(config.backbone), find_device(config.device)
    if entry.origin == "study":
        from sarcofuse.deep.encoder import encoder_digest

        if encoder is None:
            message = f"deep.backbone {entry.name} is the encoder of the study's own segmentation network, and there is none; set segment.masks: model, or another backbone"
            raise ConfigError(message)
        return Source(encoder, encoder_digest(encoder), device)
    file = find_weights(entry, weights or config.weights)
    source = Source(file, identity(entry, file), device)
    if entry.origin == "user":
        load(config, source)
    return source


def extract(cases: Sequence[Case], config: DeepConfig, engine: Engine, *, weights: Path | None = None, encoder: Path | None = None) -> tuple[FeatureTable, list[SetAside]]:
    """Give the deep features of every case.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    table : FeatureTable
        Block ``deep``, in the order of the cases.
    set_aside : list of SetAside
        Cases without features, with reasons.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network.
    ConfigError
        If the backbone is unknown, or is the encoder and there is no segmenter.
    """
    table, aside, done = _extract_all(_tasks(cases, config, find_source(config, weights, encoder)), config, engine)
    _warn(_smaller_batches(done, config))
    return table, aside


def extract_for_study(
    cases: Sequence[Case], config: DeepConfig, engine: Engine, folder: Path, *, weights: Path | None = None, encoder: Path | None = None
) -> tuple[FeatureTable, list[SetAside], list[str]]:
    """Give the deep features of a study's cases, less those that cannot help; write what the network saw and what was dropped.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids; those of the split ``train`` alone decide what is dropped.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs and caches the work.
    folder : Path
        Where to write the contact sheets (`write_contact`) and ``idle.json``.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    table : FeatureTable
        Block ``deep``, in the order of the cases.
    set_aside : list of SetAside
        Cases without features, with reasons.
    notes : list of str
        What to tell of dropped features and of smaller batches.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network.
    ConfigError
        If the backbone is unknown, or is the encoder and there is no segmenter.
    """
    tasks = _tasks(cases, config, find_source(config, weights, encoder))
    table, aside, done = _extract_all(tasks, config, engine)
    training = {c.patient_id for c in cases if c.split == "train"}
    table, idle = drop_idle(table, [p for p in table.patient_ids if p in training])
    write_json({**idle.counts(), "names": {"dead": idle.dead, "constant": idle.constant, "duplicated": idle.duplicated}}, folder / IDLE)
    write_contact({entry.patient_id: entry.folder / PICTURE for entry in done}, folder)
    return table, aside, [note for note in (idle.note() if len(table.names) < idle.features else "", _smaller_batches(done, config)) if note]


def extract_many(
    patients: Sequence[Patient],
    backbone_name: str | None,
    settings: DeepConfig | Mapping[str, object] | None,
    engine: Engine,
    *,
    weights: Path | None = None,
    encoder: Path | None = None,
    contact: Path | None = None,
) -> tuple[FeatureTable, list[SetAside]]:
    """Give the deep features of many patients, straight from their files; parallel, and going on where it was stopped if the engine's cache is kept.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks; for features that fit those of a study, prepared as in that study.
    backbone_name : str or None
        Name in the registry; None for that of the settings.
    settings : DeepConfig, mapping or None
        Settings or their fields; None for the defaults.
    engine : Engine
        Runs the work, one task a patient.
    weights : Path, optional
        Weights file; overrides that of the settings.
    encoder : Path, optional
        Folder of a segmenter, for the backbone segresnet-encoder.
    contact : Path, optional
        Folder for contact sheets (`write_contact`): exactly what the network saw.

    Returns
    -------
    table : FeatureTable
        Block ``deep``: a row a patient that could be shown, in the order given.
    set_aside : list of SetAside
        Patients that could not, with reasons.

    Raises
    ------
    WeightsError
        If weights are absent, altered, or of another network.
    ConfigError
        If a setting is unknown or out of range.
    """
    config = read_config(backbone_name, settings)
    source, aside, cases = find_source(config, weights, encoder), list[SetAside](), list[Case]()
    for p in patients:
        absent = [f for f in (p.image, p.mask) if f is not None and not f.exists()]
        if p.image is None or p.mask is None or absent:
            aside.append(SetAside(p.patient_id, STAGE, f"{absent[0].name}: file does not exist" if absent else "has no image or no mask; expected a file each"))
        else:
            cases.append(Case(p.patient_id, p.split, p.site, p.image, p.mask, p.image, digest_file(p.image), digest_file(p.mask), "given"))
    table, failed, done = _extract_all(_tasks(cases, config, source), config, engine)
    _warn(_smaller_batches(done, config))
    if contact is not None:
        write_contact({entry.patient_id: entry.folder / PICTURE for entry in done}, contact)
    return table, aside + failed


def pictures(cases: Sequence[Case], config: DeepConfig, engine: Engine, *, weights: Path | None = None, encoder: Path | None = None) -> dict[str, Path]:
    """Give exactly what the network saw, slices side by side.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        Settings.
    engine : Engine
        Has the work of `extract` in its cache; what is not there is done.
    weights : Path, optional
        Weights file; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.

    Returns
    -------
    dict of str to Path
        PNG file (8 bit grey) by patient; 3D backbones have all planes of the box.
    """
    done, _ = engine.run(STAGE, _extract_case, _tasks(cases, config, find_source(config, weights, encoder)))
    return {entry.patient_id: entry.folder / PICTURE for entry in done}


def extract_deep(
    image: Volume | Path | str, mask: Mask | Path | str, backbone: str | None = None, settings: DeepConfig | Mapping[str, object] | None = None, *, encoder: Path | None = None, name: str | None = None
) -> FeatureTable:
    """Give the deep features of one case.

    Parameters
    ----------
    image : Volume or path
        The image, or its file (NIfTI, NRRD, MetaImage) or DICOM folder; for features that fit those of a study, prepared as in that study.
    mask : Mask or path
        The tumour, on the same grid.
    backbone : str, optional
        Name in the registry; by default that of the settings.
    settings : DeepConfig or mapping, optional
        Settings; the defaults without.
    encoder : Path, optional
        Folder of a segmenter, for the backbone segresnet-encoder.
    name : str, optional
        Label of the row; by default the image file's name without its ending, or ``case``.

    Returns
    -------
    FeatureTable
        Block ``deep``, one row.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    GeometryError
        If image and mask lie on different grids.
    MaskError
        If the mask is empty.
    ImageError
        If the image is not finite, or has several channels.
    CaseError
        If the network's answer is not finite, or memory does not suffice.
    WeightsError
        If weights are absent or altered.
    """
    from sarcofuse.imaging import read_mask, read_volume

    config = read_config(backbone, settings)
    label = name or ("case" if isinstance(image, Volume) else Path(image).name.split(".")[0])
    volume = image if isinstance(image, Volume) else read_volume(Path(image), label)
    region = mask if isinstance(mask, Mask) else read_mask(Path(mask), label)
    found = measure(label, volume, region, config, find_source(config, encoder=encoder))
    return _table(config.backbone, [label], [found.features])


def read_config(backbone_name: str | None, settings: DeepConfig | Mapping[str, object] | None) -> DeepConfig:
    """Make a configuration of a backbone's name and settings.

    Parameters
    ----------
    backbone_name : str or None
        Name in the registry; None for that of the settings.
    settings : DeepConfig, mapping or None
        Settings or their fields; None for the defaults.

    Returns
    -------
    DeepConfig
        The configuration.

    Raises
    ------
    ConfigError
        If the backbone or a setting is unknown, or out of range.
    """
    config = settings if isinstance(settings, DeepConfig) else parse_study({"deep": dict(settings or {})}, "settings").deep
    backbone(backbone_name or config.backbone)
    return config if backbone_name is None else config.model_copy(update={"backbone": backbone_name})


def _tasks(cases: Sequence[Case], config: DeepConfig, source: Source) -> list[Task]:
    settings = config.model_copy(update={"weights": None, "device": "auto", "head": "pool", "fine_tune": FineTuneConfig()})  # of no account to features as they came
    shared = (VERSION, settings, source.digest, source.device)
    return [Task(c.patient_id, digest(*shared, c.image_digest, c.mask_digest), (c.patient_id, c.image, c.mask, settings, source)) for c in cases]


def _extract_all(tasks: Sequence[Task], config: DeepConfig, engine: Engine) -> tuple[FeatureTable, list[SetAside], list[Entry]]:
    size = patients_a_batch(config, tasks[0].arguments[4].device) if tasks else 1
    if size > 1:
        fill(STAGE, tasks, tasks[0].arguments[3], engine, size)
    with single_thread():  # not in the tasks alone, as the next patient is made ready between them too
        done, aside = engine.run(STAGE, _extract_case, _with_next(tasks, engine))
    rows = [np.load(entry.folder / FEATURES, allow_pickle=False) for entry in done]
    return _table(config.backbone, [entry.patient_id for entry in done], rows), aside, done


def _with_next(tasks: Sequence[Task], engine: Engine) -> list[Task]:
    """Tell each task whom its worker will probably be given next, where a core is free to make that patient ready meanwhile; a GPU is quicker than a core, and has several at work for it."""
    workers = 1 if engine.scheduler == "serial" else engine.workers or available_cores()
    todo = [t for t in tasks if not (engine.cache / STAGE / t.key).is_dir()]
    free = available_cores() - workers
    depth = 0 if not todo else int(free > 0) if todo[0].arguments[4].device == "cpu" else min(AHEAD, max(1, free // workers))
    following = {t.key: tuple(n.arguments[:3] for n in todo[i + workers : i + workers * depth + 1 : workers] if n.arguments[2]) for i, t in enumerate(todo)}
    return [dataclasses.replace(t, arguments=(*t.arguments, following.get(t.key, ()))) for t in tasks]


def _smaller_batches(done: Sequence[Entry], config: DeepConfig) -> str:
    smaller = [read_json(entry.folder / NOTES)["batch"] for entry in done if (entry.folder / NOTES).exists()]
    if not smaller:
        return ""
    return f"memory did not suffice for deep.batch {config.batch} in {len(smaller)} of {len(done)} patients; down to {min(smaller)} pictures went through the network at a time"


def _warn(note: str) -> None:
    if note:
        warnings.warn(note, RuntimeWarning, stacklevel=3)


def _table(stem: str, patient_ids: Sequence[str], rows: Sequence[NDArray[np.float64]]) -> FeatureTable:
    count = len(rows[0]) if rows else 0
    return FeatureTable("deep", tuple(patient_ids), tuple(f"{stem}_{i:04d}" for i in range(1, count + 1)), np.array(rows, dtype=np.float64).reshape(len(rows), count))


def _extract_case(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source, following: Sequence[tuple[str, Path, Path]] = ()) -> None:
    """Write one patient's features and pictures (a task of the engine)."""
    if mask is None:
        message = "has no mask; expected one on the grid of the prepared image. Draw the tumour, or set segment.masks: model"
        raise MaskError(patient_id, message)
    scene, picture = ahead.take((image, mask, config, source), partial(_make_ready, patient_id, image, mask, config, source))
    for patient in following:
        ahead.start((*patient[1:], config, source), partial(_make_ready, *patient, config, source), kept=2 * len(following))
    found = show(patient_id, scene, config, source)
    halved = found.batch < min(config.batch, len(found.seen)) and backbone(config.backbone).dims == 2
    write_look(folder, found.features, picture, found.batch if halved else None)


def _make_ready(patient_id: str, image: Path, mask: Path, config: DeepConfig, source: Source) -> tuple[Scene, bytes]:
    """Do what is to be done before the network looks: give what it is shown, and that as a PNG file."""
    from sarcofuse.imaging import read_mask, read_volume

    scene = make_scene(patient_id, read_volume(image, patient_id), read_mask(mask, patient_id), config, source)
    return scene, pack_png(np.concatenate(list(scene.seen), axis=1))
