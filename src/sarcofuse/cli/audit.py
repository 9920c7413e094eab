"""Command that audits a run for leakage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sarcofuse.cli.study import Scheduler, Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLES = {"honest": "honest, as in the run", "leaky": "leaky, for comparison"}
WORDS = {True: "passed", False: "FAILED", None: "not judged"}


def audit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder whose models are fitted.", exists=True, file_okay=False)],
    study: Annotated[Path | None, typer.Option(help="The study file, where it does not lie in the folder above RUN.")] = None,
    permutations: Annotated[int, typer.Option(min=2, help="How often the training outcomes are permuted; each costs about one fit of the primary model.")] = 20,
    scheduler: Scheduler = "processes",
    workers: Workers = None,
) -> None:
    """Prove on your own data that nothing leaks, and show what leakage would have claimed.

    Three checks of the primary model. (1) Permuted training outcomes: the whole pipeline, selection and tuning in all, must give an AUC of 0.5. (2) Internal and external
    rows are altered, then removed: the fitted model must stay the same to the last bit, and be the one in the bundle. (3) The honest cross-validated AUC stands beside that of
    the usual recipe, which scales and selects features on all patients before cross-validation and chooses its threshold on the patients it is judged on.

    Outcomes of internal and external patients stay sealed. The result is RUN/audit.json; `sarcofuse report RUN` then shows it. Exit code 1 if a check fails. Interrupted, it
    goes on from where it was.

    Example: sarcofuse audit study/run --permutations 20
    """
    from sarcofuse.study import audit as work

    found = work(folder, study=study, permutations=permutations, scheduler=scheduler, workers=workers)
    for line in _lines(found.content):
        typer.echo(line)
    typer.echo(f"wrote {found.folder / 'audit.json'}")
    if not found.passed:
        raise typer.Exit(1)


def _lines(content: Mapping[str, Any]) -> list[str]:
    model, chance = content["model"], content["permutations"]
    lines = [f"{model['features']} with {model['classifier']}, {content['patients']} training patients, {content['events']} with the event", ""]
    lines += [f"{WORDS[check['passed']]:<12}{check['name']}: {check['found']} (expected: {check['expected']})" for check in content["checks"]]
    lines += ["", f"{'recipe':<24}{'AUC':<26}{'sensitivity':<14}{'specificity':<14}AUC with permuted outcomes"]
    for row in content["recipes"]:
        area, again = row["auc"], chance[row["recipe"]]
        figure = f"{area['value']:.3f} ({area['low']:.3f} to {area['high']:.3f})"
        lines.append(f"{TITLES[row['recipe']]:<24}{figure:<26}{row['sensitivity']:<14.2f}{row['specificity']:<14.2f}{again['mean']:.3f} ({again['low']:.3f} to {again['high']:.3f})")
    lines += ["", f"{chance['count']} permutations; chance reaches the honest AUC with p = {chance['reached_by_permutations']:.3f}"]
    return lines
