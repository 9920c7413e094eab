"""Sites and covariates as columns of a feature table, where the harmonisation finds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sarcofuse.config.selection import Harmonisation
from sarcofuse.errors import CohortError
from sarcofuse.records import FeatureTable, Patient

SITE = "site (harmonisation)"


def harmonisation_columns(plan: Harmonisation) -> tuple[str, ...]:
    """Name the columns that `with_sites` adds.

    Parameters
    ----------
    plan : Harmonisation
        Sites and rule.

    Returns
    -------
    tuple of str
        The site, then the covariates.
    """
    return (SITE, *[f"{name} (harmonisation)" for name in plan.step.covariates])


def with_sites(table: FeatureTable, patients: Sequence[Patient], plan: Harmonisation) -> FeatureTable:
    """Add a patient's site, as a number, and its covariates to a table of features.

    Parameters
    ----------
    table : FeatureTable
        A block.
    patients : sequence of Patient
        Those of the table, and maybe others.
    plan : Harmonisation
        Sites and rule.

    Returns
    -------
    FeatureTable
        With the columns of `harmonisation_columns` at its end: the site's place among the training sites, beyond them for other sites. In a block that is not to be
        harmonised there is no number in them.

    Raises
    ------
    CohortError
        If a patient has no site, or a covariate is missing or text.
    """
    names = harmonisation_columns(plan)
    extra = np.full((len(table.patient_ids), len(names)), np.nan)
    if table.block not in plan.step.spare:
        known = {p.patient_id: p for p in patients}
        places = {site: i for i, site in enumerate((*plan.sites, *sorted({p.site for p in patients} - set(plan.sites))))}
        for row, patient_id in enumerate(table.patient_ids):
            if patient_id in known:
                patient = known[patient_id]
                extra[row] = [_place(patient, places), *[covariate(patient, name) for name in plan.step.covariates]]
    return FeatureTable(table.block, table.patient_ids, (*table.names, *names), np.hstack([table.values, extra]))


def _place(patient: Patient, places: dict[str, int]) -> float:
    if not patient.site:
        message = f"patient {patient.patient_id} has no site, and features are harmonised by site (models.selection, combat); fill in the column of sites"
        raise CohortError(message)
    return float(places[patient.site])


def covariate(patient: Patient, name: str) -> float:
    """Give a patient's covariate.

    Parameters
    ----------
    patient : Patient
        Who.
    name : str
        Which clinical variable.

    Returns
    -------
    float
        Its value.

    Raises
    ------
    CohortError
        If it is missing or text.
    """
    value = patient.clinical.get(name)
    if isinstance(value, str) or value is None or not np.isfinite(value):
        found = f"{value!r}" if isinstance(value, str) else "nothing"
        message = f"patient {patient.patient_id}: the covariate {name} of the harmonisation must be a number, found {found}; fill it in, code it as a number, or leave it out of covariates"
        raise CohortError(message)
    return float(value)


def unharmonised(patients: Sequence[Patient], plan: Harmonisation) -> dict[str, str]:
    """Say which patients the harmonisation cannot serve.

    Parameters
    ----------
    patients : sequence of Patient
        All who are to be scored together.
    plan : Harmonisation
        Sites and rule.

    Returns
    -------
    dict of str to str
        Reason by patient_id: of an unseen site where the rule is to refuse, or of one with too few patients to learn from.
    """
    counts, found = Counter(p.site for p in patients), {}
    for p in patients:
        if p.site in plan.sites or plan.step.unseen == "reference":
            continue
        if plan.step.unseen == "refuse":
            found[p.patient_id] = f"is of site {p.site or '(none)'}, which the harmonisation did not learn; it learned {', '.join(plan.sites)} (models.selection, combat, unseen: refuse)"
        elif counts[p.site] < plan.step.least:
            found[p.patient_id] = f"is of site {p.site or '(none)'} with {counts[p.site]} patients here; a new site's shift and scale take {plan.step.least} at once (models.selection, combat)"
    return found
