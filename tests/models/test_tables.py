"""The published recipe of radMLBench in our building blocks meets the published numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import tables

NAMES = ("Fusco2022", "HNSCC", "Ramella2018", "WORC-Lipo")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_published_cells_of_lasso_and_logistic_regression(reference_data, name):
    # https://github.com/aydindemircioglu/radMLBench, commit f757f7b, examples/decorrelation: AUCs of 7 numbers of features x 7 strengths, without decorrelation.
    folder = reference_data / "radMLBench"
    cells = tables.published_cells(folder / "published_trials" / f"trial_{name}_1.0.csv")
    assert len(cells) == 49
    _, values, y = tables.read(folder / "datasets" / f"{name}.gz")
    found = tables.published_recipe(values, y, sorted({n for n, _ in cells}), sorted({c for _, c in cells}))
    assert {cell: round(auc, 4) for cell, auc in found.items()} == {cell: round(auc, 4) for cell, auc in cells.items()}


def test_a_table_without_published_trials_is_read_too(tmp_path):
    (tmp_path / "datasets").mkdir()
    frame = pd.DataFrame({"a": [1.0, 2.0, None, 4.0], "b": [0.0, 1.0, 0.0, 2.0], "ID": list("wxyz"), "Target": [False, True, False, True]})
    frame.to_csv(tmp_path / "datasets" / "Small.gz", index=False, compression="gzip")
    names, values, y = tables.read(tmp_path / "datasets" / "Small.gz")
    assert names == ["a", "b"]
    assert values.shape == (4, 2)
    assert y.tolist() == [0.0, 1.0, 0.0, 1.0]
