"""What --perturb of `sarcofuse radiomics` adds: features under perturbation, and how stable they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from sarcofuse.config import RadiomicsConfig
    from sarcofuse.records import Patient
    from sarcofuse.runtime import Engine

STABLE = 0.75


def write_perturbed(patients: Sequence[Patient], config: RadiomicsConfig, labels: Sequence[str], engine: Engine, how: tuple[int, int], out: Path) -> None:
    """Measure patients under perturbation; write the features and, with two patients or more, their intraclass correlations.

    Parameters
    ----------
    patients : sequence of Patient
        With images and masks.
    config : RadiomicsConfig
        The settings.
    labels : sequence of str
        Label of the region, if it was named; at most one.
    engine : Engine
        Runs the work.
    how : (int, int)
        How many perturbations, and the seed of everything drawn.
    out : Path
        File of the plain features; the new ones lie beside it, with ``-perturbed`` and ``-stability`` in their names.

    Raises
    ------
    ConfigError
        If several labels are named.
    """
    import pandas as pd

    from sarcofuse.errors import ConfigError
    from sarcofuse.radiomics import robustness_many, stability

    if len(labels) > 1 or not all(label.isdigit() for label in labels):
        message = f"--perturb takes one label, found {', '.join(labels)}; run it once a label"
        raise ConfigError(message)
    config, (perturbations, seed) = config.model_copy(update={"label": int(labels[0])} if labels else {}), how
    tables, aside = robustness_many(patients, config, engine, perturbations, seed=seed)
    for case in aside:
        typer.echo(f"not perturbed: patient {case.patient_id}: {case.reason}", err=True)
    if not tables:
        return
    frame = pd.concat({p: t.to_frame() for p, t in tables.items()}, names=["patient_id", "perturbation"]).reset_index()
    _write_frame(frame, out.with_name(f"{out.stem}-perturbed{out.suffix}"))
    typer.echo(f"{len(tables)} cases, {perturbations} perturbations: {out.with_name(f'{out.stem}-perturbed{out.suffix}')}")
    if len(tables) > 1:
        found = stability(list(tables.values())).to_frame().reset_index()
        _write_frame(found, out.with_name(f"{out.stem}-stability{out.suffix}"))
        stable = int((found["icc21_low"] >= STABLE).sum())
        typer.echo(f"{stable} of {len(found)} features with an ICC(2,1) surely above {STABLE:g}: {out.with_name(f'{out.stem}-stability{out.suffix}')}")


def _write_frame(frame: pd.DataFrame, out: Path) -> None:
    from sarcofuse.runtime import atomic_file, write_json

    if out.suffix == ".json":
        write_json(frame.to_dict("records"), out)
        return
    with atomic_file(out) as part:
        if out.suffix == ".parquet":
            frame.to_parquet(part, index=False)
        else:
            frame.to_csv(part, index=False)
