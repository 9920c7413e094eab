"""Feature sets: which blocks a model reads, and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sarcofuse.config import ModelsConfig
from sarcofuse.records import alone

FUSED = "dlr"
SOURCES = ("radiomic", "deep")
CLINICAL = "clinical"


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Which blocks a model reads, and how.

    Attributes
    ----------
    name : str
        Name of the set.
    blocks : tuple of str
        Blocks, in order.
    view : {'signatures', 'features'}
        What the classifier sees of each.
    """

    name: str
    blocks: tuple[str, ...]
    view: str


def feature_sets(blocks: Iterable[str], config: ModelsConfig) -> list[FeatureSet]:
    """Say which feature sets there are: each block by itself, those to be fused together, and clinical variables joined to them.

    Parameters
    ----------
    blocks : iterable of str
        Blocks that there are.
    config : ModelsConfig
        Settings.

    Returns
    -------
    list of FeatureSet
        The blocks to be fused (radiomic and deep, unless the settings name others), all of them fused if all are there, that with clinical variables if the settings ask for it, then
        the others by name; the clinical block by itself only if the settings ask for it. Where signatures are fused, each one by itself comes before, as the like-for-like reference of what is fused.
    """
    there = set(blocks)
    main = [b for b in config.fused if b in there]
    others = sorted(there - set(main) - (set() if config.clinical else {CLINICAL}))
    name = FUSED if set(config.fused) == set(SOURCES) else "+".join(config.fused)
    whole = len(main) == len(config.fused)
    fused = [FeatureSet(name, tuple(main), config.fusion)] if whole else []
    if config.fuse_clinical and CLINICAL in there and main:
        stem = name if whole else main[0]
        fused.append(FeatureSet(f"{stem}+{CLINICAL}", (*main, CLINICAL), config.fusion))
    references = [FeatureSet(alone(b), (b,), "signatures") for b in main] if whole and config.alone and config.fusion == "signatures" else []
    return [FeatureSet(b, (b,), "features") for b in main] + references + fused + [FeatureSet(b, (b,), "features") for b in others]


def subsets(blocks: Sequence[str], view: str) -> list[FeatureSet]:
    """List every subset of blocks, small ones first, all seen in the same way.

    Parameters
    ----------
    blocks : sequence of str
        Blocks.
    view : {'signatures', 'features'}
        What the classifier sees of each.

    Returns
    -------
    list of FeatureSet
        Named by their blocks, joined with ``+``.

    Examples
    --------
    >>> [s.name for s in subsets(["radiomic", "deep"], "signatures")]
    ['radiomic', 'deep', 'radiomic+deep']
    """
    return [FeatureSet("+".join(chosen), chosen, view) for size in range(1, len(blocks) + 1) for chosen in combinations(blocks, size)]
