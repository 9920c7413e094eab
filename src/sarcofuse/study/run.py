"""The order of training, in one place: cohort, masks, features, models, seal, evaluation, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sarcofuse.config import SelectionStep, SignatureConfig, StudyConfig, read_study
from sarcofuse.errors import ConfigError, StageError
from sarcofuse.records import SPLITS, Case, Cohort, FeatureTable, MaskQuality, Prediction, SetAside, block_alone
from sarcofuse.runtime import Engine, digest_file, read_json, write_json, write_table
from sarcofuse.study.fine_tuning import NETWORKS, fine_tune, unlearned
from sarcofuse.study.folder import RunFolder
from sarcofuse.study.followup import known_patients
from sarcofuse.study.harmonise import plan_harmonisation, with_plan
from sarcofuse.study.masks import scanners, write_spread
from sarcofuse.study.prompts import dice_side_by_side, prompt_counts
from sarcofuse.study.segmenting import segment_study

if TYPE_CHECKING:
    from sarcofuse.deep import FineTuner
    from sarcofuse.models import FittedModel, Repeats
    from sarcofuse.models.record import Signature

STAGES = ("cohort", "preprocess", "segment", "radiomics", "deep", "models", "evaluation", "report")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes
    ----------
    folder : Path
        RUN/.
    finished : str
        The last stage that was done.
    set_aside : tuple of SetAside
        Cases that could not be used.
    warnings : tuple of str
        What a careful reader should know.
    """

    folder: Path
    finished: str
    set_aside: tuple[SetAside, ...]
    warnings: tuple[str, ...]


@dataclass
class _Study:
    """A study under way."""

    config: StudyConfig
    home: Path
    folder: RunFolder
    engine: Engine
    until: str
    cohort: Cohort
    inputs: dict[str, str]
    cases: list[Case] = field(default_factory=list)
    quality: list[MaskQuality] = field(default_factory=list)
    tables: dict[str, FeatureTable] = field(default_factory=dict)
    models: list[FittedModel] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    segmenter: Path | None = None
    unfound: set[str] = field(default_factory=set)  # in whom no tumour was found
    given: list[Case] = field(default_factory=list)  # training cases with given masks, where features are taken from automatic ones
    repeats: dict[str, tuple[Repeats, ...]] = field(default_factory=dict)
    tuner: FineTuner | None = None  # where the backbone learns the outcome
    untaught: Mapping[str, Path] = field(default_factory=dict)  # by training patient the network that did not learn from them

    @property
    def outcome(self) -> dict[str, int]:
        return self.cohort.outcomes.training

    @property
    def weights(self) -> Path | None:
        return None if self.config.deep.weights is None else self.home / self.config.deep.weights


def run(
    study: Path | str | StudyConfig,
    out: Path | str | None = None,
    *,
    scheduler: str = "processes",
    workers: int | None = None,
    until: str = "report",
    progress: bool = True,
    templates: Path | None = None,
) -> RunResult:
    """Run a study: all stages, in order, each going on from what an earlier run left.

    Parameters
    ----------
    study : Path, str or StudyConfig
        study.yaml, or its content; paths in the content are then meant from the current folder.
    out : Path or str, optional
        The run folder; by default ``run`` beside study.yaml.
    scheduler : str
        ``processes``, ``serial``, or the address of a dask scheduler.
    workers : int, optional
        Processes; by default the cores there are.
    until : str
        The last stage to do, one of `STAGES`.
    progress : bool
        Whether to show progress bars on a terminal.
    templates : Path, optional
        Folder of Auto3DSeg algorithm templates, in place of ``segment.templates``.

    Returns
    -------
    RunResult
        Where the results are, and what was set aside.

    Raises
    ------
    ConfigError
        If a setting is wrong.
    CohortError
        If the table of patients is wrong as a whole.
    StageError
        If a stage cannot go on.
    """
    if until not in STAGES:
        message = f"there is no stage {until!r}; expected one of {', '.join(STAGES)}"
        raise ConfigError(message)
    config, home = _settings(study, templates)
    folder = RunFolder(Path(out) if out is not None else home / "run")
    folder.path.mkdir(parents=True, exist_ok=True)
    with Engine(folder.path / "cache", scheduler=scheduler, workers=workers, progress=progress) as engine:
        state = _begin(config, home, folder, engine, until)
        last = _work_through(state)
        if until == "report":
            from sarcofuse.report import write_report

            write_report(folder.path)
            last = "report"
    return RunResult(folder.path, last, tuple(folder.set_aside), tuple(folder.warnings))


def _work_through(state: _Study) -> str:
    """Do one stage after another, write run.json whatever happens, and give the last that was done."""
    last = "cohort"
    try:
        for stage, work in _plan(state.config):
            if STAGES.index(stage) > STAGES.index(state.until):
                break
            work(state)
            last = stage
    finally:
        _write_run(state)
    return last


def _settings(study: Path | str | StudyConfig, templates: Path | None) -> tuple[StudyConfig, Path]:
    """Give a study's settings, and the folder that paths in them are meant from."""
    config, home = (study, Path()) if isinstance(study, StudyConfig) else (read_study(Path(study)), Path(study).parent)
    if templates is None:
        return config, home
    return config.model_copy(update={"segment": config.segment.model_copy(update={"templates": templates.resolve()})}), home


def _plan(config: StudyConfig) -> list[tuple[str, Callable[[_Study], None]]]:
    imaging: list[tuple[str, Callable[[_Study], None]]] = [("preprocess", _preprocess), ("segment", _segment), ("radiomics", _radiomics), ("deep", _deep)]
    modelling: list[tuple[str, Callable[[_Study], None]]] = [("models", _models), ("evaluation", _evaluate)]
    return [("deep", _read_tables), *modelling] if config.features else [*imaging, *modelling]


def _begin(config: StudyConfig, home: Path, folder: RunFolder, engine: Engine, until: str) -> _Study:
    from sarcofuse.cohort import needed_folds, one_sided_sites, read_cohort, refused_prompts, unfit_settings, unused_prompts

    unfit = unfit_settings(config)
    if unfit:
        raise ConfigError("; ".join(unfit))
    cohort = read_cohort(config.cohort, home, config.seed, imaging=not config.features, folds=needed_folds(config))
    folder.set_aside = list(cohort.set_aside)
    refused = refused_prompts(config, cohort.patients) if not config.features else []
    if refused:
        raise ConfigError("; ".join(refused))
    unused = unused_prompts(config, cohort.patients) if not config.features else []
    folder.warnings = [*cohort.warnings, *unused, *one_sided_sites(cohort.patients, cohort.outcomes.training)]
    if not config.features and STAGES.index(until) >= STAGES.index("deep"):
        from sarcofuse import deep

        deep.try_network(config.deep, None if config.deep.weights is None else home / config.deep.weights, segmenter=config.segment.masks == "model")
    folder.write_cohort(cohort)
    plan_harmonisation(cohort.patients, config.models)
    if config.segment.masks in ("nnunet", "totalsegmentator") and not config.features:
        from sarcofuse.segment import identify

        config = config.model_copy(update={"segment": identify(config.segment, home)})
    return _Study(config, home, folder, engine, until, cohort, {"cohort": digest_file(home / config.cohort.file)})


def _write_run(state: _Study) -> None:
    from sarcofuse.cohort import flow_counts

    state.folder.write_run(state.config, flow={**flow_counts(state.cohort), **prompt_counts(state.cases)}, timings=state.engine.timings, inputs=state.inputs)


def _read_tables(state: _Study) -> None:
    from sarcofuse.cohort import needed_folds, read_features

    found = read_features(state.config, state.home, state.cohort.patients, state.outcome, needed_folds(state.config))
    state.inputs |= {block: digest_file(state.home / file) for block, file in state.config.features.items()}
    state.tables, state.folder.set_aside = found.tables, state.folder.set_aside + found.set_aside
    state.folder.warnings += found.warnings


def _preprocess(state: _Study) -> None:
    from sarcofuse import preprocess

    patients = state.cohort.patients
    if state.config.segment.masks != "model":
        patients = tuple(dataclasses.replace(p, prompt=None) for p in patients)  # they steer nothing
    cases, aside = preprocess.prepare(patients, state.config.preprocess, state.engine, mask_label=state.config.cohort.mask_label)
    state.folder.set_aside += aside
    state.cases = _someone(cases, "preprocess", aside)


def _segment(state: _Study) -> None:
    given = {c.patient_id: c.mask for c in state.cases}
    masked = segment_study(state.cases, state.config.segment, state.engine, state.config.seed, state.home)
    state.folder.set_aside += masked.set_aside
    state.folder.warnings += masked.warnings
    state.given, state.segmenter, state.unfound, state.quality = masked.given, masked.segmenter, masked.unfound, masked.quality
    state.cases = _someone(masked.cases, "segment", state.folder.set_aside)
    if state.config.segment.masks != "given":
        state.folder.plan = masked.plan
        state.folder.write_quality(state.quality)
    state.folder.write_cases(state.cases, given)
    state.folder.write_masks(state.cases)


def _radiomics(state: _Study) -> None:
    from sarcofuse import radiomics

    learned = radiomics.learn_habitats(state.cases, state.config.radiomics, state.engine, state.config.seed)
    state.config = state.config.model_copy(update={"radiomics": learned})  # so that the codebook goes into the bundle
    table, aside = radiomics.extract(state.cases, learned, state.engine)
    state.folder.write_mask_sources(state.cases)
    state.folder.write_levels(radiomics.grey_levels(state.cases, learned, state.engine))
    _keep_table(state, table, aside)
    if state.config.segment.fold_masks and state.config.segment.masks == "model":
        write_spread(state.cases, table, learned, state.engine, state.folder.path / "features" / "radiomic_spread.parquet")
    if state.config.models.stability.perturbations:
        from sarcofuse.study.stability import perturb_training

        state.repeats["radiomic"] = perturb_training(state.cases, state.given, table, learned, state.config.models.stability, state.engine, state.config.seed, state.folder.path)


def _deep(state: _Study) -> None:
    from sarcofuse import deep

    if state.config.deep.fine_tune.mode != "none":
        state.tuner, unseen = deep.begin_fine_tuning(
            state.cases, state.config.deep, state.engine, state.config.seed, state.folder.path / "deep", weights=state.weights, encoder=state.segmenter
        )
        state.folder.set_aside += unseen
        state.tables["deep"] = unlearned(state.tuner)
        return
    table, aside, notes = deep.extract_for_study(state.cases, state.config.deep, state.engine, state.folder.path / "deep", weights=state.weights, encoder=state.segmenter)
    state.folder.warnings += notes
    _keep_table(state, table, aside)
    if state.config.models.stability.deep:
        from sarcofuse.study.steady import perturb_deep

        files = (state.weights, state.segmenter)
        state.repeats["deep"], note = perturb_deep(state.cases, table, state.config.deep, state.config.models.stability, state.engine, state.config.seed, state.folder.path, files)
        state.folder.warnings.append(note)


def _keep_table(state: _Study, table: FeatureTable, aside: Sequence[SetAside]) -> None:
    state.folder.set_aside += aside
    state.tables[table.block] = table
    write_table(table, state.folder.path / "features" / f"{table.block}.parquet")


def _models(state: _Study) -> None:
    from sarcofuse import models
    from sarcofuse.bundle import Parts, lead_model, write_bundle
    from sarcofuse.cohort import clinical_schema, clinical_table, suspicions

    config, outcome = state.config, state.outcome
    if config.models.clinical or config.models.fuse_clinical:
        state.tables["clinical"] = clinical_table(state.cohort)
        state.folder.warnings += suspicions(state.tables["clinical"], state.cohort.patients, outcome)
    everywhere = set.intersection(*(set(t.patient_ids) for t in state.tables.values()))
    complete = [p for p in state.cohort.patients if p.patient_id in everywhere]
    state.tables, plan = with_plan(state.tables, state.cohort.patients, config.models)
    training = [p.patient_id for p in complete if p.split == "train"]
    signature = make_signature(config.models.signature, config.seed, config.models.selection, () if plan is None else plan.sites)
    times = state.cohort.outcomes.times if config.models.signature.model == "cox" else None
    recipe = models.Recipe(signature, config.models, state.engine, config.seed, state.cohort.groups, state.repeats, times)
    if state.tuner is not None:
        tuned = fine_tune(state.tuner, state.tables, {p: outcome[p] for p in training}, recipe, state.cases, state.folder.path, weights=state.weights, encoder=state.segmenter)
        state.tables, recipe = dict(tuned.tables), tuned.recipe
        state.folder.set_aside += tuned.set_aside
        state.folder.warnings += tuned.warnings
        state.untaught = tuned.unseen
        there = set(state.tables["deep"].patient_ids)
        complete = [p for p in complete if p.patient_id in there]
    tables = {name: FeatureTable(name, tuple(training), t.names, t.rows(training)) for name, t in state.tables.items()}
    state.models = models.fit_chosen(tables, {p: outcome[p] for p in training}, recipe)
    lead = lead_model(state.models, config)
    for model in state.models:
        state.folder.warnings += [w for w in model.warnings if w not in state.folder.warnings]
        risks = {**model.out_of_fold, **models.risks(model, state.tables, [p.patient_id for p in complete if p.split != "train"])}
        state.predictions += [Prediction(p.patient_id, p.split, model.features, model.classifier, model is lead, risks[p.patient_id], risks[p.patient_id] >= model.threshold) for p in complete]
    write_json([m.record() for m in state.models], state.folder.path / "models.json")
    write_json(models.explain(state.models, tables, lead.features, config.seed), state.folder.path / "explain.json")
    networks = None if state.tuner is None else state.folder.path / NETWORKS
    parts = Parts(state.segmenter, state.weights, clinical_schema(state.cohort.patients) if "clinical" in tables else None, plan, networks)
    write_bundle(state.folder.path / "bundle", config, state.models, tables, parts)
    state.folder.write_predictions(state.predictions, {c.patient_id: c.prompted for c in state.cases})
    if not config.features and any("deep" in m.blocks for m in state.models):
        _map(state)


def _map(state: _Study) -> None:
    """Map the deep signature of some patients for the report."""
    from sarcofuse.study.why import map_extremes, map_tuned_extremes

    files, count, folder = (state.weights, state.segmenter), state.config.report.maps, state.folder.path / "deep"
    if state.tuner is not None:
        map_tuned_extremes(state.cases, state.tables["deep"], state.tuner, folder, count=count, networks=state.folder.path / NETWORKS, unseen=state.untaught, files=files)
        return
    note = map_extremes(state.cases, state.models, state.tables, state.config.deep, state.engine, folder, count=count, files=files)
    state.folder.warnings += [note] if note else []


def make_signature(config: SignatureConfig, seed: int, selection: Sequence[SelectionStep] = (), sites: Sequence[str] = ()) -> Signature:
    """Give the unfitted signature estimator that the models are built on.

    Parameters
    ----------
    config : SignatureConfig
        Its settings.
    seed : int
        Seed of its folds.
    selection : sequence of SelectionStep
        Steps that come before it.
    sites : sequence of str
        Training sites, where the steps harmonise.

    Returns
    -------
    LassoSignature, CoxSignature or SteppedSignature
        Unfitted.
    """
    from sarcofuse.signature import compose_signature

    return compose_signature(selection, config, seed, sites)


def _evaluate(state: _Study) -> None:
    from sarcofuse.evaluation import evaluate, mask_figures

    state.folder.note_opening("evaluation", state.predictions)
    patients, config, warnings = known_patients(state.cohort, state.predictions, state.config.evaluation, state.config.cohort.time)
    result = evaluate(state.predictions, state.cohort.outcomes, config, state.config.seed, patients=patients)
    state.folder.warnings += warnings
    state.folder.warnings += [w for w in result.warnings if w not in state.folder.warnings]
    missed = [p.patient_id for p in state.cohort.patients if p.patient_id in state.unfound and p.mask is not None]
    known = scanners(state.home / state.config.cohort.file) if state.quality else {}
    masks = mask_figures(state.quality, state.cohort.patients, config, state.config.seed, missed=missed, scanners=known)
    masks["segmentation"] = [row | dice_side_by_side(state.quality, row["split"]) for row in masks["segmentation"]]
    metrics = {**result.metrics, **masks, "bayes": _bayes(state)}
    write_json(metrics, state.folder.path / "metrics.json")
    write_json(result.curves, state.folder.path / "curves.json")


def _bayes(state: _Study) -> list[dict[str, object]]:
    file = state.config.evaluation.truth
    if file is None:
        return []
    known: Mapping[str, float] = read_json(state.home / file)["bayes"]
    sets = dict.fromkeys(m.features for m in state.models)
    sources = {name: block_alone(name) or name for name in sets}
    return [{"features": name, "split": split, "auc": known[source]} for name, source in sources.items() if source in known for split in SPLITS]


def _someone(cases: list[Case], stage: str, aside: Sequence[SetAside]) -> list[Case]:
    if not any(c.split == "train" for c in cases):
        first = f"; the first reason: patient {aside[0].patient_id}: {aside[0].reason}" if aside else ""
        message = f"{stage}: no training patient is left{first}; `sarcofuse check` lists every problem"
        raise StageError(message)
    return cases
