"""Maps of the deep signature of networks that learnt the outcome: the mean over the networks asked, through head and pooling down to the maps that the head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.bags import fill_bag, find_base
from sarcofuse.deep.cam import Method, SliceHead, Wanted, cell_maps, choose_method, pool_rows, to_pixels
from sarcofuse.deep.crops import check_drawn
from sarcofuse.deep.judged import Drawn, Why, judge
from sarcofuse.deep.kept import kept_networks
from sarcofuse.deep.look import Source, torch_ready
from sarcofuse.deep.shown import Shown, show, shuffled
from sarcofuse.deep.stage import find_source
from sarcofuse.deep.why import keep, read_drawn
from sarcofuse.records import Case, Mask, SetAside, Volume
from sarcofuse.runtime import Engine, Task, digest, digest_file, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sarcofuse.deep.heads import Head

VERSION, STAGE = "why of networks that learnt 1", "why"


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    """One network: what makes maps, the head that reads them, and its notes."""

    network: Any
    head: Head
    centre: float
    temperature: float


def explain_tuned(image: Volume, mask: Mask, config: DeepConfig, source: Source, networks: Sequence[Path], *, method: Wanted = "auto", seed: int = 0) -> Why:
    """Say where in an image the deep signature of networks that learnt the outcome comes from.

    Parameters
    ----------
    image : Volume
        The prepared image, finite.
    mask : Mask
        The tumour on the same grid.
    config : DeepConfig
        The settings that the networks learnt with.
    source : Source
        Verified weights of the backbone.
    networks : sequence of Path
        Folders of the networks asked, whose mean the signature is; of a training patient the one that did not learn from them.
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        See `sarcofuse.deep.cam.choose_method`, `sarcofuse.deep.parts.head_parts` and `sarcofuse.deep.cam.cell_maps`.
    seed : int
        Seed of the shuffled weights, of backbone and head.

    Returns
    -------
    Why
        Map and figures.

    Raises
    ------
    MaskError
        If the mask is empty.
    ConfigError
        If an exact map is asked of a head that is not linear.
    WeightsError
        If a network's file cannot be read, or is of another network or head.
    """
    from sarcofuse.deep.tuned import NETWORK, NOTES, load_tuned, ready_to_learn, score

    check_drawn(mask)
    how, bag, base = choose_method(config, method), fill_bag(image, mask, config, source)[0], find_base(config, source)
    risk, members = float(np.mean([score(place, config, source, [bag])[0] for place in networks])), list[_Member]()
    for place in networks:
        notes = read_json(place / NOTES)
        with ready_to_learn([0]):
            tuned = load_tuned(place, digest_file(place / NETWORK), config, source, bag.tokens.shape[1])
        members.append(_Member(tuned.network or base.network, tuned.head, float(notes["centre"]), float(notes["temperature"])))
    with torch_ready():
        shown = show(image, mask, config, source.device, base.spacing, base.multiples)
        drawn = _draw(shown, members, config, bag.areas, how, risk)
        shuffle = _shuffle(members, seed)
        other = None if shuffle is None else _draw(shown, shuffle, config, bag.areas, how, risk)
    return judge(drawn, other, shown, image.geometry, how, len(members))


def _draw(shown: Shown, members: Sequence[_Member], config: DeepConfig, areas: NDArray[np.float32], method: Method, risk: float) -> Drawn:
    """Map each network's logit, as its temperature and centre have it; give the mean."""
    from sarcofuse.deep.parts import head_parts

    regions, count = shown.regions(config.pooling), len(members)
    layers: list[list[NDArray[np.float64]]] = [[] for _ in shown.tumour]
    bases, attention, last, maps = list[float](), list[Any](), None, list[Any]()
    for member in members:
        if member.network is not last:  # a probe's networks share their maps
            last, maps = member.network, shown.maps(member.network, config.layer)
        parts = head_parts(member.head, pool_rows(maps, regions, config.pooling), areas, method)
        bases.append((parts.base - member.centre) / member.temperature)
        head = SliceHead(parts.weights / (member.temperature * count), parts.centre, bases[-1] / count, config.pooling, regions)
        for own, cells in zip(layers, cell_maps(maps, head, method)[1], strict=True):
            own.extend(cells)
        attention.append(parts.attention)
    pictures = [to_pixels(own, t.shape, method) for own, t in zip(layers, shown.tumour, strict=True)]
    return Drawn(risk, float(np.mean(bases)), pictures, None if attention[0] is None else np.mean(attention, axis=0))


def _shuffle(members: Sequence[_Member], seed: int) -> list[_Member] | None:
    """Shuffle the weights of backbones and heads; None where those of the backbone are not open to us."""
    others: dict[int, Any] = {}
    for member in members:
        if id(member.network) not in others:
            others[id(member.network)] = shuffled(member.network, seed)
    if any(o is None for o in others.values()):
        return None
    return [_Member(others[id(m.network)], shuffled(m.head, seed), m.centre, m.temperature) for m in members]


def explain_tuned_cases(
    cases: Sequence[Case],
    config: DeepConfig,
    networks: Path | Mapping[str, Sequence[Path]],
    engine: Engine,
    *,
    weights: Path | None = None,
    encoder: Path | None = None,
    method: Wanted = "auto",
    seed: int = 0,
) -> tuple[dict[str, Path], list[SetAside]]:
    """Explain patients: maps, pictures and figures in the engine's cache.

    Parameters
    ----------
    cases : sequence of Case
        Prepared images with masks on their grids.
    config : DeepConfig
        The settings that the networks learnt with.
    networks : Path or mapping of str to sequence of Path
        Folder of networks as `sarcofuse.deep.FineTuner.keep` wrote it, all of which are asked; or by patient the folders of those that are.
    engine : Engine
        Runs and caches the work, one task a patient.
    weights : Path, optional
        Weights file of the backbone; overrides ``config.weights``.
    encoder : Path, optional
        Folder of the study's segmenter, for the backbone segresnet-encoder.
    method : {'auto', 'exact', 'integrated', 'gradcam'}
        As in `explain_tuned`.
    seed : int
        Seed of the shuffled weights.

    Returns
    -------
    folders : dict of str to Path
        By patient a folder with ``map.nii.gz`` on the prepared grid, ``map.png`` and ``why.json``.
    set_aside : list of SetAside
        Patients that could not be explained, with reasons.

    Raises
    ------
    ConfigError
        If an exact map is asked of a head that is not linear.
    WeightsError
        If the backbone's weights are absent, altered, or not those that the networks started from.
    """
    how, source = choose_method(config, method), find_source(config, weights, encoder)
    settings = config.model_copy(update={"weights": None, "device": "auto", "batch": 1})
    every = kept_networks(networks, config.backbone, source) if isinstance(networks, Path) else []
    whom = {c.patient_id: every if isinstance(networks, Path) else list(networks[c.patient_id]) for c in cases}
    content = {place: digest_file(place) for places in whom.values() for place in places}
    tasks = []
    for c in cases:
        places = whom[c.patient_id]
        key = digest(VERSION, settings, source.digest, source.device, [content[p] for p in places], how, seed, c.image_digest, c.mask_digest)
        tasks.append(Task(c.patient_id, key, (c.patient_id, c.image, c.mask, settings, source, tuple(places), (how, seed))))
    done, aside = engine.run(STAGE, _explain_case, tasks)
    return {entry.patient_id: entry.folder for entry in done}, aside


def _explain_case(folder: Path, patient_id: str, image: Path, mask: Path | None, config: DeepConfig, source: Source, networks: Sequence[Path], how: tuple[Wanted, int]) -> None:
    """Write one patient's map, picture and figures (a task of the engine)."""
    volume, region = read_drawn(patient_id, image, mask)
    keep(folder, explain_tuned(volume, region, config, source, networks, method=how[0], seed=how[1]))
