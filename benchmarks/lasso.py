"""How long a cross-validated LASSO takes on 527 x 1500 features, 10 folds x 100 penalties: this engine and scikit-learn, in one run, on the same folds and penalties, one thread each.

    python benchmarks/lasso.py [--quick] [--skglm PYTHON] [--adelie PYTHON] [--docs]

Features correlate as radiomic ones do. Logistic regression stands beside `LogisticRegressionCV` (liblinear), least squares beside `LassoCV`. skglm and adelie run where this interpreter, or
the one named, has them. `--quick` gives scikit-learn and skglm 2 folds x 10 penalties and says so; its ratio is scaled by the fits. Ends with one line of JSON: the ratio for logistic regression and
our CPU seconds for it. `--docs` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENTS, FEATURES, FOLDS, PENALTIES, RATIO = 527, 1500, 10, 100, 0.01


def table(seed: int = 0) -> dict[str, np.ndarray]:
    """Make features of sixty latent factors and noise, with a class and a number to predict, and deal the folds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(PATIENTS, 60)) @ (rng.normal(size=(60, FEATURES)) * (rng.random((60, FEATURES)) < 0.1))
    X = X / (X.std(axis=0) + 1e-12) + 0.3 * rng.normal(size=X.shape)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    eta = X[:, rng.choice(FEATURES, 15, replace=False)] @ rng.normal(size=15) * 0.4
    labels = (rng.random(PATIENTS) < 1 / (1 + np.exp(-eta))).astype(float)
    return {"X": X, "logistic": labels, "linear": eta + rng.normal(size=PATIENTS), "fold": rng.permutation(PATIENTS) % FOLDS}


def grid(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Give the penalties, as glmnet chooses them for more features than patients."""
    return np.abs(X.T @ (y - y.mean())).max() / len(y) * np.geomspace(1.0, RATIO, PENALTIES)


def ours(data: dict[str, np.ndarray], kind: str, penalties: np.ndarray, folds: int) -> tuple[float, float]:
    """Fit all patients and cross-validate; give the penalty of least deviance and that deviance."""
    from sarcofuse.signature.path import PathSettings, cross_validate, fit_path

    settings = PathSettings("binomial" if kind == "logistic" else "gaussian")
    fit_path(data["X"], data[kind], settings, penalties=penalties)
    found = cross_validate(data["X"], data[kind], penalties, [np.minimum(data["fold"], folds)], settings)
    at = found.choose("min")
    return float(found.penalties[at]), float(found.deviance[at])


def splits(data: dict[str, np.ndarray], folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give training and test rows of the first folds."""
    return [(np.flatnonzero(data["fold"] != k), np.flatnonzero(data["fold"] == k)) for k in range(folds)]


def scikit_learn(data: dict[str, np.ndarray], kind: str, penalties: np.ndarray, folds: int) -> tuple[float, float]:
    """Do the same with scikit-learn; features are standardised once."""
    from sklearn.linear_model import LassoCV, LogisticRegressionCV

    X, y, cv = data["X"], data[kind], splits(data, folds)
    sizes = np.array([test.size for _, test in cv])
    if kind == "linear":
        fitted = LassoCV(alphas=penalties, cv=cv).fit(X, y)
        mean = fitted.mse_path_ @ sizes / sizes.sum()
        return float(fitted.alphas_[np.argmin(mean)]), float(mean.min())
    fitted = LogisticRegressionCV(
        Cs=1 / (penalties * (1 - 1 / FOLDS) * PATIENTS), l1_ratios=(1.0,), solver="liblinear", cv=cv, scoring="neg_log_loss", intercept_scaling=100.0, random_state=0, use_legacy_attributes=False
    ).fit(X, y)
    scores = np.asarray(fitted.scores_).reshape(folds, -1)
    mean = -2.0 * (sizes @ scores) / sizes.sum()
    return float(penalties[np.argmin(mean)]), float(mean.min())


def skglm(data: dict[str, np.ndarray], kind: str, penalties: np.ndarray, folds: int) -> tuple[float, float]:
    """Do the same with skglm, fit by fit from the fit before."""
    from skglm import Lasso, SparseLogisticRegression

    X, y, losses = data["X"], data[kind], np.zeros(penalties.size)
    labels = 2 * y - 1 if kind == "logistic" else y
    cases = [(np.arange(PATIENTS), np.arange(0)), *splits(data, folds)]
    for train, test in cases:
        model = SparseLogisticRegression(warm_start=True) if kind == "logistic" else Lasso(warm_start=True)
        for at, penalty in enumerate(penalties):
            model.alpha = float(penalty)
            model.fit(X[train], labels[train])
            eta = X[test] @ model.coef_.ravel() + model.intercept_
            losses[at] += (2 * (np.logaddexp(0, eta) - y[test] * eta) if kind == "logistic" else (y[test] - eta) ** 2).sum()
    losses /= sum(test.size for _, test in cases)
    return float(penalties[np.argmin(losses)]), float(losses.min())


def adelie(data: dict[str, np.ndarray], kind: str, penalties: np.ndarray, folds: int) -> tuple[float, float]:
    """Do the same with adelie's own cross-validation, which deals its own folds."""
    import adelie as ad

    y = np.asfortranarray(data[kind])
    glm = ad.glm.binomial(y) if kind == "logistic" else ad.glm.gaussian(y)
    options = {"min_ratio": RATIO, "lmda_path_size": penalties.size, "n_threads": 1, "progress_bar": False}
    ad.grpnet(X=np.asfortranarray(data["X"]), glm=glm, early_exit=False, **options)
    found = ad.cv_grpnet(X=np.asfortranarray(data["X"]), glm=glm, n_folds=folds, early_exit=False, **options)
    rest = float(np.mean(y**2)) if kind == "linear" else 0.0  # adelie leaves out what does not depend on the coefficients
    return float(found.lmdas[found.best_idx]), 2.0 * float(found.avg_losses[found.best_idx]) + rest


TOOLS = {"ours": ours, "scikit-learn": scikit_learn, "skglm": skglm, "adelie": adelie}


def seconds(tool: str, data: dict[str, np.ndarray], kind: str, folds: int, count: int) -> dict[str, object]:
    """Give the CPU seconds of a tool, the least of three runs for ours, compiled and imported beforehand."""
    penalties = grid(data["X"], data[kind])
    part = penalties[np.linspace(0, PENALTIES - 1, count).astype(int)]
    small = {**data, "X": data["X"][:, :40]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TOOLS[tool](small, kind, grid(small["X"], data[kind])[:3], FOLDS)
        taken = []
        for _ in range(3 if tool == "ours" else 1):
            begin = time.process_time()
            penalty, deviance = TOOLS[tool](data, kind, part, folds)
            taken.append(time.process_time() - begin)
    fits = folds * count + (1 if tool == "scikit-learn" else count)  # scikit-learn fits all patients at the chosen penalty alone
    return {"model": kind, "tool": tool, "fits": fits, "CPU seconds": min(taken), "ms a fit": 1000 * min(taken) / fits, "chosen penalty": penalty, "its deviance": deviance}


def elsewhere(python: str, tool: str, kind: str, folds: int, count: int) -> dict[str, object] | None:
    """Run a tool in an interpreter that has it; None where it has not."""
    if subprocess.run([python, "-c", f"import {tool}"], capture_output=True, check=False).returncode != 0:
        return None
    with tempfile.TemporaryDirectory() as room:
        np.savez(Path(room) / "data.npz", **table())
        done = subprocess.run([python, __file__, "--worker", tool, kind, str(folds), str(count), str(Path(room) / "data.npz")], capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="give scikit-learn and skglm 2 folds and 10 penalties")
    parser.add_argument("--skglm", default=sys.executable, metavar="PYTHON", help="interpreter that has skglm")
    parser.add_argument("--adelie", default=sys.executable, metavar="PYTHON", help="interpreter that has adelie")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        tool, kind, folds, count, file = arguments.worker
        print(json.dumps(seconds(tool, dict(np.load(file)), kind, int(folds), int(count))))
        return
    from common import markdown, put_in_docs
    from threadpoolctl import threadpool_limits

    data, slow = table(), (2, 10) if arguments.quick else (FOLDS, PENALTIES)
    rows, ratios = [], {}
    for kind in ("logistic", "linear"):
        with threadpool_limits(1):
            mine, theirs = seconds("ours", data, kind, FOLDS, PENALTIES), seconds("scikit-learn", data, kind, *slow)
        measure = "ms a fit" if arguments.quick else "CPU seconds"
        ratios[kind] = float(str(theirs[measure])) / float(str(mine[measure]))
        others = [elsewhere(arguments.skglm, "skglm", kind, *slow), elsewhere(arguments.adelie, "adelie", kind, FOLDS, PENALTIES)]
        rows += [mine, theirs, *[row for row in others if row]]
    print(markdown(rows))
    if arguments.quick:
        print(f"--quick: scikit-learn and skglm had {slow[0]} folds and {slow[1]} penalties, not {FOLDS} and {PENALTIES}; the ratios are of the time a fit, which is an extrapolation.")
    if arguments.docs:
        put_in_docs("lasso", markdown(rows))
    print(json.dumps({"ratio_to_scikit_learn": ratios["logistic"], "seconds": rows[0]["CPU seconds"], "ratio_to_lassocv": ratios["linear"], "scaled": arguments.quick}))


if __name__ == "__main__":
    main()
