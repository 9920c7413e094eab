"""803 patients x 3,000 features, nine models, nested 5 x 5 cross-validation, 2,000 bootstrap samples and all statistics, beside the same of plain scikit-learn pieces.

    python benchmarks/models.py [--patients 803] [--features 3000] [--bootstrap 2000] [--workers N] [--seed 0] [--no-peer] [--docs]

The table is made: two blocks of radiomic-like features (groups that correlate, gaps, constants) over the splits of the published study. scikit-learn does one fit of each kind, and its
seconds are multiplied by how often the whole work needs that fit; the ratio is of seconds of one core (CPU time), which other work on the machine disturbs least.
Ends with one line of JSON. `--docs` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from common import markdown, put_in_docs, timed

from sarcofuse.config import EvaluationConfig, ModelsConfig
from sarcofuse.records import FeatureTable, Outcomes, Prediction

SHARES = {"train": 527 / 803, "internal": 132 / 803, "external": 144 / 803}
FACTORS, GROUP = 40, 6
INNER_REPEATS = ModelsConfig().signature.repeats


def table(patients: int, features: int, seed: int) -> tuple[dict[str, FeatureTable], dict[str, int], dict[str, str]]:
    """Make two blocks, the outcome and the splits; two factors of each block drive the outcome."""
    rng = np.random.default_rng(seed)
    ids, eta, tables = tuple(f"P{i:06d}" for i in range(patients)), np.full(patients, -1.4), {}
    for block, width in (("radiomic", features - features // 2), ("deep", features // 2)):
        latent = rng.normal(size=(patients, FACTORS))
        eta += 0.8 * (latent[:, 0] - latent[:, 1])
        group = latent @ rng.normal(size=(FACTORS, -(-width // GROUP))) / np.sqrt(FACTORS) + rng.normal(size=(patients, -(-width // GROUP)))
        values = np.repeat(group, GROUP, axis=1)[:, :width] + rng.uniform(0.1, 1.5, width) * rng.normal(size=(patients, width))
        values[rng.random(values.shape) < 0.002] = np.nan
        values[:, :: max(2, width // 20)] = 1.0
        tables[block] = FeatureTable(block, ids, tuple(f"{block}_{j}" for j in range(width)), values)
    event = rng.random(patients) < 1.0 / (1.0 + np.exp(-eta))
    split = dict(zip(ids, rng.permutation(np.repeat(list(SHARES), np.diff(np.round(np.cumsum([0.0, *SHARES.values()]) * patients).astype(int)))), strict=True))
    return tables, dict(zip(ids, event.astype(int).tolist(), strict=True)), {p: str(s) for p, s in split.items()}


def ours(arguments: argparse.Namespace) -> dict[str, object]:
    """Fit and evaluate through the public functions; seconds by part."""
    from sarcofuse.evaluation import evaluate
    from sarcofuse.models import fit_models, risks
    from sarcofuse.runtime import Engine
    from sarcofuse.signature import LassoSignature

    tables, outcome, split = table(arguments.patients, arguments.features, arguments.seed)
    train, config = [p for p in outcome if split[p] == "train"], ModelsConfig()
    with tempfile.TemporaryDirectory() as room, Engine(Path(room), workers=arguments.workers) as engine:
        start = time.perf_counter()
        own = {b: FeatureTable(b, tuple(train), t.names, t.rows(train)) for b, t in tables.items()}
        models = fit_models(own, {p: outcome[p] for p in train}, LassoSignature(**config.signature.model_dump(exclude={"model"}), seed=0), config, engine, 0)
        rows = []
        for m in models:
            risk = {**m.out_of_fold, **risks(m, tables, [p for p in outcome if split[p] != "train"])}
            rows += [Prediction(p, split[p], m.features, m.classifier, (m.features, m.classifier) == config.primary, risk[p], risk[p] >= m.threshold) for p in outcome]
        fitted = time.perf_counter()
        found = evaluate(rows, Outcomes(outcome, split), EvaluationConfig(bootstrap=arguments.bootstrap), 0)
        parts = {**engine.timings, "evaluation": time.perf_counter() - fitted}
    lead = [(r["split"], r["auc"]["value"]) for r in found.metrics["models"] if (r["features"], r["classifier"]) == config.primary]
    return {"seconds": time.perf_counter() - start, "parts": parts, "auc": dict(lead)}


def peer(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Time one fit of each kind with scikit-learn, and say how many there are."""
    import warnings

    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score
    from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, l1_min_c

    warnings.simplefilter("ignore")
    tables, outcome, split = table(arguments.patients, arguments.features, arguments.seed)
    train, config = [p for p in outcome if split[p] == "train"], ModelsConfig()
    X, y = tables["radiomic"].rows(train), np.array([outcome[p] for p in train])
    some = np.random.default_rng(0).permutation(y.size)[: round(0.64 * y.size)]  # the training set of an inner fold of an outer fold
    Z = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit_transform(X[some])
    grid = l1_min_c(Z, y[some], loss="log") * np.geomspace(1.0, 1.0 / config.signature.ratio, config.signature.penalties)
    start = time.process_time()
    folds = StratifiedKFold(config.signature.folds, shuffle=True, random_state=0).split(Z, y[some])
    known, unknown = next(iter(folds))
    path = LogisticRegression(penalty="l1", solver="liblinear", warm_start=True)
    for C in grid:
        path.set_params(C=C).fit(Z[known], y[some][known]).predict_proba(Z[unknown])
    one = time.process_time() - start
    outer, inner = config.folds + 1, config.signature.folds + 1
    rows: list[dict[str, object]] = [{"piece": "L1 path of one fold", "seconds each": one, "how often": 2 * outer * inner * (config.signature.folds * INNER_REPEATS + 1)}]
    forest = {"min_samples_leaf": [0.1, 0.04, 0.015]}
    machines = {
        "extratrees": (ExtraTreesClassifier(300, random_state=0), forest),
        "svm": (make_pipeline(StandardScaler(), SVC(class_weight="balanced", random_state=0)), {"svc__gamma": [0.015, 0.05, 0.15], "svc__C": [0.1, 1.0, 10.0]}),
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)), {"logisticregression__C": [0.001, 0.01, 0.1, 1.0, 10.0]}),
    }
    narrow = np.nan_to_num(X[:, 1:31])
    for name, (machine, values) in machines.items():
        start = time.process_time()
        search = GridSearchCV(machine, values, scoring="neg_log_loss" if name == "logistic" else "roc_auc", cv=config.signature.folds).fit(narrow, y)
        cross_val_score(search.best_estimator_, narrow, y, cv=config.signature.folds)  # for the sigmoid
        rows.append({"piece": f"{name}, tuned", "seconds each": time.process_time() - start, "how often": 3 * outer})
    rng, risk = np.random.default_rng(0), np.random.default_rng(1).random(y.size)
    odds = np.log(risk / (1.0 - risk))[:, None]
    start = time.process_time()
    for _ in range(arguments.bootstrap):
        pick = rng.integers(0, y.size, y.size)
        roc_auc_score(y[pick], risk[pick]), brier_score_loss(y[pick], risk[pick]), confusion_matrix(y[pick], risk[pick] > 0.5)
        LogisticRegression(C=1e9).fit(odds[pick], y[pick])  # calibration slope and intercept
    rows.append({"piece": "bootstrap of AUC, Brier score, table and calibration line", "seconds each": time.process_time() - start, "how often": 27})
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("patients", 803), ("features", 3000), ("bootstrap", 2000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--no-peer", action="store_true", help="leave scikit-learn out")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--part", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        arguments.part.write_text(json.dumps(ours(arguments)))
        return
    with tempfile.TemporaryDirectory() as room:
        file = Path(room) / "ours.json"
        _, cpu, memory = timed([sys.executable, __file__, *sys.argv[1:], "--part", str(file)])
        found = json.loads(file.read_text())
    rows = [{"piece": f"sarcofuse, {part}", "seconds": seconds} for part, seconds in found["parts"].items()] + [{"piece": "sarcofuse, in all", "seconds": found["seconds"]}]
    pieces = [] if arguments.no_peer else peer(arguments)
    total = sum(float(p["seconds each"]) * int(p["how often"]) for p in pieces)
    rows += [{"piece": f"scikit-learn, {p['piece']}, {p['how often']} times", "seconds": float(p["seconds each"]) * int(p["how often"])} for p in pieces]
    if pieces:
        rows += [{"piece": "scikit-learn, in all, seconds of one core", "seconds": total}, {"piece": "sarcofuse, in all, seconds of one core", "seconds": cpu}]
    print(markdown(rows))
    if arguments.docs:
        put_in_docs("models", markdown(rows))
    ratio = round(total / cpu, 1) if pieces else None
    print(json.dumps({"seconds": round(found["seconds"], 1), "cpu_seconds": round(cpu, 1), "peak_mb": round(1000 * memory), "ratio_to_scikit_learn": ratio, "auc": found["auc"]}))


if __name__ == "__main__":
    main()
