"""Training patients with an image and no mask: a second round of training on masks that each fold's own network draws of them.

A network's masks of such patients tell of the masks that it learned from. Therefore the masks drawn by the network of a fold teach only the second network of that very
fold: nothing of its held-out patients comes in, as nothing did in the first round. Patients without a mask belong to folds themselves, and no network learns
from those it is to draw out-of-fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.segment import SegmentConfig
from sarcofuse.errors import StageError
from sarcofuse.records import Case
from sarcofuse.runtime import Engine, Task, atomic_file, digest, read_json, single_thread, write_json
from sarcofuse.segment.plan import Plan, read_plan

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

VERSION = 1
VISITS, RATE = 0.5, 0.5
"""Volumes that a network sees in the second round, and its peak learning rate, as shares of the first round's."""
PSEUDO = "pseudo.json"


@dataclass(frozen=True, slots=True)
class FirstRound:
    """What the first round left.

    Attributes
    ----------
    planned : Path
        Folder of the plan.
    networks : tuple of Path
        Folders with the weights of each fold.
    arrays : mapping of str to Path
        Folders with case.npz of the patients with a mask.
    folds : mapping of str to int
        The fold that each patient, with or without a mask, is held out in.
    """

    planned: Path
    networks: tuple[Path, ...]
    arrays: Mapping[str, Path]
    folds: Mapping[str, int]


def second_round(unlabelled: Sequence[Case], first: FirstRound, config: SegmentConfig, engine: Engine) -> tuple[list[Path], str]:
    """Let each network learn on, from masks that it drew itself where its flips agree.

    Parameters
    ----------
    unlabelled : sequence of Case
        Training patients without a mask.
    first : FirstRound
        The first round.
    config : SegmentConfig
        ``unlabelled_agreement`` counts here.
    engine : Engine
        Runs and caches the work.

    Returns
    -------
    networks : list of Path
        Folders of each fold's network: a new one, or that of the first round where no mask could be trusted.
    told : str
        How many masks were learned from.

    Raises
    ------
    StageError
        If a training fails.
    """
    plan = read_plan(first.planned / "plan.json")
    drawn = _draw(sorted(unlabelled, key=lambda c: c.patient_id), first, plan, engine)
    networks, tasks, used = list(first.networks), {}, []
    for fold, network in enumerate(first.networks):
        others = {p: a for p, a in drawn[fold].items() if first.folds[p] != fold}
        trusted = {p: a for p, a in others.items() if read_json(a / PSEUDO)["agreement"] >= config.unlabelled_agreement}
        used.append(len(trusted))
        if not trusted:
            continue
        labelled, held_out = ({p: a for p, a in sorted(first.arrays.items()) if (first.folds[p] == fold) is out} for out in (False, True))
        told = {"images": len(others), "used": len(trusted), "agreement": config.unlabelled_agreement}
        content = [[[p, a.name] for p, a in group.items()] for group in (labelled, trusted, held_out)]
        key = digest("segment-second", VERSION, asdict(second_plan(plan, len(labelled), len(trusted))), fold, network.name, content, told)
        tasks[fold] = Task(f"fold {fold}", key, (first.planned, fold, network, labelled, trusted, held_out, told))
    epochs = max((second_plan(plan, len(t.arguments[3]), len(t.arguments[4])).epochs for t in tasks.values()), default=1)
    done, lost = engine.run("segment-second", second_task, list(tasks.values()), unit="epoch", steps=max(2, epochs))
    if lost:
        message = f"segment: the second round of {lost[0].patient_id} failed: {lost[0].reason}"
        raise StageError(message)
    for fold, entry in zip(tasks, done, strict=True):
        networks[fold] = entry.folder
    return networks, f"segment: each network learned on from its own masks of {min(used)} to {max(used)} of the {len(unlabelled)} training patients without one"


def _draw(unlabelled: Sequence[Case], first: FirstRound, plan: Plan, engine: Engine) -> list[dict[str, Path]]:
    """Draw masks of all patients who are not held out in a fold, by the network of that fold alone."""
    tasks = []
    for fold, network in enumerate(first.networks):
        for case in unlabelled:
            if first.folds[case.patient_id] != fold:
                key = digest("segment-pseudo", VERSION, asdict(plan), network.name, case.image_digest)
                tasks.append((fold, Task(case.patient_id, key, (case.patient_id, case.image, first.planned, network))))
    done, lost = engine.run("segment-pseudo", pseudo_task, [task for _, task in tasks])
    if lost:
        message = f"segment: no mask could be drawn of training patient {lost[0].patient_id}, who has none: {lost[0].reason}. Leave the patient out, or set segment.unlabelled: ignore"
        raise StageError(message)
    found: list[dict[str, Path]] = [{} for _ in first.networks]
    for (fold, task), entry in zip(tasks, done, strict=True):
        found[fold][task.patient_id] = entry.folder
    return found


def pseudo_task(folder: Path, patient_id: str, image: Path, planned: Path, network: Path) -> None:
    """Put one training image on the working grid with the mask that a network draws of it; an Engine task.

    Parameters
    ----------
    folder : Path
        Where case.npz, as for patients with a mask, and pseudo.json go.
    patient_id : str
        Whose case it is.
    image : Path
        Prepared image.
    planned : Path
        Folder of the plan.
    network : Path
        Folder of the network's weights.
    """
    from sarcofuse.imaging import read_volume
    from sarcofuse.segment.network import load_network
    from sarcofuse.segment.prompting import network_input, work_image
    from sarcofuse.segment.refine import keep_component
    from sarcofuse.segment.training import WEIGHTS

    plan = read_plan(planned / "plan.json")
    volume = read_volume(image, patient_id)
    work = work_image(volume, plan)
    with single_thread():
        agreement, mean = flip_agreement(load_network(plan.network, network / WEIGHTS, plan.device), network_input(work, None, plan).array, plan)
    mask = keep_component(mean >= 0.5, mean)
    with atomic_file(folder / "case.npz") as part, part.open("wb") as stream:
        np.savez(stream, image=work.array.astype(np.float16), label=np.where(mask, 255, 0).astype(np.uint8), spacing=np.array(work.spacing))
    write_json({"agreement": agreement, "voxels": int(np.count_nonzero(mask))}, folder / PSEUDO)


def flip_agreement(network: torch.nn.Module, image: NDArray[np.float32], plan: Plan) -> tuple[float, NDArray[np.float32]]:
    """Ask a network four times, each time with the image flipped another way, and compare its answers.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    image : ndarray of float32, shape (z, y, x) or (channel, z, y, x)
        Normalised intensities on the working grid.
    plan : Plan
        The plan the network was trained by.

    Returns
    -------
    agreement : float
        Mean Dice of the four masks with the mask of their mean, 0 to 1; 0 where that is empty.
    mean : ndarray of float32, shape (z, y, x)
        Mean probability.
    """
    from sarcofuse.metrics.overlap import dice
    from sarcofuse.segment.inference import FLIPS, probability

    each = []
    for axes in FLIPS:
        turned = np.ascontiguousarray(np.flip(image, tuple(axis - 3 for axis in axes)))
        each.append(np.flip(probability(network, turned, plan, flips=False)[0], axes))
    mean = np.asarray(np.mean(each, axis=0, dtype=np.float32))
    whole = np.asarray(mean >= 0.5)
    return (float(np.mean([dice(one >= 0.5, whole) for one in each])) if whole.any() else 0.0), mean


def second_plan(plan: Plan, labelled: int, pseudo: int) -> Plan:
    """Give the plan of the second round: half the volumes at half the rate, other random changes, one process, and no early stopping, which would judge by the network's own masks.

    Parameters
    ----------
    plan : Plan
        Of the first round.
    labelled, pseudo : int
        Patients with a mask, and with one that the network drew.

    Returns
    -------
    Plan
        Of the second round.
    """
    epochs = max(1, round(VISITS * plan.epochs * labelled / (labelled * _copies(labelled, pseudo) + pseudo)))
    return replace(plan, epochs=epochs, learning_rate=plan.learning_rate * RATE, seed=plan.seed + 2**20, processes=1, early_stopping=False)


def _copies(labelled: int, pseudo: int) -> int:
    """Say how often patients with a mask come for one time of the others: so that they make up about half."""
    return max(1, round(pseudo / labelled))


def second_task(
    folder: Path, planned: Path, fold: int, network: Path, labelled: Mapping[str, Path], pseudo: Mapping[str, Path], held_out: Mapping[str, Path], told: Mapping[str, object]
) -> None:
    """Train the network of one fold on; an Engine task.

    Parameters
    ----------
    folder : Path
        Where weights.safetensors, history.json, patients.json and pseudo.json go.
    planned : Path
        Folder of the plan.
    fold : int
        Which fold.
    network : Path
        Folder of the first round's network.
    labelled, pseudo, held_out : mapping of str to Path
        Folders with case.npz by patient: with a mask, with one that the network drew, held out.
    told : mapping
        What becomes of it in the model's card; names no patient.
    """
    from sarcofuse.segment.training import WEIGHTS, train_fold
    from sarcofuse.segment.transfer import read_start

    files = [a / "case.npz" for a in labelled.values()] * _copies(len(labelled), len(pseudo)) + [a / "case.npz" for a in pseudo.values()]
    plan = second_plan(read_plan(planned / "plan.json"), len(labelled), len(pseudo))
    train_fold(folder, plan, fold, files, [a / "case.npz" for a in held_out.values()], start=read_start(network / WEIGHTS, plan.network, fold))
    write_json({"fold": fold, "training": [*labelled, *pseudo], "pseudo": list(pseudo), "held_out": list(held_out)}, folder / "patients.json")
    write_json(told, folder / PSEUDO)
