"""803 phantoms with true masks: how much of the Bayes AUC's excess over 0.5 do the models recover on the 144 external patients, and what does fusion add?

    python benchmarks/recovery.py [--patients 803] [--seed 0] [--out FOLDER] [--run FOLDER] [--without oedema | --strangers] [--docs]

`--run` takes the folder of a run that is there already (with cohort/ beside it) and runs nothing from images. `--without oedema` gives the same patients new outcomes that do not depend on the oedema,
which is what the networks see and radiomics does not, and runs the modelling half on the features of that run. `--strangers` gives every patient the deep features of another patient of the same
split instead: deep features then know nothing, and fusion must add nothing. Ends with one line of JSON. `--docs` puts the tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd
from common import markdown, put_in_docs
from demo import recovered

from sarcofuse.config import read_study, write_study
from sarcofuse.phantom import Latents, bayes_auc, make_cohort
from sarcofuse.phantom.truth import CAUSES, SOURCES, aggressiveness_of, risk_of
from sarcofuse.records import alone
from sarcofuse.runtime import Engine
from sarcofuse.study import demo_study, run


def gains(metrics: dict[str, list[dict]]) -> list[dict[str, object]]:
    """Differences in AUC of DLR, with DeLong's intervals, from the radiomic signature in the same classifier, which is like for like, and from the radiomic model, which reads selected features."""
    rows = []
    for second in (alone("radiomic"), "radiomic"):
        found = [r for r in metrics["comparisons"] if (r["first"], r["second"]) == ("dlr", second) and r["split"] != "train"]
        rows += [{"dlr less": second, "split": r["split"], "classifier": r["classifier"], "difference": r["difference"], "low": r["low"], "high": r["high"], "p": r["p"]} for r in found]
    return rows


def from_images(home: Path, patients: int, seed: int) -> Path:
    """Draw a cohort and run everything on it."""
    home.mkdir(parents=True, exist_ok=True)
    with Engine(home / "run" / "cache") as engine:
        make_cohort(home / "cohort", patients=patients, seed=seed, engine=engine)
    write_study(demo_study(seed, masks="given"), home / "study.yaml")
    return run(home / "study.yaml", home / "run").folder


def without(causes: tuple[str, ...], source: Path, home: Path, seed: int) -> Path:
    """Run the modelling half on a run's features, with outcomes that depend on some components alone."""
    home.mkdir(parents=True, exist_ok=True)
    truth = pd.read_csv(source.parent / "cohort" / "truth.csv", index_col="patient_id")
    cohort = pd.read_csv(source.parent / "cohort" / "cohort.csv", dtype={"patient_id": str})
    hidden = [Latents(*truth.loc[p, ["texture", "shape", "oedema"]].astype(float)) for p in cohort["patient_id"]]
    risk = risk_of(np.array([aggressiveness_of(h, causes) for h in hidden]))
    cohort["recurrence"] = (np.random.default_rng([seed, 1]).random(len(cohort)) < risk).astype(int)
    cohort.drop(columns=["image", "mask"]).to_csv(home / "cohort.csv", index=False)
    (home / "truth.json").write_text(json.dumps({"bayes": {name: bayes_auc(known, causes) for name, known in SOURCES.items()}}), encoding="utf8")
    plain = read_study(source.parent / "study.yaml").model_dump(mode="json")
    plain["cohort"]["file"], plain["evaluation"]["truth"] = "cohort.csv", "truth.json"
    plain["features"] = {block: str((source / "features" / f"{block}.parquet").resolve()) for block in ("radiomic", "deep")}
    (home / "study.yaml").write_text(json.dumps(plain), encoding="utf8")  # JSON is YAML
    return run(home / "study.yaml", home / "run").folder


def strangers(source: Path, home: Path, seed: int) -> Path:
    """Run the modelling half on a run's features, with the deep features dealt anew among the patients of each split."""
    home.mkdir(parents=True, exist_ok=True)
    cohort = pd.read_csv(source.parent / "cohort" / "cohort.csv", dtype={"patient_id": str})
    cohort.drop(columns=["image", "mask"]).to_csv(home / "cohort.csv", index=False)
    deep, rng = pd.read_parquet(source / "features" / "deep.parquet"), np.random.default_rng([seed, 2])
    for _, part in cohort.groupby("split"):
        who = [p for p in part["patient_id"] if p in deep.index]
        deep.loc[who] = deep.loc[rng.permutation(who)].to_numpy()
    deep.to_parquet(home / "deep.parquet")
    nothing = {name: bayes_auc(() if name == "deep" else SOURCES["radiomic"] if name == "dlr" else known) for name, known in SOURCES.items()}
    (home / "truth.json").write_text(json.dumps({"bayes": nothing}), encoding="utf8")
    plain = read_study(source.parent / "study.yaml").model_dump(mode="json")
    plain["cohort"]["file"], plain["evaluation"]["truth"] = "cohort.csv", "truth.json"
    plain["features"] = {"radiomic": str((source / "features" / "radiomic.parquet").resolve()), "deep": "deep.parquet"}
    (home / "study.yaml").write_text(json.dumps(plain), encoding="utf8")
    return run(home / "study.yaml", home / "run").folder


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=803)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="keep the run here")
    parser.add_argument("--run", type=Path, default=None, help="take this run, and run nothing from images")
    parser.add_argument("--without", nargs="+", choices=CAUSES, default=[], help="components that the outcome shall not depend on")
    parser.add_argument("--strangers", action="store_true", help="deal the deep features anew among patients")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        home = arguments.out or Path(room)
        folder = arguments.run or from_images(home, arguments.patients, arguments.seed)
        if arguments.without:
            folder = without(tuple(c for c in CAUSES if c not in arguments.without), folder, home / "without", arguments.seed)
        elif arguments.strangers:
            folder = strangers(folder, home / "strangers", arguments.seed)
        metrics = json.loads((folder / "metrics.json").read_text())
        timings = json.loads((folder / "run.json").read_text())["timings"]
    rows = [{"split": split, **row} for split in ("internal", "external") for row in recovered(metrics, split)]
    added = gains(metrics)
    print(markdown(rows), markdown(added), sep="\n\n")
    name = "without" if arguments.without else "strangers" if arguments.strangers else "recovery"
    if arguments.docs:
        put_in_docs(name, markdown(rows))
        put_in_docs(f"{name} gain", markdown(added))
    best = max(r["share"] for r in rows if r["split"] == "external" and r["features"] == "dlr")
    print(json.dumps({"patients": arguments.patients, "seed": arguments.seed, "best_dlr_share_external": best, "models": rows, "gains": added, "timings": timings}))


if __name__ == "__main__":
    main()
