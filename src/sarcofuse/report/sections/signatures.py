"""The LASSO signatures: how many features, and which weigh most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.report.blocks import ABSENT, Block, Paragraph, Picture, Table, figure
from sarcofuse.report.plotting import MUTED, Studio, colour_of
from sarcofuse.report.run_folder import RunFolder, feature_name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 12
ORDER = ("radiomic", "deep", "clinical")


def signatures(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate the signatures and draw their largest coefficients.

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
    found = by_block(run)
    if not found:
        return [Paragraph("No model of this run uses a signature.")]
    rows, charts = [], {}
    for block, signature in found.items():
        weights = weighty(signature)
        rows.append([feature_name(block), _candidates(run, block), str(len(weights)), _small(number(signature.get("penalty"))), figure(number(signature.get("intercept")))])
        if weights:
            charts[block] = weights[:SHOWN]
    caption = "LASSO signatures, fitted on training patients alone: a feature whose coefficient is not zero is in. The penalty was chosen by inner cross-validation."
    blocks: list[Block] = [Table(caption, ("Signature", "Features offered", "Features kept", "Penalty", "Intercept"), rows)]
    empty = [feature_name(b) for b in found if b not in charts]
    if empty:
        blocks.append(Paragraph(f"{' and '.join(empty)}: no feature was kept. Every patient gets the same value, and a model that uses it alone cannot tell patients apart."))
    if charts:
        tallest = max(len(c) for c in charts.values())

        def draw(made: Figure) -> None:
            for axes, (block, weights) in zip(np.atleast_1d(made.subplots(1, len(charts))), charts.items(), strict=True):
                _draw_bars(axes, block, weights, tallest)

        caption = (
            f"The up to {SHOWN} largest coefficients of each signature. To the right: larger values raise the predicted risk. "
            "Coefficients belong to standardised features; among correlated features LASSO keeps one almost at random, so a name here is no proof of biology."
        )
        blocks.append(Picture(studio.vector("signatures", (4.9 * len(charts), 0.9 + 0.27 * tallest), draw), "Bar charts of the largest coefficients", caption, 540 * len(charts)))
    return blocks


def stable(run: RunFolder, studio: Studio) -> list[Block]:  # noqa: ARG001 - every part has this form
    """Say how many radiomic features outlast perturbation.

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
    import pandas as pd

    frame = pd.read_csv(run.path / "stability.csv", index_col="feature")
    settings = run.setting("models", "stability", default={})
    form, least = str(settings.get("form", "2,1")), float(settings.get("threshold", 0.75))
    column = f"icc{form.replace(',', '')}" + "_low" * bool(settings.get("bound", True))
    figure_meant = "the lower end of the 95 % interval of " * column.endswith("_low") + f"the intraclass correlation ICC({form})"
    text = (
        f"{int(frame['stable'].sum())} of {len(frame)} radiomic features are stable: over {int(frame['patients'].max())} training patients and "
        f"{settings.get('perturbations', 0)} perturbations of mask and image {figure_meant} is at least {least:g}. "
        "In cross-validation every fold judged by its own training patients. No outcome and no test patient took part; all figures are in stability.csv."
    )
    if f"masks_{column}" in frame:
        reached = int((frame[f"masks_{column}"] >= least).sum())
        text += f" Between out-of-fold and given masks of {int(frame['masks_patients'].max())} of these patients {reached} features reach as much"
        text += ", and only those are used." if settings.get("masks") else "; this was not asked of them."
    return [Paragraph(text)]


def stable_deep(run: RunFolder, studio: Studio) -> list[Block]:  # noqa: ARG001 - every part has this form
    """Say how many deep features outlast perturbation.

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
    import pandas as pd

    frame = pd.read_csv(run.path / "stability-deep.csv", index_col="feature")
    looks, least = int(run.setting("models", "stability", "deep", default=0)), float(run.setting("models", "stability", "threshold", default=0.75))
    text = (
        f"{int(frame['stable'].sum())} of {len(frame)} deep features are stable in the same sense (at least {least:g}), over {int(frame['patients'].max())} training patients and {looks} "
        "perturbations; all figures are in stability-deep.csv."
    )
    return [Paragraph(text)]


def levels(run: RunFolder, studio: Studio) -> list[Block]:  # noqa: ARG001 - every part has this form
    """Tabulate how many grey levels the bins gave, image by image.

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
    import pandas as pd

    frame = pd.read_csv(run.path / "features" / "levels.csv")
    rows = [[image, str(fewest), f"{median:g}", str(most)] for image, fewest, median, most in frame.itertuples(index=False)]
    caption = "Grey levels that occur in a tumour, in each image that texture was measured on. Texture of a few levels says little; sarcofuse radiomics --advise proposes bins that suit the cohort."
    return [Table(caption, ("Image", "Fewest", "Median", "Most"), rows)]


def by_block(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """Collect one signature a block: the primary model's where it has one, else the first model's.

    Parameters
    ----------
    run : RunFolder
        What there is to show.

    Returns
    -------
    dict of str to mapping
        Penalty, intercept and coefficients by block.
    """
    primary = [m for m in run.fitted if (m.get("features"), m.get("classifier")) == run.primary]
    found: dict[str, Mapping[str, Any]] = {}
    for model in [*primary, *run.fitted]:
        for block, signature in (model.get("signatures") or {}).items():
            if isinstance(signature, Mapping):
                found.setdefault(block, signature)
    return {b: found[b] for b in sorted(found, key=lambda b: (ORDER.index(b) if b in ORDER else len(ORDER), b))}


def weighty(signature: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Give the features that are in, the largest coefficient first.

    Parameters
    ----------
    signature : mapping
        An entry of models.json.

    Returns
    -------
    list of (str, float)
        Name and coefficient.
    """
    weights = [(str(k), w) for k, v in (signature.get("coefficients") or {}).items() if (w := number(v))]
    return sorted(weights, key=lambda pair: (-abs(pair[1]), pair[0]))


def _candidates(run: RunFolder, block: str) -> str:
    file = run.path / "features" / f"{block}.parquet"
    if not file.is_file():
        return ABSENT
    from pyarrow import parquet

    names = [n for n in parquet.read_schema(file).names if n != "patient_id" and not n.startswith("__index")]
    return f"{len(names):,}"


def _small(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4g}"


def _draw_bars(axes: Axes, block: str, weights: list[tuple[str, float]], tallest: int) -> None:
    places = np.arange(len(weights))
    values = [w for _, w in weights]
    axes.barh(places, values, height=0.62, color=colour_of(block), alpha=0.9)
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.set_yticks(places, [_two_lines(n) for n, _ in weights], fontsize=6.4)
    axes.set(ylim=(tallest - 0.4, -0.6), xlabel="Coefficient", title=f"{feature_name(block)} signature")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")


def _two_lines(name: str) -> str:
    """Break a long PyRadiomics name (filter_class_Feature) before the feature's own name."""
    head, _, tail = name.rpartition("_")
    return f"{head.replace('_', ' · ')}\n{tail}" if head and len(name) > 24 else name[:60]
