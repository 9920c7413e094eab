"""Public radiomic tables with published AUCs: what does the default nested pipeline reach on each, and does the published recipe give the published numbers?

    python benchmarks/tables.py [--data FOLDER] [--hosny FOLDER] [--repeats 3] [--scheduler processes] [--docs]

FOLDER is laid out like radMLBench (https://github.com/aydindemircioglu/radMLBench): datasets/NAME.gz and, where they are known, published_trials/trial_NAME_1.0.csv.
Without --data it is that of the reference data ($SARCOFUSE_REFERENCE_DATA, else ../shared/data), and the second part, Hosny 2018 (train on HarvardRT, validate on
Maastro), is run from there as well.

The primary model is declared beforehand: the default classifier of a study (extratrees) on one block, everything else by default, nested cross-validation of 5 folds
repeated with other folds, the mean of the repeats' pooled AUCs. `published_median` and `published_best` are over all 616 published trials of a table (4 selectors x 4
classifiers x their settings); the best is optimistic, for it was chosen by its own AUC. Ends with one line of JSON. `--docs` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd
from common import markdown, put_in_docs
from numpy.typing import NDArray

from sarcofuse.config import ModelsConfig
from sarcofuse.metrics import auc
from sarcofuse.models import FittedModel, fit_models, risks
from sarcofuse.records import FeatureTable
from sarcofuse.runtime import Engine
from sarcofuse.signature import L1Selector
from sarcofuse.study.run import make_signature

BLOCK = "radiomic"
PRIMARY = ModelsConfig().primary[1]
Matrix = NDArray[np.float64]


def reference() -> Path:
    """Say where the reference data lie."""
    named = os.environ.get("SARCOFUSE_REFERENCE_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def read(file: Path) -> tuple[list[str], Matrix, Matrix]:
    """Read a table of radMLBench: names of features, features, outcome."""
    frame = pd.read_csv(file, compression="gzip")
    features = frame.drop(columns=["ID", "Target"])
    return [str(c) for c in features.columns], features.to_numpy(float, na_value=np.nan), frame["Target"].to_numpy(float)


def block(names: list[str], values: Matrix, prefix: str = "P", name: str = BLOCK) -> FeatureTable:
    """Give a table as a block; patients are numbered in the order of the file."""
    return FeatureTable(name, tuple(f"{prefix}{i:05d}" for i in range(len(values))), tuple(names), values)


def nested(tables: Mapping[str, FeatureTable], outcome: Mapping[str, int], seed: int, scheduler: str) -> list[FittedModel]:
    """Fit the default models with one seed."""
    config = ModelsConfig()
    with tempfile.TemporaryDirectory() as room, Engine(Path(room), scheduler=scheduler, progress=False) as engine:
        return fit_models(tables, outcome, make_signature(config.signature, seed), config, engine, seed)


def default_row(file: Path, trials: Path, repeats: int, scheduler: str) -> dict[str, Any]:
    """Run the default pipeline on one table."""
    names, values, y = read(file)
    table = block(names, values)
    outcome = dict(zip(table.patient_ids, y.astype(int).tolist(), strict=True))
    found: dict[str, list[float]] = {}
    for seed in range(repeats):
        for model in nested({BLOCK: table}, outcome, seed, scheduler):
            found.setdefault(model.classifier, []).append(float(auc(y, [model.out_of_fold[p] for p in table.patient_ids])))
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    known = pd.read_csv(trials, compression="gzip")["value"] if trials.exists() else pd.Series([np.nan])
    return {
        "name": file.stem,
        "patients": len(y),
        "features": len(names),
        "auc": mean[PRIMARY],
        "low": min(found[PRIMARY]),
        "high": max(found[PRIMARY]),
        "published_median": float(known.median()),
        "published_best": float(known.max()),
        **{name: value for name, value in mean.items() if name != PRIMARY},
    }


def published_folds(y: Matrix) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give the published folds: ten, the seed being 42 x splits + repeats + 42."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    yield from RepeatedStratifiedKFold(n_splits=10, n_repeats=1, random_state=42 * 10 + 1 + 42).split(np.zeros((len(y), 1)), y)


def published_recipe(values: Matrix, y: Matrix, counts: list[int], strengths: list[float]) -> dict[tuple[int, float], float]:
    """Give the pooled AUC of the published recipe for every number of features and strength: the features as they are, L1 selection (liblinear, C 1), logistic regression (liblinear)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    risk = {(n, c): np.empty(len(y)) for n in counts for c in strengths}
    for train, test in published_folds(y):
        for n in counts:
            selector = L1Selector(count=n).fit(values[train], y[train])
            for c in strengths:
                machine = LogisticRegression(max_iter=500, solver="liblinear", C=c, random_state=42)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    machine.fit(selector.transform(values[train]), y[train])
                risk[n, c][test] = machine.predict_proba(selector.transform(values[test]))[:, 1]
    return {cell: float(auc(y, scores)) for cell, scores in risk.items()}


def published_cells(trials: Path) -> dict[tuple[int, float], float]:
    """Read the published AUCs of LASSO with logistic regression, by number of features and strength."""
    frame = pd.read_csv(trials, compression="gzip")
    own = frame[(frame["params_fs_method"] == "LASSO") & (frame["params_clf_method"] == "LogisticRegression")]
    return {(int(n), float(c)): float(v) for n, c, v in zip(own["params_N"], own["params_C_LR"], own["value"], strict=True)}


def recipe_row(file: Path, trials: Path) -> dict[str, Any]:
    """Compare the published recipe in our building blocks with the published cells."""
    _, values, y = read(file)
    cells = published_cells(trials)
    ours = published_recipe(values, y, sorted({n for n, _ in cells}), sorted({c for _, c in cells}))
    gaps = [abs(ours[cell] - value) for cell, value in cells.items()]
    return {"name": file.stem, "cells": len(cells), "met to 4 decimals": sum(round(ours[c], 4) == round(v, 4) for c, v in cells.items()), "largest difference": f"{max(gaps):.1e}"}


def hosny(folder: Path, scheduler: str) -> tuple[float, list[dict[str, Any]]]:
    """Train on HarvardRT, validate on Maastro: AUC there of the network alone, and of the nine default models on radiomics, on the network's output, and on both."""
    frames = {name: pd.read_csv(folder / f"{name}.csv") for name in ("HarvardRT", "Maastro")}
    skipped = ("general_info_", "id", "surv2yr", "logit_")
    names = [c for c in frames["HarvardRT"].columns if not c.startswith(skipped) and c in frames["Maastro"].columns]
    y = {name: frame["surv2yr"].to_numpy(float) for name, frame in frames.items()}
    tables, network = {}, {}
    for name, frame in frames.items():
        network[name] = np.log(frame["logit_1"] / frame["logit_0"]).to_numpy(float)
        tables[name] = {BLOCK: block(names, frame[names].to_numpy(float), name), "deep": block(["network"], network[name][:, None], name, "deep")}
    train, test = (tables[name][BLOCK].patient_ids for name in ("HarvardRT", "Maastro"))
    rows = []
    for model in nested(tables["HarvardRT"], dict(zip(train, y["HarvardRT"].astype(int).tolist(), strict=True)), 0, scheduler):
        risk = list(risks(model, tables["Maastro"], list(test)).values())
        inside = float(auc(y["HarvardRT"], [model.out_of_fold[p] for p in train]))
        rows.append({"features": model.features, "classifier": model.classifier, "HarvardRT out-of-fold": inside, "Maastro": float(auc(y["Maastro"], risk))})
    return float(auc(y["Maastro"], network["Maastro"])), rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder laid out like radMLBench")
    parser.add_argument("--hosny", type=Path, default=None, help="folder with HarvardRT.csv and Maastro.csv")
    parser.add_argument("--repeats", type=int, default=3, help="dealings of the nested cross-validation")
    parser.add_argument("--scheduler", default="processes", help="processes or serial")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    home = arguments.data or reference() / "radMLBench"
    second = arguments.hosny or (None if arguments.data else reference() / "hosny2018")
    files = sorted((home / "datasets").glob("*.gz"))
    if not files:
        raise SystemExit(f"{home} holds no datasets/NAME.gz; expected a folder laid out like radMLBench")
    trials = {f: home / "published_trials" / f"trial_{f.stem}_1.0.csv" for f in files}
    rows = [default_row(f, trials[f], arguments.repeats, arguments.scheduler) for f in files]
    recipe = [recipe_row(f, trials[f]) for f in files if trials[f].exists()]
    text = [markdown([{k: v for k, v in row.items() if k not in ("low", "high")} for row in [*rows, _mean(rows)]])]
    text += [markdown(recipe)] if recipe else []
    outcome: dict[str, Any] = {"tables": [{k: row[k] for k in ("name", "auc", "published_median", "published_best")} for row in rows], "primary": PRIMARY, "recipe": recipe}
    if second is not None and second.is_dir():
        alone, models = hosny(second, arguments.scheduler)
        outcome["hosny2018"] = {"network_alone": alone, "models": models}
        text += [f"Hosny 2018, the network alone on Maastro: {alone:.3f}", markdown(models)]
    print("\n\n".join(text))
    if arguments.docs:
        put_in_docs("tables", "\n\n".join(text))
    missed = [row["name"] for row in rows if row["auc"] < row["published_median"]]
    print(f"mean AUC {_mean(rows)['auc']:.4f}, published median {_mean(rows)['published_median']:.4f}, best {_mean(rows)['published_best']:.4f}; below their own median: {', '.join(missed) or 'none'}")
    print(json.dumps(outcome))


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: "mean" if key == "name" else "" if key in ("patients", "features") else float(np.mean([r[key] for r in rows])) for key in rows[0]}


if __name__ == "__main__":
    main()
