"""What doubting readers ask for, as the report prints it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sarcofuse.report import write_report
from sarcofuse.runtime import read_json, write_json
from tests.report.conftest import RunWriter
from tests.report.test_report import Tables, page_of, shown, text_of


def test_every_new_figure_is_kept_as_a_file(finished: Path) -> None:
    for name in ("precision_recall", "net_reduction", "subgroups", "risk_groups"):
        assert (finished / "figures" / f"{name}.png").stat().st_size > 10_000
        assert f'id="{name}-' in page_of(finished)


def test_reclassification_prints_the_numbers_of_metrics_json(finished: Path) -> None:
    entries = {(c["classifier"], c["second"], c["split"]): c for c in read_json(finished / "metrics.json")["comparisons"] if c["first"] == "dlr"}
    rows = Tables(page_of(finished)).named("Reclassification by the fused model")[2:]
    assert len(rows) == 6
    for row, (classifier, second) in zip(rows, [(c, s) for c in ("extratrees", "svm", "logistic") for s in ("radiomic", "deep")], strict=True):
        for i, split in enumerate(("train", "internal", "external")):
            for j, name in enumerate(("nri", "nri_continuous", "idi")):
                found = entries[classifier, second, split][name]
                assert row[2 + 3 * i + j] == [shown(found["value"]), f"{shown(found['low'])} to {shown(found['high'])}"]


def test_a_fused_auc_too_good_to_be_true_is_marked(finished: Path) -> None:
    html = page_of(finished)
    assert "1 of 9 fused AUCs lies above what its sources would give" in text_of(html)
    rows = Tables(html).named("Fusion beside its sources")[1:]
    assert len(rows) == 9
    assert [r[1][0] for r in rows if r[-1][0] == "0.080"] == ["DLR with SVM"]
    assert html.count('poor">0.080') == 1
    assert rows[0][2:7] == [["0.740"], ["0.710"], ["0.11"], ["0.820", "0.750–0.890"], ["0.800", "0.740–0.860"]]


def test_sample_size_is_told_in_words(finished: Path) -> None:
    text = text_of(page_of(finished))
    assert "Cox-Snell R² of 0.251 (at most 0.726 here)" in text
    assert "60 training patients with 21 events are enough for up to 1 candidate predictor." in text
    assert "2 candidates, which ask for 350 patients; with those there are, a shrinkage of 0.87" in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("change", "words"),
    [({"affordable": None}, "show no signal"),
     ({"affordable": 0}, "enough for no model at all"),
     ({"minimum": None}, "up to 1 candidate predictor. The criteria")],
)
def test_sample_size_that_says_less(writer: RunWriter, change: dict, words: str) -> None:
    folder = writer.write()
    metrics = read_json(folder / "metrics.json")
    metrics["sample_size"][0] |= change
    write_json(metrics, folder / "metrics.json")
    write_report(folder)
    assert words in text_of(page_of(folder))


def test_interactions_and_concordance_are_tabulated(finished: Path) -> None:
    html = page_of(finished)
    assert "No column shows a difference of AUC between its groups" in text_of(html)
    assert Tables(html).named("Cochran's Q")[2] == [["age"], *([["1.23"], ["0.267"], ["0.533"]] * 3)]
    rows = Tables(html).named("Concordance with 95% intervals")[2:]
    assert rows[0][1:3] == [["0.712", "0.612–0.812"], ["0.699", "0.599–0.799"]]
    assert "looks at events before 24 months." in text_of(html)
    times = Tables(html).named("The primary model at given times")[2:]
    assert [r[0] for r in times] == [["12"], ["24"]]
    assert times[0][1] == ["0.732", "0.632–0.832"]


@pytest.mark.usefixtures("undrawn")
def test_brier_scores_stand_beside_the_aucs(writer: RunWriter) -> None:
    folder = writer.write()
    metrics = read_json(folder / "metrics.json")
    for row in metrics["survival"]:
        row |= {"timed_brier": [{"time": t, "value": v, "low": v - 0.02, "high": v + 0.02} for t, v in ((12.0, 0.151), (24.0, 0.203))], "integrated_brier": {"value": 0.177, "low": 0.15, "high": 0.2}}
    write_json(metrics, folder / "metrics.json")
    write_report(folder)
    rows = Tables(page_of(folder)).named("The primary model at given times")[2:]
    assert rows[1][2] == ["0.203", "0.183–0.223"]
    assert rows[2][:3] == [["Mean over these"], [], ["0.177", "0.150–0.200"]]


@pytest.mark.usefixtures("undrawn")
def test_hosmer_and_lemeshow_stand_there_when_asked_for(writer: RunWriter) -> None:
    folder = writer.write()
    write_report(folder)
    assert "Hosmer" not in text_of(page_of(folder))
    metrics = read_json(folder / "metrics.json")
    for row in metrics["models"]:
        row["hosmer_lemeshow"] = {"statistic": 8.765, "freedom": 10, "p": 0.5543}
    write_json(metrics, folder / "metrics.json")
    write_report(folder)
    assert Tables(page_of(folder)).named("Hosmer and Lemeshow's test")[1:] == [[[s], ["8.77"], ["10"], ["0.554"]] for s in ("Training", "Internal test", "External test")]


def test_an_earlier_run_without_all_this_has_its_report(writer: RunWriter) -> None:
    folder = writer.write()
    metrics, curves = read_json(folder / "metrics.json"), read_json(folder / "curves.json")
    for name in ("fusion", "subgroups", "interactions", "sample_size", "survival"):
        del metrics[name]
    for row in metrics["comparisons"]:
        for name in ("nri", "nri_continuous", "idi"):
            row.pop(name, None)
    for row in curves["models"]:
        del row["pr"], row["reduction"]
    write_json(metrics, folder / "metrics.json")
    write_json({"models": curves["models"]}, folder / "curves.json")
    write_report(folder)
    html = page_of(folder)
    assert 'id="survival"' not in html
    assert "too good to be true" not in html
    assert 'id="subgroups"' not in html


def test_curves_without_intervals_and_groups_of_one_are_drawn(writer: RunWriter) -> None:
    folder = writer.write()
    curves, metrics = read_json(folder / "curves.json"), read_json(folder / "metrics.json")
    for line in curves["survival"]:
        line["groups"] = [{"risk": "high", "time": [3.0], "free": [1.0], "low": [None], "high": [None], "at_risk": [1.0]}]
    for row in metrics["subgroups"]:
        row["auc"] = {"value": None, "low": None, "high": None}
    write_json(curves, folder / "curves.json")
    write_json(metrics, folder / "metrics.json")
    write_report(folder)
    assert np.all([(folder / "figures" / f"{n}.png").is_file() for n in ("risk_groups", "subgroups")])
