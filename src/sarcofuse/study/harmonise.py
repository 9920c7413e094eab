"""Harmonisation of a study's sites: what it learns from, checked before hours are spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sarcofuse.config import Harmonisation, ModelsConfig, combat_step
from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable, Patient


def plan_harmonisation(patients: Sequence[Patient], config: ModelsConfig) -> Harmonisation | None:
    """Say which sites the harmonisation learns, if the settings ask for one.

    Parameters
    ----------
    patients : sequence of Patient
        The cohort.
    config : ModelsConfig
        Settings.

    Returns
    -------
    Harmonisation or None
        Sites of the training patients, in order of their names; None without a harmonisation.

    Raises
    ------
    CohortError
        If there is one training site only, one has too few patients, the reference is none of them, a covariate is missing or text, or the rule for other sites cannot serve everybody.
    """
    from sarcofuse.signature.sites import covariate, unharmonised

    step = combat_step(config.selection)
    if step is None:
        return None
    counts = Counter(p.site for p in patients if p.split == "train")
    listed = ", ".join(f"{site or '(none)'} {count}" for site, count in sorted(counts.items()))
    problem = None
    if len(counts) < 2:
        problem = f"features are harmonised by site, which takes training patients of two sites or more; found {listed or 'none'}. Fill in the column of sites, or leave combat out"
    elif step.reference is not None and step.reference not in counts:
        problem = f"the reference site {step.reference} of the harmonisation is not among those of the training patients: {listed}"
    elif min(counts.values()) < step.least:
        few = min(sorted(counts), key=lambda site: counts[site])
        problem = f"site {few or '(none)'} has {counts[few]} training patients, and the harmonisation learns from at least {step.least} (least): {listed}. Merge it with another site, or leave it out"
    if problem is not None:
        message = f"{problem} (models.selection, combat)"
        raise CohortError(message)
    for name in step.covariates:
        for patient in patients:
            covariate(patient, name)
    plan = Harmonisation(sites=tuple(sorted(counts)), step=step)
    refused = unharmonised([p for p in patients if p.split != "train"], plan)
    if refused:
        first = "; ".join(f"patient {p} {reason}" for p, reason in list(refused.items())[:3])
        message = f"{len(refused)} patients cannot be harmonised: {first}. Choose another rule (unseen), or leave them out"
        raise CohortError(message)
    return plan


def with_plan(tables: Mapping[str, FeatureTable], patients: Sequence[Patient], config: ModelsConfig) -> tuple[dict[str, FeatureTable], Harmonisation | None]:
    """Add sites and covariates to the tables, if the settings ask for a harmonisation.

    Parameters
    ----------
    tables : mapping of str to FeatureTable
        Feature blocks.
    patients : sequence of Patient
        The cohort.
    config : ModelsConfig
        Settings.

    Returns
    -------
    tables : dict of str to FeatureTable
        As they were, or with further columns.
    plan : Harmonisation or None
        As of `plan_harmonisation`, for the patients who are in every table.
    """
    from sarcofuse.signature.sites import with_sites

    everywhere = set.intersection(*(set(t.patient_ids) for t in tables.values()))
    plan = plan_harmonisation([p for p in patients if p.patient_id in everywhere], config)
    return dict(tables) if plan is None else {name: with_sites(table, patients, plan) for name, table in tables.items()}, plan
