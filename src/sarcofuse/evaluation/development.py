"""Whether the training patients are enough for the model that was developed on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarcofuse.evaluation.groups import Group, leading
from sarcofuse.metrics import affordable_parameters, auc, cox_snell_max, cox_snell_of_auc, expected_shrinkage, minimum_sample_size


def sample_size(groups: Sequence[Group], candidates: Mapping[str, int]) -> list[dict[str, Any]]:
    """Apply Riley's criteria to the training patients.

    Parameters
    ----------
    groups : sequence of Group
        All models on all splits.
    candidates : mapping of str to int
        Candidate predictors, as parameters, by feature set.

    Returns
    -------
    list of dict
        For the primary model: the Cox-Snell R-squared that its out-of-fold AUC stands for, the most predictors that so many patients afford, and, where the number of
        candidates is known, the minimum number of patients and the shrinkage to expect. Empty without training patients or with one class.
    """
    found = []
    for group in leading(groups):
        events, size = int(group.y.sum()), int(group.y.size)
        if group.split != "train" or events in (0, size):
            continue
        area, share = auc(group.y, group.risk), events / size
        r2 = cox_snell_of_auc(area, share)
        row = {**group.head, "patients": size, "events": events, "auc": area, "r2": r2, "r2_max": cox_snell_max(share), "candidates": candidates.get(group.features)}
        useful = 1e-4 < r2 < min(0.9, cox_snell_max(share))
        row["affordable"] = affordable_parameters(size, share, r2) if useful else None
        count = candidates.get(group.features)
        if count and useful:
            wanted = minimum_sample_size(count, share, r2)
            row |= {"minimum": wanted.minimum, "for_shrinkage": wanted.shrinkage, "for_optimism": wanted.optimism, "for_prevalence": wanted.prevalence}
            row["expected_shrinkage"] = expected_shrinkage(size, count, r2)
        found.append(row)
    return found
