"""The leakage audit, where it was made: checks, and the honest AUC beside what leakage would have claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarcofuse.report.blocks import Block, Cell, Paragraph, Table, figure
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder, model_name, number
from sarcofuse.runtime import read_json

VERDICTS = {True: "passed", False: "FAILED", None: "not judged"}
RECIPES = {"honest": "Honest: everything learned inside the folds", "leaky": "Leaky: scaled and selected on all patients first"}


def leakage(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate the checks of audit.json and its two recipes.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    del studio
    content = read_json(run.path / "audit.json")
    model, chance = content["model"], content["permutations"]
    checks: list[list[Cell | str]] = [[row["name"].capitalize(), row["found"], row["expected"], Cell(VERDICTS[row["passed"]], mark="best" if row["passed"] else "")] for row in content["checks"]]
    who = f"{model_name(model['features'], model['classifier'])}, {content['patients']} training patients, {content['events']} with the event"
    blocks: list[Block] = [Table(f"Audit of the primary model ({who}). Outcomes of internal and external patients stayed sealed.", ("Check", "Found", "Expected", "Verdict"), checks, labels=4)]
    rows: list[list[Cell | str]] = []
    for r in content["recipes"]:
        again = chance[r["recipe"]]
        area, nothing = Cell(figure(number(r["auc"]["value"])), _range(r["auc"])), Cell(figure(number(again["mean"])), _range(again))
        rows.append([RECIPES[r["recipe"]], area, figure(r["sensitivity"]), figure(r["specificity"]), nothing])
    caption = (
        f"Cross-validated AUC on the training patients by two recipes, and the mean AUC of {chance['count']} permutations of their outcomes, where there is nothing to be found. "
        "The second recipe is common and wrong; no other figure of this report comes from it. Its threshold is chosen on the patients it is judged on."
    )
    blocks.append(Table(caption, ("Recipe", Cell("AUC", "95% CI"), "Sens.", "Spec.", Cell("AUC of permuted outcomes", "95% CI")), rows))
    gap = content["recipes"][1]["auc"]["value"] - content["recipes"][0]["auc"]["value"]
    blocks.append(Paragraph(f"Leakage would have added {gap:+.3f} to the AUC. Chance reaches the honest AUC with p = {chance['reached_by_permutations']:.3f}."))
    return blocks


def _range(found: Mapping[str, Any]) -> str:
    return f"{figure(number(found['low']))}–{figure(number(found['high']))}"
