"""Which features there are: name, family, IBSI code and definition, one row a feature.

Names are PyRadiomics'. A code is that of the feature of the Image Biomarker Standardisation Initiative [1]_ with the same formula (the two differ in how intensities
are discretised and, for some, in how directions are merged); a feature without one is not in the standard, or is defined otherwise there.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from sarcofuse.config import RadiomicsConfig
from sarcofuse.config.radiomics import FeatureClass
from sarcofuse.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature.

    Attributes
    ----------
    family : str
        Feature class.
    name : str
        Name within the class.
    ibsi : str
        IBSI's code; empty where there is none.
    definition : str
        What it is, in one line.
    by_default : bool
        Whether it is given without being named; those that are not repeat another feature.
    """

    family: FeatureClass
    name: str
    ibsi: str
    definition: str
    by_default: bool = True


# Rows: name | IBSI code | definition. A name that begins with ~ is given only where it is asked for by name.
_TABLE: dict[FeatureClass, str] = {
    "shape": """
        Elongation | Q3CK | square root of middle over largest eigenvalue of the covariance of voxel centres
        Flatness | N17B | square root of smallest over largest eigenvalue
        LeastAxisLength | | four times the square root of the smallest eigenvalue, mm (IBSI's 7J51 divides the covariance by voxels less one)
        MajorAxisLength | | four times the square root of the largest eigenvalue, mm (IBSI's TDIC divides the covariance by voxels less one)
        Maximum2DDiameterColumn | | largest distance of mesh vertices in a plane of equal y, mm
        Maximum2DDiameterRow | | largest distance of mesh vertices in a plane of equal x, mm
        Maximum2DDiameterSlice | | largest distance of mesh vertices in a plane of equal z, mm
        Maximum3DDiameter | L0JK | largest distance of mesh vertices, mm
        MeshVolume | RNU0 | volume within the surface mesh, mm3
        MinorAxisLength | | four times the square root of the middle eigenvalue, mm (IBSI's P9VJ divides the covariance by voxels less one)
        Sphericity | QCFX | surface of the ball of equal volume over the surface
        SurfaceArea | C0JK | area of the surface mesh, mm2
        SurfaceVolumeRatio | 2PR5 | surface area over mesh volume, 1/mm
        VoxelVolume | YEKZ | number of voxels times the volume of one, mm3
        ~Compactness1 | SKGS | volume over the square root of pi times surface to the power 3/2
        ~Compactness2 | BQWJ | 36 pi times squared volume over cubed surface
        ~SphericalDisproportion | KRCK | surface over the surface of the ball of equal volume
    """,
    "shape2D": """
        Elongation | | square root of smaller over larger eigenvalue of the covariance of pixel centres
        MajorAxisLength | | four times the square root of the larger eigenvalue, mm
        MaximumDiameter | | largest distance of outline vertices, mm
        MeshSurface | | area within the outline, mm2
        MinorAxisLength | | four times the square root of the smaller eigenvalue, mm
        Perimeter | | length of the outline, mm
        PerimeterSurfaceRatio | | perimeter over mesh surface, 1/mm
        PixelSurface | | number of pixels times the area of one, mm2
        Sphericity | | perimeter of the disc of equal area over the perimeter
        ~SphericalDisproportion | | perimeter over the perimeter of the disc of equal area
    """,
    "firstorder": """
        10Percentile | QG58 | 10th percentile of the intensities
        90Percentile | 8DWT | 90th percentile of the intensities
        Energy | N8CA | sum of squared intensities
        Entropy | TLU2 | entropy of the histogram of grey levels, bits
        InterquartileRange | SALO | 75th minus 25th percentile
        Kurtosis | | fourth central moment over squared variance (IBSI's IPH6 plus 3)
        Maximum | 84IY | largest intensity
        MeanAbsoluteDeviation | 4FUA | mean distance from the mean
        Mean | Q4LE | mean intensity
        Median | Y12H | median intensity
        Minimum | 1GSF | smallest intensity
        Range | 2OJQ | largest minus smallest intensity
        RobustMeanAbsoluteDeviation | 1128 | mean distance from the mean, of intensities between the 10th and 90th percentile
        RootMeanSquared | 5ZWQ | square root of the mean squared intensity
        Skewness | KE2A | third central moment over variance to the power 3/2
        TotalEnergy | | energy times the volume of a voxel
        Uniformity | BJ5W | sum of squared probabilities of the grey levels
        Variance | ECT3 | mean squared distance from the mean
        ~StandardDeviation | | square root of the variance
    """,
    "glcm": """
        Autocorrelation | QWB0 | mean product of the levels of a pair
        ClusterProminence | AE86 | mean fourth power of the pair's sum less its mean
        ClusterShade | 7NFM | mean third power of the pair's sum less its mean
        ClusterTendency | DG8W | mean square of the pair's sum less its mean
        Contrast | ACUI | mean squared difference of a pair
        Correlation | NI2N | correlation of the levels of a pair
        DifferenceAverage | TF7R | mean difference of a pair
        DifferenceEntropy | NTRS | entropy of the difference, bits
        DifferenceVariance | D3YU | variance of the difference
        Id | IB1Z | mean of 1 / (1 + difference)
        Idm | WF0Z | mean of 1 / (1 + squared difference)
        Idmn | 1QCO | mean of 1 / (1 + squared difference / squared number of levels)
        Idn | NDRX | mean of 1 / (1 + difference / number of levels)
        Imc1 | R8DG | mutual information over the larger marginal entropy, negative
        Imc2 | JN9H | square root of 1 - exp(-2 mutual information)
        InverseVariance | E8JP | mean of 1 / squared difference over unequal pairs
        JointAverage | 60VM | mean level of a pair's first member
        JointEnergy | 8ZQL | sum of squared probabilities
        JointEntropy | TU9B | entropy of the pairs, bits
        MCC | | maximal correlation coefficient
        MaximumProbability | GYBY | probability of the commonest pair
        SumAverage | ZGXS | mean sum of a pair
        SumEntropy | P6QZ | entropy of the sum, bits
        SumSquares | UR99 | variance of the level of a pair's first member
    """,
    "glrlm": """
        GrayLevelNonUniformity | R5YN | sum of squared run counts by level, over runs
        GrayLevelNonUniformityNormalized | OVBL | the same over squared runs
        GrayLevelVariance | 8CE5 | variance of the level of a run
        HighGrayLevelRunEmphasis | G3QZ | mean squared level of a run
        LongRunEmphasis | W4KF | mean squared length
        LongRunHighGrayLevelEmphasis | 3KUM | mean of squared length times squared level
        LongRunLowGrayLevelEmphasis | IVPO | mean of squared length over squared level
        LowGrayLevelRunEmphasis | V3SW | mean inverse squared level
        RunEntropy | HJ9O | entropy of level and length, bits
        RunLengthNonUniformity | W92Y | sum of squared run counts by length, over runs
        RunLengthNonUniformityNormalized | IC23 | the same over squared runs
        RunPercentage | 9ZK5 | runs over voxels
        RunVariance | SXLW | variance of the length
        ShortRunEmphasis | 22OV | mean inverse squared length
        ShortRunHighGrayLevelEmphasis | GD3A | mean of squared level over squared length
        ShortRunLowGrayLevelEmphasis | HTZT | mean inverse of squared level times squared length
    """,
    "glszm": """
        GrayLevelNonUniformity | JNSA | sum of squared zone counts by level, over zones
        GrayLevelNonUniformityNormalized | Y1RO | the same over squared zones
        GrayLevelVariance | BYLV | variance of the level of a zone
        HighGrayLevelZoneEmphasis | 5GN9 | mean squared level of a zone
        LargeAreaEmphasis | 48P8 | mean squared size
        LargeAreaHighGrayLevelEmphasis | J17V | mean of squared size times squared level
        LargeAreaLowGrayLevelEmphasis | YH51 | mean of squared size over squared level
        LowGrayLevelZoneEmphasis | XMSY | mean inverse squared level
        SizeZoneNonUniformity | 4JP3 | sum of squared zone counts by size, over zones
        SizeZoneNonUniformityNormalized | VB3A | the same over squared zones
        SmallAreaEmphasis | 5QRC | mean inverse squared size
        SmallAreaHighGrayLevelEmphasis | HW1V | mean of squared level over squared size
        SmallAreaLowGrayLevelEmphasis | 5RAI | mean inverse of squared level times squared size
        ZoneEntropy | GU8N | entropy of level and size, bits
        ZonePercentage | P30P | zones over voxels
        ZoneVariance | 3NSA | variance of the size
    """,
    "gldm": """
        DependenceEntropy | FCBV | entropy of level and dependence, bits
        DependenceNonUniformity | Z87G | sum of squared voxel counts by dependence, over voxels
        DependenceNonUniformityNormalized | OKJI | the same over squared voxels
        DependenceVariance | DNX2 | variance of the dependence
        GrayLevelNonUniformity | FP8K | sum of squared voxel counts by level, over voxels
        GrayLevelVariance | 1PFV | variance of the level
        HighGrayLevelEmphasis | OAE7 | mean squared level
        LargeDependenceEmphasis | IMOQ | mean squared dependence
        LargeDependenceHighGrayLevelEmphasis | 9QMG | mean of squared dependence times squared level
        LargeDependenceLowGrayLevelEmphasis | NBZI | mean of squared dependence over squared level
        LowGrayLevelEmphasis | TL9H | mean inverse squared level
        SmallDependenceEmphasis | SODN | mean inverse squared dependence
        SmallDependenceHighGrayLevelEmphasis | JA6D | mean of squared level over squared dependence
        SmallDependenceLowGrayLevelEmphasis | EQ3F | mean inverse of squared level times squared dependence
    """,
    "ngtdm": """
        Busyness | NQ30 | differences from the neighbours' mean, over differences of the levels' shares
        Coarseness | QCDE | inverse of the mean difference from the neighbours' mean
        Complexity | HDEZ | differences of levels, weighted by their differences from the neighbours' mean
        Contrast | 65HE | spread of the levels times the mean difference from the neighbours' mean
        Strength | 1X9X | squared differences of levels over the sum of differences from the neighbours' mean
    """,
}


# Features that PyRadiomics retired, as each repeats another: what to name instead.
RETIRED = {
    ("glcm", "Dissimilarity"): "glcm DifferenceAverage",
    ("glcm", "Homogeneity1"): "glcm Id",
    ("glcm", "Homogeneity2"): "glcm Idm",
    ("glcm", "SumVariance"): "glcm ClusterTendency",
    ("gldm", "GrayLevelNonUniformityNormalized"): "firstorder Uniformity",
    ("gldm", "DependencePercentage"): "nothing, as it is always 1",
}


def _rows() -> tuple[Feature, ...]:
    found = []
    for family, text in _TABLE.items():
        for line in text.strip().splitlines():
            name, ibsi, definition = (cell.strip() for cell in line.split("|"))
            found.append(Feature(family, name.removeprefix("~"), ibsi, definition, not name.startswith("~")))
    return tuple(found)


FEATURES: tuple[Feature, ...] = _rows()


def names_of(family: FeatureClass, config: RadiomicsConfig) -> list[str]:
    """Give the names of the features of one class that the settings ask for.

    Parameters
    ----------
    family : str
        Feature class.
    config : RadiomicsConfig
        Uses `features`.

    Returns
    -------
    list of str
        In the order of the table.

    Raises
    ------
    ConfigError
        If a name is asked for that the class does not have.
    """
    rows = [f for f in FEATURES if f.family == family]
    wanted = config.features.get(family, ())
    known = {f.name for f in rows}
    for name in wanted:
        if (family, name) in RETIRED:
            message = f"class {family} has no feature {name} any more: PyRadiomics retired it, as it repeats another. Ask for {RETIRED[family, name]} instead"
            raise ConfigError(message)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            message = f"class {family} has no feature {name}" + (f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(known))}")
            raise ConfigError(message)
    return [f.name for f in rows if (f.name in wanted if wanted else f.by_default)]
