"""What deep features look at: maps of the deep signature, and how far to trust them."""

from __future__ import annotations

from typing import Any

from sarcofuse.report.blocks import ABSENT, Block, Cell, Paragraph, Picture, Table, figure
from sarcofuse.report.plotting import Studio, embed
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, number
from sarcofuse.runtime import read_json

WIDTH = 1100
ALIKE = 0.5  # correlation with the map of shuffled weights from which on a map says little about what was learned


def maps(run: RunFolder, studio: Studio) -> list[Block]:  # noqa: ARG001 - every part has this form
    """Show maps of the deep signature of the patients in whom it is highest and lowest.

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
    rows = [r for r in read_json(run.path / "deep" / "why.json")["patients"] if (run.path / "deep" / r["picture"]).is_file()]
    if not rows:
        return []
    learnt = any("networks" in r for r in rows)
    blocks: list[Block] = [Paragraph(_words(str(rows[0].get("method", "exact")), learnt=learnt)), _table(run, rows)]
    alike = [v for r in rows if (v := number(r.get("sanity"))) is not None]
    if alike and max(alike) >= ALIKE:
        blocks.append(Paragraph(f"With shuffled weights some maps stay as alike as {figure(max(alike), 2)}: these show edges and regions rather than what the network learned.", "lead"))
    for row in rows:
        label = run.numbering.label(str(row["patient_id"]))
        middle = "average slices" if learnt else "mean training patient"
        caption = f"{label}, {SPLIT_NAMES.get(row['split'], row['split']).lower()}: deep signature {figure(number(row['risk']), 2)}, {middle} {figure(number(row['base']), 2)}.{_attention(row)}"
        blocks.append(Picture(embed(run.path / "deep" / row["picture"], WIDTH), f"Map of the deep signature of {label}", caption, WIDTH))
    return blocks


def _words(method: str, *, learnt: bool) -> str:
    """Say what the maps are."""
    parts = {
        "exact": "The signature is a linear formula of pooled feature maps, so each place's part in it is exact: ",
        "integrated": "The head is not linear; each place's part is told by integrated gradients, from average slices to the patient's own: ",
    }
    middle = "average slices" if learnt else "the mean training patient"
    told = parts.get(method, "") + f"the parts add up to how far the patient lies from {middle}. Orange raises the risk, blue lowers it." if method in parts else "The maps are Grad-CAM."
    asked = (
        " The networks learnt the outcome: a map is the mean over the networks asked, and those of training patients are by the one network that did not learn from the patient." if learnt else ""
    )
    return f"Where the deep signature comes from, in the patients in whom it is highest and lowest. {told}{asked} Above: what the network saw, with the tumour's outline."


def _attention(row: dict[str, Any]) -> str:
    """Say which slices a head attends to, where it says so."""
    shares = [_percent(p["attention"]) for p in row.get("pictures", ()) if number(p.get("attention")) is not None]
    return f" Attention of the head, slice by slice: {', '.join(shares)}." if len(shares) > 1 else ""


def _table(run: RunFolder, rows: list[dict[str, Any]]) -> Table:
    caption = (
        "Inside: how much of what raises the signature lies in the tumour; beside it the share of the pictures that the tumour takes up, which a map that knows nothing would show. "
        "Strongest: pictures whose strongest place lies in the tumour. Shuffled: Spearman's correlation with the map of the same network with its weights shuffled; near 0 the map shows "
        "what was learned. A signature may rightly look outside the tumour, at oedema say."
    )
    heads = ("Patient", "Split", "Signature", "Inside", "Tumour's share", "Strongest", "Shuffled")
    table = []
    for r in rows:
        agreement = r["agreement"]
        shares = (_percent(agreement[k]) for k in ("inside", "area", "hits"))
        table.append([run.numbering.label(str(r["patient_id"])), SPLIT_NAMES.get(r["split"], r["split"]), figure(number(r["risk"]), 2), *shares, Cell(figure(number(r.get("sanity")), 2))])
    return Table(caption, heads, table, labels=2)


def _percent(value: object) -> str:
    share = number(value)
    return ABSENT if share is None else f"{100 * share:.0f}%"
