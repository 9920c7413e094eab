"""How far radiomic features move when every network's own mask is taken."""

from __future__ import annotations

from sarcofuse.report.blocks import Block, Paragraph, Table, count, figure
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder

FILE = "features/radiomic_spread.parquet"
_SHOWN = 10


def spread(run: RunFolder, studio: Studio) -> list[Block]:
    """Tell how far the selected features move over the networks' own masks, and which features move most.

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

    del studio
    frame = pd.read_parquet(run.path / FILE).dropna(subset=["relative"])
    if frame.empty:
        return []
    middle = frame.groupby("feature")["relative"].median()
    used = sorted(set(middle.index) & {name for model in run.fitted for s in (model.get("signatures") or {}).values() for name in (s or {}).get("coefficients") or {}})
    patients = count(frame["patient_id"].nunique(), "patient")
    says = f"Each network's own mask gives features as well ({patients} with masks by the ensemble). The median spread of a feature over the networks is "
    says += f"{figure(float(middle.median()), 2)} of its deviation among the training patients"
    says += f"; of the {len(used)} features that signatures use, {figure(float(middle[used].median()), 2)}." if used else "."
    order = list(dict.fromkeys([*middle[used].sort_values(ascending=False, kind="stable").index[:_SHOWN], *middle.sort_values(ascending=False, kind="stable").index[:_SHOWN]]))
    high = frame.groupby("feature")["relative"].quantile(0.9)
    rows = [[name, "yes" if name in used else "no", figure(float(middle[name]), 2), figure(float(high[name]), 2)] for name in order]
    caption = (
        "Radiomic features that move most with the mask: deviation over the networks' own masks, as a share of the feature's deviation among training patients, "
        "for the middle patient and for the tenth that moves most. First the selected features, then the most moved of all. "
        "A feature that moves as much as patients differ (1) says more of the mask than of the tumour."
    )
    return [Paragraph(says), Table(caption, ("Feature", "In a signature", "Spread, median", "Spread, 90th percentile"), rows, labels=2)]
