"""Where the backbone learnt the outcome: what its networks seem to know of the patients they learnt from, beside what they know of others."""

from __future__ import annotations

from sarcofuse.report.blocks import Block, Cell, Paragraph, Table, count, figure, interval
from sarcofuse.report.plotting import Studio
from sarcofuse.report.run_folder import RunFolder, Score, number
from sarcofuse.runtime import read_json

MODES = {"probe": "a head on the features as they are", "last": "a head and the last block", "all": "a head and every block", "adapters": "a head and low-rank additions to the layers"}
HEADS = {"pool": "slices joined by a fixed rule", "attention": "gated attention over slices", "transformer": "a transformer over slices"}


def fine_tuning(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate the two AUCs of deep/fine_tuning.json and the networks behind them.

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
    content = read_json(run.path / "deep" / "fine_tuning.json")
    scores = [(name, Score.read(content[key])) for name, key in (("Patients whom the networks learnt from", "in_sample"), ("The same patients, by networks that never saw them", "out_of_fold"))]
    rows: list[list[Cell | str]] = [[name, Cell(figure(s.value), interval(s))] for name, s in scores]
    what = f"{MODES.get(content['mode'], content['mode'])}; {HEADS.get(content['head'], content['head'])}"
    caption = (
        f"AUC of the deep signature on {count(content['patients'], 'training patient')}, {content['events']} with the event. {content['backbone']} learnt the outcome ({what}). "
        "Only the second row is honest, and only such values went into the models; the first shows what a careless study would have printed."
    )
    gap = number(content["gap"])
    blocks: list[Block] = [Table(caption, ("Deep signature of", Cell("AUC", "95% CI")), rows)]
    if gap is not None:
        blocks.append(Paragraph(f"Judged on the patients they learnt from, the networks would have looked better by {gap:+.3f} in AUC."))
    networks = content["networks"]
    listed: list[list[Cell | str]] = [
        [str(i), str(n["learnt_from"]), str(n["events"]), str(n["held_out"]), f"{n['best']} of {n['passes']}", figure(number(n["temperature"]), 2), f"{n['numbers']:,}"]
        for i, n in enumerate(networks, 1)
    ]
    heads = ("Network", "Learnt from", "With the event", "Held out for stopping", "Pass kept", "Temperature", "Numbers learnt")
    blocks.append(Table(f"The {count(len(networks), 'network')} whose mean logit a new patient gets. Seed {content['seed']}.", heads, listed))
    return blocks
