from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarcofuse.errors import RequestError
from sarcofuse.report import write_report
from sarcofuse.report.run_folder import RunFolder, Score
from sarcofuse.report.sections.headline import meaning
from sarcofuse.report.sections.performance import fusion_adds
from sarcofuse.runtime import read_json, write_json

FIGURES = ("auc", "sensitivity", "specificity", "accuracy", "ppv", "npv")


class Tables(HTMLParser):
    """Every table of a page, by the number in its caption: rows of lists of the cells' lines."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[list[list[str]]]]] = []
        self.caption, self.inside = "", None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "figcaption":
            self.caption, self.inside = "", "caption"
        elif tag == "table":
            self.found.append((self.caption, []))
        elif tag == "tr":
            self.found[-1][1].append([])
        elif tag in ("td", "th"):
            self.found[-1][1][-1].append([])
            self.inside = "cell"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "figcaption"):
            self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside == "caption":
            self.caption += data
        elif self.inside == "cell":
            self.found[-1][1][-1][-1].append(data)

    def named(self, words: str) -> list[list[list[str]]]:
        return next(rows for caption, rows in self.found if words in caption)


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf8")


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def shown(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def test_every_section_is_there_and_every_link_leads_somewhere(finished: Path) -> None:
    html = page_of(finished)
    expected = ["result", "cohort", "overlays", "segmentation", "signatures", "models", "bayes", "curves", "comparisons", "subgroups", "survival", "honesty", "aside", "settings"]
    assert re.findall(r'<section id="([^"]+)"', html) == expected
    assert re.findall(r'<a href="#([^"]+)"', html) == expected


def test_it_stands_alone(finished: Path) -> None:
    html = page_of(finished)
    assert not re.search(r"<(script|link|iframe|object)\b|@import|\bsrc=\"(?!data:image/png;base64,)", html)
    assert set(re.findall(r'https?://[^"\s<]+', html)) == {"https://doi.org/10.1007/s10278-025-01653-w", "http://www.w3.org/1999/xlink"}
    assert len(html) < 5e6


def test_ids_are_unique_so_that_clip_paths_of_one_figure_do_not_cut_another(finished: Path) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page_of(finished))
    assert len(ids) > 100
    assert len(ids) == len(set(ids))


def test_table_of_models_prints_the_numbers_of_metrics_json(finished: Path) -> None:
    metrics = {(r["features"], r["classifier"], r["split"]): r for r in read_json(finished / "metrics.json")["models"]}
    rows = Tables(page_of(finished)).named("All models, laid out as in the published study")[2:]
    assert len(rows) == 9
    order = [(f, c) for f in ("radiomic", "deep", "dlr") for c in ("extratrees", "svm", "logistic")]
    for (features, classifier), row in zip(order, rows, strict=True):
        for i, split in enumerate(("train", "internal", "external")):
            entry = metrics[features, classifier, split]
            cells = row[2 + 6 * i : 8 + 6 * i]
            assert [c[0] for c in cells] == [shown(entry[k]["value"]) for k in FIGURES]
            assert cells[0][1] == f"{shown(entry['auc']['low'])}–{shown(entry['auc']['high'])}"


def test_the_best_external_auc_is_marked_and_no_other(finished: Path) -> None:
    external = [r for r in read_json(finished / "metrics.json")["models"] if r["split"] == "external"]
    best = max(r["auc"]["value"] for r in external)
    assert re.findall(r'class="number(?: start)? best">([0-9.]+)', page_of(finished)) == [shown(best)]


def test_all_intervals_are_printed(finished: Path) -> None:
    html = page_of(finished)
    missing = [(r["features"], k) for r in read_json(finished / "metrics.json")["models"] for k in (*FIGURES, "brier") if f"{shown(r[k]['low'])}–{shown(r[k]['high'])}" not in html]
    assert missing == []


def test_share_of_the_bayes_auc(finished: Path) -> None:
    metrics = read_json(finished / "metrics.json")
    reached = [r["auc"]["value"] for r in metrics["models"] if r["split"] == "external" and r["features"] == "dlr"]
    rows = Tables(page_of(finished)).named("Recovered:")[1:]
    assert [row[4][0] for row in rows[6:]] == [f"{100 * (auc - 0.5) / 0.36:.0f}%".replace("-", "−") for auc in reached]
    assert [row[3][0] for row in rows] == ["0.810"] * 3 + ["0.770"] * 3 + ["0.860"] * 3


def test_comparisons_print_differences_and_both_p_values(finished: Path) -> None:
    entries = read_json(finished / "metrics.json")["comparisons"]
    rows = Tables(page_of(finished)).named("Differences of AUC")[2:]
    assert len(rows) == 9
    external = [e for e in entries if e["split"] == "external"]
    assert [[c[0] for c in row[-3:]] for row in rows] == [[shown(e["difference"]), shown(e["p"]), shown(e["p_holm"])] for e in external]


def test_signatures_by_themselves_are_for_comparison(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    metrics = read_json(folder / "metrics.json")
    best = {"value": 0.999, "low": 0.99, "high": 1.0}
    metrics["models"] += [{**m, "features": "radiomic-signature", "auc": best} for m in metrics["models"] if m["features"] == "radiomic"]
    metrics["comparisons"] = [{**c, "second": "radiomic-signature"} for c in metrics["comparisons"] if c["second"] == "radiomic"] + metrics["comparisons"]
    write_json(metrics, folder / "metrics.json")
    write_report(folder)
    tables = Tables(page_of(folder))
    assert len(tables.named("All models, laid out")[2:]) == 9
    assert not any("0.999" in cell for row in tables.named("All models, laid out") for cell in row)
    rows = tables.named("Differences of AUC")[2:]
    assert rows[0][1][0] == "DLR − Radiomic signature"
    assert "What fusion adds is told by the rows against a signature" in page_of(folder)


@pytest.mark.parametrize(("low", "high", "words"), [(0.01, 0.09, "fusion adds to it"), (-0.02, 0.06, "these patients do not show that fusion adds to it"), (-0.09, -0.01, "fusion takes away from it")])
def test_whether_fusion_adds_is_said_in_words(finished: Path, tmp_path: Path, low: float, high: float, words: str) -> None:
    shutil.copytree(finished, tmp_path / "run")
    metrics = read_json(tmp_path / "run" / "metrics.json")
    row = {"split": "external", "classifier": "extratrees", "first": "dlr", "second": "radiomic-signature", "difference": (low + high) / 2, "low": low, "high": high, "p": 0.5, "p_holm": 1.0}
    metrics["comparisons"] += [row, {**row, "split": "internal"}, {**row, "classifier": "svm"}]
    write_json(metrics, tmp_path / "run" / "metrics.json")
    (told,) = fusion_adds(RunFolder(tmp_path / "run"))
    assert told == f"External test patients, DLR with ExtraTrees less the radiomic signature in the same classifier: AUC {shown((low + high) / 2)} (95% CI {shown(low)} to {shown(high)}); {words}."
    write_report(tmp_path / "run")
    assert told in text_of(page_of(tmp_path / "run"))


def test_nobody_is_named(finished: Path) -> None:
    html = page_of(finished)
    for secret in ("secret", "doe jane", "/home/anna", "t2 scan"):
        assert secret not in html.casefold()
    names = [f.name for f in (finished / "figures").iterdir()]
    assert names
    assert not any("secret" in n.casefold() for n in names)


def test_pictures_carry_no_software_date_or_name(finished: Path) -> None:
    for file in sorted((finished / "figures").glob("*.png")):
        with Image.open(file) as image:
            assert set(image.info) <= {"dpi"}, file.name
            assert round(image.info["dpi"][0]) == 300


def test_patients_set_aside_are_numbered_like_everybody(finished: Path) -> None:
    rows = Tables(page_of(finished)).named("Whom or what each stage could not use")[1:]
    cells = [[" ".join(c) for c in row] for row in rows]
    assert cells == [
        ["Patient 3", "preprocess", "tumour mask of patient 3 is empty: 0 voxels; expected at least 1. Draw it or set segment.masks: model"],
        ["Patient 9", "cohort", "file not found; expected a NIfTI file or a DICOM folder"],
    ]


def test_flow_counts_everybody_once(finished: Path) -> None:
    html = page_of(finished)
    label = re.search(r'aria-label="(116 rows[^"]*)"', html)
    assert label
    assert label[1].split("; ") == [
        "116 rows in the table",
        "115 patients with usable entries",
        "1 row set aside on reading",
        "1 patient set aside later, preprocess: 1",
        "Training, 60 patients, 21 events",
        "Internal test, 24 patients, 8 events",
        "External test, 30 patients, 12 events",
    ]
    rows = Tables(html).named("Patients of each split")[1:]
    assert [[c[0] for c in row] for row in rows] == [
        ["Training", "Hospital A (61)", "61", "60", "21", "35%"],
        ["Internal test", "Hospital A (24)", "24", "24", "8", "33%"],
        ["External test", "Hospital B (30)", "30", "30", "12", "40%"],
    ]


@pytest.mark.usefixtures("undrawn")
def test_identifiers_are_printed_where_asked_for(writer) -> None:
    config = writer.run()["config"]
    config["report"]["identifiers"] = True
    write_report(writer.write(config=config))
    html = page_of(writer.folder)
    assert "SECRET-0007x t2 scan.nii.gz: file not found" in html
    assert "Doe Jane 1961" in html


def test_text_from_outside_is_escaped(writer) -> None:
    evil = "<script>alert('x')</script>"
    flow = {"rows": 3, "splits": {"train": {"patients": 3, "sites": {evil: 3}}}}
    aside = [{"patient_id": evil, "stage": evil, "reason": f"the {evil} image"}]
    folder = writer.write(title=evil, warnings=[evil], openings=[evil], versions={evil: evil}, hardware={evil: evil}, flow=flow, set_aside=aside)
    models = read_json(folder / "models.json")
    models[-1]["signatures"]["radiomic"]["coefficients"] = {f"{evil}-->$x^{{$ 日本": 1.0}
    write_json(models, folder / "models.json")
    write_report(folder)
    html = page_of(folder)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6


def test_second_writing_and_another_place_give_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    before = {f.name: f.read_bytes() for f in [finished / "report.html", *(finished / "figures").iterdir()]}
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    shutil.rmtree(moved / "figures")
    run = read_json(moved / "run.json") | {"timings": {"segment": 1.0}}
    write_json(run, moved / "run.json")
    write_report(moved)
    assert {f.name: f.read_bytes() for f in [moved / "report.html", *(moved / "figures").iterdir()]} == before


def test_durations_are_left_out(finished: Path) -> None:
    assert "98.76" not in text_of(page_of(finished))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("absent", "gone", "said"),
    [
        ("cases.json", ["overlays"], "Tumour outlines: the run has no cases.json."),
        ("quality.json", [], "Quality of each mask: the run has no quality.json."),
        ("curves.json", ["curves"], "ROC curves: the run has no curves.json."),
        ("models.json", ["signatures"], "Signatures: the run has no models.json."),
        ("metrics.json", ["bayes", "models", "comparisons"], "Table of models: the run has no metrics.json."),
        ("cohort.parquet", [], ""),
    ],
)
def test_a_file_that_is_absent_costs_its_own_part_only(writer, absent: str, gone: list[str], said: str) -> None:
    folder = writer.write()
    (folder / absent).unlink()
    write_report(folder)
    html = page_of(folder)
    sections = re.findall(r'<section id="([^"]+)"', html)
    assert not set(sections) & (set(gone) - {"models"})
    assert {"result", "cohort", "honesty", "aside", "settings"} <= set(sections)
    assert said in text_of(html)


def test_a_run_folder_with_run_json_alone(tmp_path: Path) -> None:
    write_json({"format": 1, "title": "Bare"}, tmp_path / "run.json")
    write_report(tmp_path)
    assert "The run holds no evaluation of the primary model" in page_of(tmp_path)
    assert "Nobody was set aside." in page_of(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_no_bayes_table_for_real_patients(writer) -> None:
    folder = writer.write()
    metrics = read_json(folder / "metrics.json")
    write_json(metrics | {"bayes": []}, folder / "metrics.json")
    write_report(folder)
    html = page_of(folder)
    assert "Bayes" not in html
    assert "Synthetic patients" not in html


def test_figures_that_are_not_defined_are_dashes(writer) -> None:
    folder = writer.write()
    metrics = read_json(folder / "metrics.json")
    for row in metrics["models"]:
        if row["split"] == "external":
            row["auc"] = {"value": None, "low": None, "high": None}
            row["ppv"] = None
    for entry in metrics["comparisons"]:
        entry.update(difference=None, low=None, high=None, p=None, p_holm=None)
    write_json(metrics, folder / "metrics.json")
    curves = read_json(folder / "curves.json")
    for row in curves["models"]:
        row["roc"] = {"fpr": [], "tpr": []}
        row["calibration"] = {"predicted": [0.2, None], "observed": [None, 0.4]}
        row["decision"] = {}
    write_json(curves, folder / "curves.json")
    write_report(folder)
    row = Tables(page_of(folder)).named("All models, laid out as in the published study")[2]
    assert [row[14], row[18]] == [["–"], ["–"]]
    assert "the AUC of the primary model (DLR with ExtraTrees) is not defined" in page_of(folder)


@pytest.mark.parametrize(
    ("auc", "says"),
    [
        ((0.52, 0.31, 0.73), "includes 0.5: these patients do not show that the model is better than chance."),
        ((0.30, 0.15, 0.45), "all of it below 0.5: the model ranks these patients worse than chance would."),
        ((0.80, 0.65, 0.95), "all of it above 0.5. It is 0.30 wide, so the true value may be far from the figure."),
        ((0.80, 0.75, 0.85), "The 95% interval runs from 0.750 to 0.850, all of it above 0.5."),
        ((0.80, None, None), "No interval could be computed."),
    ],
)
def test_the_headline_says_what_the_interval_means(finished: Path, auc: tuple, says: str) -> None:
    run = RunFolder(finished)
    row = run.score("dlr", "extratrees", "external")
    told = meaning(type(row)(row.features, row.classifier, row.split, 30, 12, {"auc": Score(*auc)}), run)
    assert told.endswith(says)
    assert f"gets the higher risk in {round(100 * auc[0])}; chance would be 50." in told


@pytest.mark.usefixtures("undrawn")
def test_few_events_and_warnings_stand_on_the_first_screen(writer) -> None:
    write_report(writer.write(warnings=["23 patients cannot carry a model."]))
    first = text_of(page_of(writer.folder)).split("Table 1.")[0]
    assert "23 patients cannot carry a model." in first
    assert "Internal test: 8 events among 24 patients." in first
    assert "External test: 12 events" not in first


@pytest.mark.usefixtures("undrawn")
def test_a_broken_seal_is_shown(writer) -> None:
    write_report(writer.write(openings=["evaluation", "another look"]))
    text = text_of(page_of(writer.folder))
    assert "The outcomes of the test patients were opened 2 times." in text
    assert "evaluation; another look" in text


@pytest.mark.usefixtures("undrawn")
def test_masks_by_networks_that_saw_the_patient_are_shown(writer) -> None:
    folder = writer.write()
    quality = read_json(folder / "quality.json")
    quality[0]["source"] = "ensemble"
    write_json(quality, folder / "quality.json")
    write_report(folder)
    assert "1 training patient has a mask by networks that saw the patient" in page_of(folder)


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"is not a run: run\.json is missing"):
        write_report(tmp_path)


def test_a_broken_file_is_named(writer) -> None:
    folder = writer.write()
    (folder / "metrics.json").write_text('{"models": [', encoding="utf8")
    with pytest.raises(RequestError, match=r"metrics\.json cannot be read as JSON"):
        write_report(folder)


def test_importing_the_report_imports_nothing_heavy() -> None:
    code = "import sys, sarcofuse.report; print([m for m in ('matplotlib', 'pandas', 'SimpleITK', 'PIL', 'torch', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_drawing_neither_heeds_nor_leaves_global_state(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    code = (
        "import sys, json, pathlib, matplotlib as mpl; mpl.rcParams['font.size'] = 31.0; mpl.rcParams['axes.facecolor'] = 'red'\n"
        "from sarcofuse.report import write_report\n"
        "write_report(pathlib.Path(sys.argv[1]))\n"
        "print(json.dumps([mpl.rcParams['font.size'], mpl.rcParams['axes.facecolor'], 'matplotlib.pyplot' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(copy)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [31.0, "red", False]
    assert (copy / "report.html").read_bytes() == (finished / "report.html").read_bytes()


@pytest.mark.slow
def test_what_the_evaluation_writes_is_what_the_report_reads(writer) -> None:
    """A study of 23 patients whose external split has one class only: nothing is defined there, and nothing breaks."""
    from sarcofuse.config import EvaluationConfig
    from sarcofuse.evaluation import evaluate
    from sarcofuse.records import Outcomes, Prediction

    folder, rng = writer.write(), np.random.default_rng(0)
    split = {f"SECRET-{i:04d}": "train" if i < 15 else "internal" if i < 20 else "external" for i in range(23)}
    outcome = {p: int(i % 3 == 0 and s != "external") for i, (p, s) in enumerate(split.items())}
    models = [(f, c) for f in ("radiomic", "deep", "dlr") for c in ("extratrees", "svm", "logistic")]
    rows = [Prediction(p, s, f, c, (f, c) == ("deep", "svm"), float(r := rng.random()), r > 0.5) for f, c in models for p, s in split.items()]
    result = evaluate(rows, Outcomes(outcome, split), EvaluationConfig(bootstrap=100), 0)
    write_json(result.metrics, folder / "metrics.json")
    write_json(result.curves, folder / "curves.json")
    write_report(folder)
    html = page_of(folder)
    assert "the AUC of the primary model (Deep with SVM) is not defined" in html
    table = Tables(html).named("All models, laid out as in the published study")[2:]
    entry = {(r["features"], r["classifier"], r["split"]): r for r in result.metrics["models"]}
    assert [row[2][0] for row in table] == [shown(entry[f, c, "train"]["auc"]["value"]) for f, c in models]
    assert [row[14] for row in table] == [["–"]] * 9
    assert "External test: 0 events among 3 patients." in html
    assert "Calibration slope" in html
