"""Names of feature sets that stages agree on."""

from __future__ import annotations

_ALONE = "-signature"


def alone(block: str) -> str:
    """Name the feature set that is one block's signature by itself.

    Parameters
    ----------
    block : str
        Name of the block.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> alone("radiomic")
    'radiomic-signature'
    """
    return block + _ALONE


def block_alone(features: str) -> str | None:
    """Say whose signature a feature set is.

    Parameters
    ----------
    features : str
        Name of a feature set.

    Returns
    -------
    str or None
        The block; None for a set that is not a signature by itself.

    Examples
    --------
    >>> block_alone("radiomic-signature"), block_alone("dlr")
    ('radiomic', None)
    """
    return features.removesuffix(_ALONE) if features.endswith(_ALONE) else None
