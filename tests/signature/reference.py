"""Data by formula, and what other tools make of them."""

from __future__ import annotations

import numpy as np

SITES = np.array(list("AAAAAAAABBBBBBBBBBCCCCCC"))
AGE = (np.arange(24) * 7 % 11).astype(float)
GRADE = np.array([0.0, 1.0, 1.0, 0.0] * 6)


def sites_table() -> np.ndarray:
    """24 patients of three sites with six features; site B is wider and shifted, site C narrower and lower."""
    i, j = np.arange(24)[:, None], np.arange(6)[None]
    X = np.sin(1.7 * i + 0.9 * j * j + 0.3 * i * j) + 0.05 * i * (j - 2) + 2 * j
    X[SITES == "B"] = X[SITES == "B"] * 1.7 + np.arange(6) * 0.4
    X[SITES == "C"] = X[SITES == "C"] * 0.6 - 1.5
    return X
