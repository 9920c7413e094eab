"""The cohort stage."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from sarcofuse.cohort.scan import Scan, raise_problems, scan_table
from sarcofuse.config import CohortConfig
from sarcofuse.errors import CohortError
from sarcofuse.records import SPLITS, Cohort, Outcomes

VALIDATION = 200


def read_cohort(config: CohortConfig, folder: Path, seed: int, *, imaging: bool = True, outcomes: bool = True, folds: int = 2) -> Cohort:
    """Read the patients of a study.

    Parameters
    ----------
    config : CohortConfig
        Where the table is and what its columns are called.
    folder : Path
        Folder of study.yaml, which the table's path is relative to; image and mask paths are relative to the table.
    seed : int
        Of the study; draws the split where it is drawn.
    imaging : bool
        Whether images are needed; False where the study starts from feature tables.
    outcomes : bool
        Whether outcome and split columns are needed; without them everybody is external and no outcome is known (prediction).
    folds : int
        Training patients of each class that there must be at least.

    Returns
    -------
    Cohort
        Patients in order of patient_id, sealed outcomes, rows set aside with reasons, warnings.

    Raises
    ------
    CohortError
        If the table cannot be used as a whole; the message lists everything that is wrong with it.
    """
    scan = scan_table(config, folder, seed, imaging=imaging, outcomes=outcomes, folds=folds)
    raise_problems(scan, folder / config.file)
    if not scan.patients:
        first = scan.set_aside[0]
        message = f"{folder / config.file}: no row can be used; the first, {first.patient_id}: {first.reason}"
        raise CohortError(message)
    split = {p.patient_id: p.split for p in scan.patients}
    warnings = [*scan.warnings, *(few_patients(scan) if outcomes else [])]
    return Cohort(tuple(scan.patients), Outcomes(scan.outcome, split, scan.times, scan.competing), tuple(scan.set_aside), tuple(warnings), scan.groups)


def few_patients(scan: Scan) -> list[str]:
    """Warn where there are too few patients for what is asked of them.

    For training the yardstick is the third criterion of Riley et al. for binary outcomes [1]_: the overall risk alone, known to within
    0.05, takes ``(1.96 / 0.05)**2 * p * (1 - p)`` patients. For testing it is 100 events and 100 non-events [2]_; the events of test
    splits are sealed, so that only the number of patients is looked at.

    Parameters
    ----------
    scan : Scan
        A table that was read.

    Returns
    -------
    list of str
        In plain words; empty where numbers suffice.

    References
    ----------
    .. [1] Riley RD et al. Calculating the sample size required for developing a clinical prediction model. BMJ 2020;368:m441.
    .. [2] Vergouwe Y et al. Substantial effective sample sizes were required for external validation studies of predictive logistic
       regression models. J Clin Epidemiol 2005;58:475-483.
    """
    found = []
    training = [p.patient_id for p in scan.patients if p.split == "train"]
    events = sum(scan.outcome[p] for p in training)
    if training:
        share = events / len(training)
        wanted = math.ceil((1.96 / 0.05) ** 2 * share * (1.0 - share))
        if len(training) < wanted:
            found.append(
                f"{len(scan.patients)} patients cannot carry a model: training has {len(training)} with {events} events, and {wanted} would be needed to know the overall risk "
                "alone to within 0.05 (Riley et al., BMJ 2020;368:m441). Take every figure with its interval, and as a test of the method only"
            )
    for name in SPLITS[1:]:
        count = sum(p.split == name for p in scan.patients)
        if 0 < count < VALIDATION:
            found.append(
                f"the {name} split has {count} patients; a validation needs at least 100 events and 100 non-events (Vergouwe et al., J Clin Epidemiol 2005;58:475), so its intervals will be wide"
            )
    return found


def flow_counts(cohort: Cohort) -> dict[str, object]:
    """Count patients for the flow diagram of run.json; of events only those of training.

    Parameters
    ----------
    cohort : Cohort
        The patients.

    Returns
    -------
    dict
        ``rows``, ``set_aside``, ``reasons`` (rows set aside by kind) and ``splits`` (patients and sites of each split that has any).
    """
    splits: dict[str, dict[str, object]] = {}
    for name in SPLITS:
        members = [p for p in cohort.patients if p.split == name]
        if members:
            splits[name] = {"patients": len(members), "sites": dict(sorted(Counter(p.site for p in members).items()))}
    if "train" in splits and cohort.outcomes.training:
        splits["train"]["events"] = sum(cohort.outcomes.training.values())
    reasons = Counter(s.reason.split(":", 1)[0] for s in cohort.set_aside)
    return {"rows": len(cohort.patients) + len(cohort.set_aside), "set_aside": len(cohort.set_aside), "reasons": dict(sorted(reasons.items())), "splits": splits}
