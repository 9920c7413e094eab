"""The reference page of all radiomic features, generated from the tables of features so that it cannot lag behind."""

from __future__ import annotations

from sarcofuse.radiomics.catalogue import FEATURES
from sarcofuse.radiomics.ibsi.catalogue import IBSI_FEATURES, OF_FAMILY

TITLES = {
    "shape": "Shape in space",
    "shape2D": "Shape in the plane",
    "firstorder": "First order",
    "glcm": "Grey-level co-occurrence matrix (GLCM)",
    "glrlm": "Grey-level run length matrix (GLRLM)",
    "glszm": "Grey-level size zone matrix (GLSZM)",
    "gldm": "Grey-level dependence matrix (GLDM; NGLDM in the standard)",
    "ngtdm": "Neighbouring grey-tone difference matrix (NGTDM)",
    "morphology": "Morphology",
    "local": "Local intensity",
    "statistics": "Intensity-based statistics",
    "histogram": "Intensity histogram",
    "ivh": "Intensity-volume histogram",
    "gldzm": "Grey-level distance zone matrix (GLDZM)",
    "ngldm": "Neighbouring grey-level dependence matrix (NGLDM)",
}
# What the dialects do differently, beyond the features that only one of them has.
DIFFERENCES = """## What the dialects do differently

A feature with a code has the same formula in both dialects, and the same value where grey levels and region are alike (a test compares them all). These make them differ:

| step | `pyradiomics` | `ibsi` |
|---|---|---|
| resampling | grid from the corner of the image, cropped to the region; cubic B-spline; mask by nearest neighbour | grid centred on the image; trilinear, or as set; mask from a share of one half |
| bins of fixed width | begin at multiples of the width; the lowest level in the region is 1 | begin at the lower end of the re-segmentation range, or at the lowest intensity |
| bins of fixed number | the range of the region, evenly | the same |
| re-segmentation | by range, relative or in deviations; shape keeps the region as it was | by range and outliers (deviations); morphology keeps the region as it was |
| directions (GLCM, GLRLM) | averaged over those in space (`ITBB`); GLCM with `weightingNorm: no_weighting` merged (`IAZD`); with `force2D` those in the plane (`JJUI`) | all six ways, by code |
| zones, dependences, tones | in space (`KOBO`); within slices with `force2D`, slices together (`62GR`) | in space, by slice (`8QNN`), slices together (`62GR`) |
| surface mesh | marching cubes with half of its table mirrored, which leaves holes where voxels touch at edges or corners only | classic marching cubes, closed; equal without such voxels |
| entropy | of p + 2.2e-16, as PyRadiomics guards against the logarithm of 0 | of p above 0 |
| kurtosis | 3 for a normal distribution | excess: 0 for a normal distribution |
| one grey level | values that PyRadiomics gives: Coarseness 1,000,000, Correlation 1, MCC 1 | as the standard says |
"""


def feature_reference() -> str:
    """Give the reference page of all features.

    Returns
    -------
    str
        Markdown: a table a family, for the dialect `pyradiomics` and for the dialect `ibsi`.
    """
    both = {f.code for f in IBSI_FEATURES}
    head = [
        "# Radiomic features",
        "",
        "Generated from the tables of features (`python -m sarcofuse.radiomics.reference`).",
        "Codes are those of the [reference manual](https://arxiv.org/abs/1612.07003) of the Image Biomarker Standardisation Initiative (IBSI).",
        "",
        "A column is called `<image>_<family>_<feature>` in the dialect `pyradiomics` (`original_glcm_Contrast`, `wavelet-LLH_firstorder_Mean`), and by code and aggregation in the",
        "dialect `ibsi` (`ACUI_ITBB`).",
        "",
        DIFFERENCES,
    ]
    return "\n".join(head) + "\n# Dialect pyradiomics\n\n" + _pyradiomics(both) + "# Dialect ibsi\n\n" + _ibsi()


def _pyradiomics(both: set[str]) -> str:
    count = sum(f.by_default for f in FEATURES if f.family != "shape2D")
    text = f"{count} features by default, without shape in the plane. Those in italics repeat another and are given only where they are named.\n\n"
    for family in dict.fromkeys(f.family for f in FEATURES):
        suffix = {"glcm": "_ITBB", "glrlm": "_ITBB", "glszm": "_KOBO", "gldm": "_KOBO", "ngtdm": "_KOBO"}.get(family, "")
        rows = [f"### {TITLES[family]}: `{family}`", "", "| feature | IBSI | definition | in the dialect `ibsi` |", "|---|---|---|---|"]
        for f in (f for f in FEATURES if f.family == family):
            there = f"`{f.ibsi}{suffix}`" if f.ibsi in both else ""
            rows.append(f"| {f.name if f.by_default else f'*{f.name}*'} | {f.ibsi} | {f.definition} | {there or 'not there, or defined otherwise'} |")
        text += "\n".join(rows) + "\n\n"
    return text


def _ibsi() -> str:
    text = f"{len(IBSI_FEATURES)} features, {sum(len(f.columns()) for f in IBSI_FEATURES)} columns with all aggregations.\n\n"
    ours = {f.ibsi: f"{f.family}_{f.name}" for f in FEATURES if f.ibsi}
    for family in dict.fromkeys(f.family for f in IBSI_FEATURES):
        ways = OF_FAMILY.get(family, ())
        rows = [f"### {TITLES[family]}: `{family}`", "", *([f"Aggregations: {', '.join(ways)}.", ""] if ways else [])]
        rows += ["| code | feature | tag | definition | in the dialect `pyradiomics` |", "|---|---|---|---|---|"]
        rows += [f"| {f.code} | {f.name} | `{f.tag}` | {f.definition} | {f'`{ours[f.code]}`' if f.code in ours else ''} |" for f in IBSI_FEATURES if f.family == family]
        text += "\n".join(rows) + "\n\n"
    return text


if __name__ == "__main__":
    from pathlib import Path

    (Path("docs") / "reference" / "radiomics-features.md").write_text(feature_reference(), encoding="utf8")
