"""Pictures of several patients through the network at a time: a GPU wants more to do than one patient has, a processor does not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.config.deep import DeepConfig
from sarcofuse.deep.contact import pack_png
from sarcofuse.deep.look import Source, entry_of, make_scene, show_together
from sarcofuse.deep.scene import Scene
from sarcofuse.deep.trouble import check_answer
from sarcofuse.errors import CaseError
from sarcofuse.runtime import Engine, Task, available_cores, digest, publish_folder, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUPS, FEATURES, PICTURE, NOTES = "deep-batches", "features.npy", "seen.png", "notes.json"
ALL = 12  # slices of a tumour, about, with crop: all
Member = tuple[str, str, Path, Path]
"""Key of a patient's task, patient_id, image and mask."""


def patients_a_batch(config: DeepConfig, device: str) -> int:
    """Say how many patients share a batch.

    Parameters
    ----------
    config : DeepConfig
        Settings.
    device : {'cpu', 'cuda'}
        Where the network works.

    Returns
    -------
    int
        1 on a processor, for 3D networks, and where one patient's pictures fill ``deep.batch``.
    """
    pictures = {"largest": 1, "neighbours": 3, "planes": 3 * config.slices, "all": ALL}[config.crop]
    return max(1, config.batch // pictures) if device == "cuda" and entry_of(config).dims == 2 else 1


def fill(stage: str, tasks: Sequence[Task], config: DeepConfig, engine: Engine, size: int) -> None:
    """Do the tasks of patients in groups, and put each result where the engine looks for that patient's.

    Groups do not depend on the order of the patients, nor on what is there already: a patient who was done before is shown again with the group, so that a run that was stopped gives the bits of one
    that was not. Patients who cannot be shown, and groups that are too much for the memory, are left for the tasks themselves, which say why.

    Parameters
    ----------
    stage : str
        Stage of the tasks.
    tasks : sequence of Task
        A patient each, as `sarcofuse.deep.stage` makes them.
    config : DeepConfig
        Settings.
    engine : Engine
        Runs the groups.
    size : int
        Patients a group.
    """
    room = engine.cache / stage
    room.mkdir(parents=True, exist_ok=True)
    members = sorted({t.key: t for t in tasks if t.arguments[2] is not None}.items())
    groups = [members[at : at + size] for at in range(0, len(members), size)]
    workers = 1 if engine.scheduler == "serial" else engine.workers or available_cores()
    threads = max(1, available_cores() // workers)
    wanted = list[Task]()
    for group in groups:
        if any(not (room / key).is_dir() for key, _ in group):
            listed = [(key, *t.arguments[:3]) for key, t in group]
            wanted.append(Task(f"batch {len(wanted) + 1}", digest(GROUPS, [key for key, _ in group]), (listed, config, group[0][1].arguments[4], threads)))
    done, _ = engine.run(GROUPS, show_group, wanted, unit="batch")
    for entry in done:
        for part in entry.folder.iterdir():
            publish_folder(part, room / part.name)  # the folder of the group stays, empty, and says that the group was shown


def show_group(folder: Path, members: Sequence[Member], config: DeepConfig, source: Source, threads: int) -> None:
    """Write the features and pictures of a group, a folder a patient (a task of the engine).

    Parameters
    ----------
    folder : Path
        Where to write.
    members : sequence of (str, str, Path, Path)
        The group.
    config : DeepConfig
        Settings.
    source : Source
        Verified weights.
    threads : int
        Patients who are got ready at a time.
    """
    with ThreadPoolExecutor(threads) as pool:
        scenes = list(pool.map(partial(_ready, config=config, source=source), members))
    there = [(m, s) for m, s in zip(members, scenes, strict=True) if s is not None]
    if not there:
        return
    found, batch = show_together([s for _, s in there], config, source)
    for (member, scene), features in zip(there, found, strict=True):
        with contextlib.suppress(CaseError):
            check_answer(features, scene.seen, config.backbone, member[1])
            own = folder / member[0]
            own.mkdir()
            write_look(own, features, pack_png(np.concatenate(list(scene.seen), axis=1)), batch if batch < min(config.batch, sum(len(s.shown) for _, s in there)) else None)


def write_look(folder: Path, features: NDArray[np.float64], picture: bytes, smaller: int | None) -> None:
    """Write one patient's result.

    Parameters
    ----------
    folder : Path
        Where to write.
    features : ndarray of float64, shape (features,)
        Features.
    picture : bytes
        What the network saw, as a PNG file.
    smaller : int or None
        Pictures that went through the network at a time, where memory did not suffice for ``deep.batch``.
    """
    np.save(folder / FEATURES, features, allow_pickle=False)
    (folder / PICTURE).write_bytes(picture)
    if smaller is not None:
        write_json({"batch": smaller}, folder / NOTES)


def _ready(member: Member, config: DeepConfig, source: Source) -> Scene | None:
    """Give what the network is shown; None where the patient's own task will say what is wrong."""
    from sarcofuse.imaging import read_mask, read_volume

    _, patient_id, image, mask = member
    try:
        return make_scene(patient_id, read_volume(image, patient_id), read_mask(mask, patient_id), config, source)
    except (CaseError, OSError, RuntimeError, ValueError, MemoryError):
        return None
