"""The leakage audit: proof on the user's own data that a run learned from nothing it must not know."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.config import ModelsConfig, StudyConfig, read_study
from sarcofuse.errors import CohortError, ConfigError
from sarcofuse.records import Cohort, FeatureTable
from sarcofuse.runtime import Engine, digest, digest_file, progress_bar, read_json, read_table, versions, write_json
from sarcofuse.study.fine_tuning import recall
from sarcofuse.study.harmonise import with_plan
from sarcofuse.study.run import make_signature

if TYPE_CHECKING:
    from sarcofuse.models import Recipe, Repeats

FORMAT = 1
PERMUTATIONS = 20
SUSPICIOUS = 0.01
THRESHOLD_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    folder : Path
        RUN/, where audit.json lies now.
    passed : bool
        Whether no check has failed.
    content : mapping
        Content of audit.json.
    """

    folder: Path
    passed: bool
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What is audited: the primary model of a run."""

    tables: Mapping[str, FeatureTable]
    outcome: Mapping[str, int]
    recipe: Recipe
    model: tuple[str, str]

    @property
    def patients(self) -> list[str]:
        return sorted(self.outcome)


def audit(run: Path | str, *, study: Path | str | None = None, permutations: int = PERMUTATIONS, scheduler: str = "processes", workers: int | None = None, progress: bool = True) -> Audit:
    """Audit the primary model of a run for leakage, on the run's own data.

    Three things are shown. With permuted training outcomes the whole pipeline gives chance. Internal and external rows, altered beyond recognition or taken away, leave the
    fitted model the same to the last bit. And the honest cross-validated AUC stands beside the one that the usual recipe would have shown on the same patients: features
    scaled and selected on everybody before cross-validation, the threshold chosen on the patients it is judged on. Only training outcomes are read; the seal of the others
    is not touched. What networks learned from images (segmentation, deep features) is taken as it is.

    Parameters
    ----------
    run : Path or str
        A run folder whose models are fitted. ``audit.json`` is written there, and the report shows it when it is written again.
    study : Path or str, optional
        The study file; by default the settings in run.json, with paths meant from the folder above the run.
    permutations : int
        Permutations of the training outcomes, at least 2.
    scheduler : str
        ``processes``, ``serial``, or the address of a dask scheduler.
    workers : int, optional
        Processes; by default the cores there are.
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Audit
        What was found.

    Raises
    ------
    ConfigError
        If there are fewer than 2 permutations.
    CohortError
        If the run, its cohort or a feature table is not there, or is no longer what the run saw.
    StageError
        If the models cannot be fitted.
    """
    if permutations < 2:
        message = f"an audit needs at least 2 permutations for an interval, found {permutations}"
        raise ConfigError(message)
    folder = Path(run)
    bar = progress_bar("audit", 4 + 2 * permutations, "fit", show=progress)
    try:
        with Engine(folder / "cache", scheduler=scheduler, workers=workers, progress=False) as engine:
            case = _load(folder, None if study is None else Path(study), engine)
            rows = _test_rows(case, folder, bar.update)
            recipes, honest = _recipes(case, bar.update)
            chance = _permuted(case, permutations, bar.update)
    finally:
        bar.close()
    chance["reached_by_permutations"] = (1 + sum(a >= honest for a in chance["honest"]["auc"])) / (permutations + 1)
    content = _content(case, rows, recipes, chance)
    write_json(content, folder / "audit.json")
    return Audit(folder, all(c["passed"] is not False for c in content["checks"]), content)


def _content(case: _Case, rows: dict[str, Any], recipes: Any, chance: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as _recipes gives them
    """Put together what audit.json holds."""
    return {
        "format": FORMAT,
        "model": {"features": case.model[0], "classifier": case.model[1]},
        "patients": len(case.outcome),
        "events": sum(case.outcome.values()),
        "checks": [_chance_check(chance["honest"]), *_row_checks(rows)],
        "permutations": chance,
        "test_rows": rows,
        "recipes": recipes,
    }


def _load(folder: Path, study: Path | None, engine: Engine) -> _Case:
    """Read what the run's models were fitted on."""
    from sarcofuse.cohort import clinical_table, needed_folds, read_cohort, read_features
    from sarcofuse.models import Recipe, feature_sets

    if not (folder / "run.json").is_file():
        message = f"{folder} holds no run.json; expected the folder of a run, as `sarcofuse run` writes it"
        raise CohortError(message)
    known = read_json(folder / "run.json")
    config, home = (StudyConfig.model_validate(known["config"]), folder.resolve().parent) if study is None else (read_study(study), study.parent)
    sources = {"cohort": config.cohort.file, **config.features}
    for name, file in sources.items():
        if not (home / file).is_file():
            message = f"{home / file} ({name}) is not there; run the audit where the study was run, or name its file with --study"
            raise CohortError(message)
        if known["inputs"].get(name, digest_file(home / file)) != digest_file(home / file):
            message = f"{home / file} ({name}) is not what the run saw; run the study again, then the audit"
            raise CohortError(message)
    cohort = read_cohort(config.cohort, home, config.seed, imaging=not config.features, folds=needed_folds(config))
    if config.features:
        tables = dict(read_features(config, home, cohort.patients, cohort.outcomes.training, needed_folds(config)).tables)
    else:
        tables = {f.stem: read_table(f, f.stem) for f in sorted((folder / "features").glob("*.parquet"))}
    if not tables:
        message = f"{folder / 'features'} holds no feature tables; run the study at least --until models"
        raise CohortError(message)
    if config.models.clinical or config.models.fuse_clinical:
        tables["clinical"] = clinical_table(cohort)
    names = [(s.name, c) for s in feature_sets(tables, config.models) for c in config.models.classifiers]
    lead = config.models.primary if config.models.primary in names else next(n for n in names if n[0] == names[-1][0])
    plain = config.models.model_copy(update={"ablation": False, "optimism": 0, "learning_curve": ()})
    repeats = _repeats(folder, cohort, tables, config.models)
    tables, plan = with_plan(tables, cohort.patients, config.models)
    signature = make_signature(config.models.signature, config.seed, config.models.selection, () if plan is None else plan.sites)
    times = cohort.outcomes.times if config.models.signature.model == "cox" else None
    recipe = Recipe(signature, plain, engine, config.seed, cohort.groups, repeats, times, recall(folder, tables, _complete(cohort, tables)))
    return _Case(tables, _complete(cohort, tables), recipe, lead)


def _complete(cohort: Cohort, tables: Mapping[str, FeatureTable]) -> dict[str, int]:
    """Give the outcomes of training patients who are in every table."""
    everywhere = set.intersection(*[set(t.patient_ids) for t in tables.values()])
    return {p: y for p, y in cohort.outcomes.training.items() if p in everywhere}


def _repeats(folder: Path, cohort: Cohort, tables: Mapping[str, FeatureTable], config: ModelsConfig) -> dict[str, tuple[Repeats, ...]]:
    """Read the features under perturbation by which every fold judged what is stable."""
    from sarcofuse.models import Repeats
    from sarcofuse.signature import StabilityFilter
    from sarcofuse.study.stability import BLOCK

    keeper = StabilityFilter(threshold=config.stability.threshold, bound=config.stability.bound, form=config.stability.form)
    repeats: dict[str, tuple[Repeats, ...]] = {}
    for block, asked in ((BLOCK, config.stability.perturbations), ("deep", config.stability.deep)):
        if not asked or not (folder / "features" / f"{block}-perturbed.npy").is_file():
            continue
        known = set(tables[block].patient_ids)
        who = tuple(p.patient_id for p in cohort.patients if p.split == "train" and p.patient_id in known)
        files = [file for name in ("perturbed", "masks") if (file := folder / "features" / f"{block}-{name}.npy").is_file()]
        for file in files:
            if len(np.load(file, mmap_mode="r", allow_pickle=False)) != len(who):
                message = f"{file} is not of the {len(who)} training patients of this run; run the study again, then the audit"
                raise CohortError(message)
        repeats[block] = tuple(Repeats(who, file, digest_file(file), keeper) for file in files)
    return repeats


def _test_rows(case: _Case, folder: Path, tick: Any) -> dict[str, Any]:  # noqa: ANN401 - the bar's update
    """Fit with the test rows as they are, and, in new caches so that nothing is looked up, altered and away."""
    from sarcofuse.models import dump_estimator, fit_chosen

    engine, rng, found = case.recipe.engine, np.random.default_rng([case.recipe.seed, 8]), {}
    altered = {b: _altered(t, case.outcome, rng) for b, t in sorted(case.tables.items())}
    variants = {"as_they_are": dict(case.tables), "altered": altered, "removed": {b: _removed(t, case.outcome) for b, t in case.tables.items()}}
    file = folder / "bundle" / "models" / f"{case.model[0]}-{case.model[1]}.skops"
    bundle = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    for name, tables in variants.items():
        with tempfile.TemporaryDirectory(prefix="sarcofuse-") as room, Engine(Path(room), scheduler=engine.scheduler, workers=engine.workers, progress=False) as own:
            recipe = case.recipe if name == "as_they_are" else replace(case.recipe, engine=own)
            (model,) = fit_chosen(tables, case.outcome, recipe, [case.model])
        estimator = hashlib.sha256(dump_estimator(model.estimator)).hexdigest()
        found[name] = {"estimator": estimator, "risks_and_threshold": digest(model.threshold, sorted(model.out_of_fold.items()))}
        tick(1)
    total = max(len(t.patient_ids) for t in case.tables.values())
    same_versions = read_json(folder / "run.json")["versions"] == versions()
    return {"rows": total - len(case.outcome), **found, "bundle": bundle, "same_versions": same_versions}


def _altered(table: FeatureTable, outcome: Mapping[str, int], rng: np.random.Generator) -> FeatureTable:
    test = np.array([p not in outcome for p in table.patient_ids])
    return replace(table, values=np.where(test[:, None], rng.normal(1e6, 1e9, table.values.shape), table.values))


def _removed(table: FeatureTable, outcome: Mapping[str, int]) -> FeatureTable:
    kept = [p for p in table.patient_ids if p in outcome]
    return FeatureTable(table.block, tuple(kept), table.names, table.rows(kept))


def _recipes(case: _Case, tick: Any) -> tuple[list[dict[str, Any]], float]:  # noqa: ANN401 - the bar's update
    """Measure the honest and the leaky recipe on the training patients, each with its own way of choosing the threshold."""
    from sarcofuse.metrics import auc, delong_interval, rates, stratified_folds, youden_threshold
    from sarcofuse.models import leaky_risks, out_of_fold

    y = np.array([case.outcome[p] for p in case.patients])
    honest = out_of_fold(case.tables, case.outcome, case.recipe, [case.model])[case.model]
    leaky = leaky_risks(case.tables, case.outcome, case.recipe, case.model)
    tick(1)
    fold, rows = stratified_folds(y, THRESHOLD_FOLDS, [case.recipe.seed, 9]), []
    for name, found in (("honest", honest), ("leaky", leaky)):
        risk = np.array([found[p] for p in case.patients])
        if name == "honest":
            positive = np.zeros(y.size, dtype=bool)
            for k in range(int(fold.max()) + 1):
                positive[fold == k] = risk[fold == k] >= youden_threshold(y[fold != k], risk[fold != k])
        else:
            positive = risk >= youden_threshold(y, risk)
        shares = rates(y, positive)
        rows.append({"recipe": name, "auc": asdict(delong_interval(y, risk)), "sensitivity": float(shares["sensitivity"][0]), "specificity": float(shares["specificity"][0])})
    return rows, auc(y, [honest[p] for p in case.patients])


def _permuted(case: _Case, permutations: int, tick: Any) -> dict[str, Any]:  # noqa: ANN401 - the bar's update
    """Give the AUCs of both recipes on permuted training outcomes."""
    from sarcofuse.metrics import auc
    from sarcofuse.models import leaky_risks, out_of_fold

    areas: dict[str, list[float]] = {"honest": [], "leaky": []}
    for k in range(permutations):
        drawn = _shuffled(case, k)
        outcome = dict(zip(case.patients, map(int, drawn), strict=True))
        honest = out_of_fold(case.tables, outcome, case.recipe, [case.model])[case.model]
        areas["honest"].append(auc(drawn, [honest[p] for p in case.patients]))
        tick(1)
        leaky = leaky_risks(case.tables, outcome, case.recipe, case.model)
        areas["leaky"].append(auc(drawn, [leaky[p] for p in case.patients]))
        tick(1)
    return {"count": permutations, **{name: _mean(values) for name, values in areas.items()}}


def _shuffled(case: _Case, k: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Permute the outcomes; where rows belong to groups, whole groups' outcomes (1 where one of its rows has the event), so that nothing leaks within a group."""
    from sarcofuse.metrics import group_outcomes

    y = np.array([case.outcome[p] for p in case.patients])
    labels: dict[tuple[str, str], int] = {}
    named = case.recipe.groups or {}
    number = np.array([labels.setdefault(("group", named[p]) if p in named else ("alone", p), len(labels)) for p in case.patients])
    number, event = group_outcomes(y.astype(float), number)
    return np.random.default_rng([case.recipe.seed, 10, k]).permutation(event)[number].astype(np.int64)


def _mean(areas: Sequence[float]) -> dict[str, Any]:
    """Give mean AUC, its 95 % t interval, and the one-sided p-value of a mean above 0.5."""
    from scipy.special import stdtr, stdtrit

    mean, error, freedom = float(np.mean(areas)), float(np.std(areas, ddof=1)) / np.sqrt(len(areas)), len(areas) - 1
    reach = float(stdtrit(freedom, 0.975)) * error
    p = float(stdtr(freedom, -(mean - 0.5) / error)) if error > 0.0 else float(mean <= 0.5)
    return {"auc": list(areas), "mean": mean, "low": mean - reach, "high": mean + reach, "p_above_chance": p}


def _chance_check(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": "permuted training outcomes give chance",
        "passed": found["p_above_chance"] >= SUSPICIOUS,
        "found": f"mean AUC {found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})",
        "expected": "not above 0.5",
    }


def _row_checks(rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the digests; a check that cannot be made has passed None."""
    checks: list[dict[str, Any]] = []
    for name in ("altered", "removed"):
        same = rows[name] == rows["as_they_are"]
        some = {"found": f"{rows['rows']} rows: {'the same' if same else 'another'} model", "passed": same} if rows["rows"] else {"found": "the tables hold training patients alone", "passed": None}
        checks.append({"name": f"test rows {name} change nothing", **some, "expected": "the same model to the last bit"})
    if rows["bundle"] is not None:
        same = rows["bundle"] == rows["as_they_are"]["estimator"]
        excuse = "another model; the libraries' versions have changed since" if not rows["same_versions"] else "another model"
        passed = True if same else None if not rows["same_versions"] else False
        checks.append({"name": "the bundle holds this very model", "passed": passed, "found": "the same model" if same else excuse, "expected": "the same model to the last bit"})
    return checks
