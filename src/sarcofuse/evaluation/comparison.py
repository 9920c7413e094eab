"""Feature sets against each other: DeLong, net reclassification, and fusion beside what independent sources would give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from sarcofuse.config import EvaluationConfig
from sarcofuse.errors import StageError
from sarcofuse.evaluation.groups import Floats, Group, estimate
from sarcofuse.evaluation.sampling import Sampling
from sarcofuse.metrics import Reclassification, delong_test, holm, independent_auc, integrated_discrimination, midranks, net_reclassification, risk_categories
from sarcofuse.records import SPLITS, alone

FUSED = {"dlr": ("radiomic", "deep")}
JOINED = "+"  # between the names of what a feature set fuses


def sources_of(features: str, there: Collection[str]) -> tuple[str, ...]:
    """Say what a feature set fuses.

    Parameters
    ----------
    features : str
        Its name.
    there : collection of str
        All feature sets.

    Returns
    -------
    tuple of str
        Feature sets; empty for one that fuses nothing.

    Examples
    --------
    >>> sources_of("dlr+clinical", {"radiomic", "deep", "dlr", "clinical", "dlr+clinical"})
    ('dlr', 'clinical')
    """
    if JOINED not in features:
        return FUSED.get(features, ())
    parts = tuple(features.split(JOINED))
    stem, _, last = features.rpartition(JOINED)  # "a+b+clinical": what a+b gains by clinical variables
    return parts if set(parts) <= set(there) else (stem, last) if {stem, last} <= set(there) else ()


def seen_alike(features: str, there: Collection[str]) -> tuple[str, ...]:
    """Name the sources of a feature set as the fused model itself sees them, so that a difference is that of the other source and of nothing else.

    Parameters
    ----------
    features : str
        Its name.
    there : collection of str
        All feature sets.

    Returns
    -------
    tuple of str
        For each source its signature by itself where there is one (models that fuse signatures), else the source.

    Examples
    --------
    >>> seen_alike("dlr", {"radiomic", "deep", "dlr", "radiomic-signature", "deep-signature"})
    ('radiomic-signature', 'deep-signature')
    """
    return tuple(alone(s) if alone(s) in there else s for s in sources_of(features, there))


def _pairs(there: Collection[str]) -> list[tuple[str, str]]:
    """List what to compare: each fused set with each of its sources, as it sees them and as models by themselves do, and these with one another."""
    found: dict[tuple[str, str], None] = {}
    for features in sorted(there, key=lambda f: (f not in FUSED, f)):
        sources = [s for s in sources_of(features, there) if s in there]
        found |= dict.fromkeys((features, source) for source in (*seen_alike(features, there), *sources) if source in there)
        found |= dict.fromkeys(combinations(sources, 2))
    blocks = FUSED["dlr"]
    return list(found | ({blocks: None} if set(blocks) <= set(there) else {}))


def compared(groups: Sequence[Group], samplings: Mapping[str, Sampling], weights: Mapping[str, Sequence[Floats]], config: EvaluationConfig) -> list[dict[str, Any]]:
    """Compare feature sets pair by pair with the same classifier on the same patients.

    Parameters
    ----------
    groups : sequence of Group
        All models on all splits.
    samplings : mapping of str to Sampling
        Samples of each split.
    weights : mapping of str to sequence of ndarray
        Their batches; empty where there are too many patients to hold them.
    config : EvaluationConfig
        Settings.

    Returns
    -------
    list of dict
        Difference of AUC with DeLong's test and Holm's correction over the split; for DLR against one source also net reclassification (at the locked thresholds or over
        risk categories, and continuous) and integrated discrimination. First less second throughout.

    Raises
    ------
    StageError
        If two feature sets were applied to different patients.
    """
    by = {(g.features, g.classifier, g.split): g for g in groups}
    there = {g.features for g in groups}
    pairs = _pairs(there)
    found: list[dict[str, Any]] = []
    for split in SPLITS:
        rows: list[dict[str, Any]] = []
        for classifier in sorted({g.classifier for g in groups}):
            for first, second in pairs:
                a, b = by.get((first, classifier, split)), by.get((second, classifier, split))
                if a is None or b is None:
                    continue
                _same_patients(a, b)
                test = delong_test(a.y, a.risk, b.risk, config.confidence)
                d = test.difference
                row = {"split": split, "classifier": classifier, "first": first, "second": second, "difference": d.value, "low": d.low, "high": d.high, "z": test.z, "p": test.p}
                rows.append({**row, **(_reclassified(b, a, samplings[split], weights[split]) if second in {*sources_of(first, there), *seen_alike(first, there)} else {})})
        corrected = holm([row["p"] for row in rows])
        found += [{**row, "p_holm": float(p)} for row, p in zip(rows, corrected, strict=True)]
    return found


def _same_patients(a: Group, b: Group) -> None:
    if a.patients != b.patients:
        message = f"evaluation: models {a.features} and {b.features} of {a.classifier} were applied to different {a.split} patients and cannot be compared"
        raise StageError(message)


def _reclassified(old: Group, new: Group, sampling: Sampling, weights: Sequence[Floats]) -> dict[str, Any]:
    """Reclassification of the patients by `new` against `old`, with intervals from the shared samples."""
    cuts, confidence = sampling.config.risk_categories, sampling.config.confidence
    before, after = (risk_categories(g.risk, cuts) if cuts else g.positive.astype(np.int64) for g in (old, new))
    return {
        "nri": _shown(net_reclassification(old.y, before, after, confidence), np.sign(after - before).astype(np.float64), sampling, weights),
        "nri_continuous": _shown(net_reclassification(old.y, old.risk, new.risk, confidence), np.sign(new.risk - old.risk), sampling, weights),
        "idi": _shown(integrated_discrimination(old.y, old.risk, new.risk, confidence), new.risk - old.risk, sampling, weights),
    }


def _shown(found: Reclassification, move: Floats, sampling: Sampling, weights: Sequence[Floats]) -> dict[str, float]:
    """All three are means of moves: up counts for a patient with the event, down for one without."""
    total, event = found.total, sampling.y == 1
    if weights and np.isfinite(total.value):
        m, n = int(event.sum()), int((~event).sum())
        drawn = [(w @ np.where(event, move, 0.0)) / m - (w @ np.where(event, 0.0, move)) / n for w in weights]  # sums of whole moves stay exact, so that ties are seen
        total = sampling.estimate(total.value, np.concatenate(drawn))
    return {**estimate(total), "events": found.events.value, "others": found.others.value, "p": found.p}


def fused(groups: Sequence[Group], samplings: Mapping[str, Sampling], areas: Mapping[tuple[str, str, str], Floats]) -> list[dict[str, Any]]:
    """Lay the AUC of fused models beside that of their sources, and what the sources would give if they were independent.

    Parameters
    ----------
    groups : sequence of Group
        All models on all splits.
    samplings : mapping of str to Sampling
        Samples of each split.
    areas : mapping of (features, classifier, split) to ndarray, shape (1 + samples,)
        AUC, and AUC in every sample.

    Returns
    -------
    list of dict
        ``auc`` of the fused model, ``sources`` (see `seen_alike`) with theirs, ``independent``, ``excess`` (fused less independent), each with its interval, and ``correlation``, the mean rank
        correlation of two sources within the classes.
    """
    by = {(g.features, g.classifier, g.split): g for g in groups}
    found, there = [], {g.features for g in groups}
    for (features, classifier, split), group in by.items():
        parts = [by.get((source, classifier, split)) for source in seen_alike(features, there)]
        sources = [p for p in parts if p is not None]
        if not parts or len(sources) < len(parts):
            continue
        own = areas[features, classifier, split]
        theirs = np.array([areas[s.features, classifier, split] for s in sources])
        joint, sampling = independent_auc(theirs), samplings[split]
        row: dict[str, Any] = {**group.head, "auc": estimate(sampling.estimate(float(own[0]), own[1:]))}
        row["sources"] = [{"features": s.features, **estimate(sampling.estimate(float(a[0]), a[1:]))} for s, a in zip(sources, theirs, strict=True)]
        row |= {name: estimate(sampling.estimate(float(rows[0]), rows[1:])) for name, rows in (("independent", joint), ("excess", own - joint))}
        found.append({**row, "correlation": _correlation(sources[0], sources[1])})
    return found


def _correlation(a: Group, b: Group) -> float:
    """Mean over the classes of Spearman's correlation, weighted by patients."""
    total = 0.0
    for kind in (0, 1):
        mine = a.y == kind
        ranks = [midranks(g.risk[mine]) for g in (a, b)]
        if mine.sum() < 3 or min(float(np.ptp(r)) for r in ranks) == 0:
            return float("nan")
        total += float(np.corrcoef(ranks[0], ranks[1])[0][1]) * float(mine.mean())
    return total
