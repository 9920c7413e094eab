"""Which features the standard has: code, tag, name and definition, one row a feature; and its ways to put texture together.

A code is that of the reference manual of the Image Biomarker Standardisation Initiative [1]_ and the name of the feature's column, with ``_`` and the code of the
aggregation where there are several. The tag is the feature's name in the tables of reference values; the aggregation's tag follows it there in the same way.

References
----------
.. [1] Zwanenburg A, Leger S, Vallieres M, Loeck S. Image biomarker standardisation initiative: reference manual. arXiv:1612.07003.
"""

from __future__ import annotations

from dataclasses import dataclass

from sarcofuse.config.ibsi import IbsiAggregation, IbsiConfig, IbsiFamily


@dataclass(frozen=True, slots=True)
class IbsiFeature:
    """A feature of the standard.

    Attributes
    ----------
    family : str
        Feature family.
    code : str
        Code in the reference manual.
    tag : str
        Name in the tables of reference values.
    name : str
        Name in the reference manual.
    definition : str
        What it is, in one line.
    aggregations : tuple of str
        Codes of the ways to put it together over directions and slices; empty where there is only one.
    """

    family: IbsiFamily
    code: str
    tag: str
    name: str
    definition: str
    aggregations: tuple[IbsiAggregation, ...] = ()

    def columns(self) -> dict[str, str]:
        """Give the names of the feature's columns.

        Returns
        -------
        dict of str to str
            Tag in the tables of reference values by name of the column.
        """
        if not self.aggregations:
            return {self.code: self.tag}
        return {f"{self.code}_{a}": f"{self.tag}_{AGGREGATIONS[a]}" for a in self.aggregations}


DIRECTIONAL: tuple[IbsiAggregation, ...] = ("BTW3", "SUJT", "JJUI", "ZW7Z", "ITBB", "IAZD")
WHOLE: tuple[IbsiAggregation, ...] = ("8QNN", "62GR", "KOBO")
AGGREGATIONS: dict[IbsiAggregation, str] = {
    "BTW3": "2D_avg",
    "SUJT": "2D_comb",
    "JJUI": "2_5D_avg",
    "ZW7Z": "2_5D_comb",
    "ITBB": "3D_avg",
    "IAZD": "3D_comb",
    "8QNN": "2D",
    "62GR": "2_5D",
    "KOBO": "3D",
}
OF_FAMILY: dict[IbsiFamily, tuple[IbsiAggregation, ...]] = {"glcm": DIRECTIONAL, "glrlm": DIRECTIONAL, "glszm": WHOLE, "gldzm": WHOLE, "ngtdm": WHOLE, "ngldm": WHOLE}

# Rows: code | tag | name | definition.
_TABLE: dict[IbsiFamily, str] = {
    "morphology": """
        RNU0 | morph_volume | volume (mesh) | volume within the surface mesh, mm3
        YEKZ | morph_vol_approx | volume (voxel counting) | number of voxels times the volume of one, mm3
        C0JK | morph_area_mesh | surface area (mesh) | area of the surface mesh, mm2
        2PR5 | morph_av | surface to volume ratio | surface area over volume, 1/mm
        SKGS | morph_comp_1 | compactness 1 | volume over the square root of pi times surface to the power 3/2
        BQWJ | morph_comp_2 | compactness 2 | 36 pi times squared volume over cubed surface
        KRCK | morph_sph_dispr | spherical disproportion | surface over the surface of the ball of equal volume
        QCFX | morph_sphericity | sphericity | surface of the ball of equal volume over the surface
        25C7 | morph_asphericity | asphericity | spherical disproportion less one
        KLMA | morph_com | centre of mass shift | distance of the centre of the region from that of its intensities, mm
        L0JK | morph_diam | maximum 3D diameter | largest distance of mesh vertices, mm
        TDIC | morph_pca_maj_axis | major axis length | four times the square root of the largest eigenvalue of the covariance of voxel centres, mm
        P9VJ | morph_pca_min_axis | minor axis length | the same with the middle eigenvalue, mm
        7J51 | morph_pca_least_axis | least axis length | the same with the smallest eigenvalue, mm
        Q3CK | morph_pca_elongation | elongation | square root of middle over largest eigenvalue
        N17B | morph_pca_flatness | flatness | square root of smallest over largest eigenvalue
        PBX1 | morph_vol_dens_aabb | volume density (axis-aligned bounding box) | volume over that of the box
        R59B | morph_area_dens_aabb | area density (axis-aligned bounding box) | surface over that of the box
        ZH1A | morph_vol_dens_ombb | volume density (oriented minimum bounding box) | volume over that of the smallest box in any orientation
        IQYR | morph_area_dens_ombb | area density (oriented minimum bounding box) | surface over that of the smallest box in any orientation
        6BDE | morph_vol_dens_aee | volume density (approximate enclosing ellipsoid) | volume over that of the ellipsoid with the axis lengths
        RDD2 | morph_area_dens_aee | area density (approximate enclosing ellipsoid) | surface over that of the ellipsoid with the axis lengths
        SWZ1 | morph_vol_dens_mvee | volume density (minimum volume enclosing ellipsoid) | volume over that of the smallest ellipsoid around the mesh
        BRI8 | morph_area_dens_mvee | area density (minimum volume enclosing ellipsoid) | surface over that of the smallest ellipsoid around the mesh
        R3ER | morph_vol_dens_conv_hull | volume density (convex hull) | volume over that of the convex hull of the mesh
        7T7F | morph_area_dens_conv_hull | area density (convex hull) | surface over that of the convex hull of the mesh
        99N0 | morph_integ_int | integrated intensity | mean intensity times volume
        N365 | morph_moran_i | Moran's I index | correlation of intensities, weighted by inverse distance
        NPT7 | morph_geary_c | Geary's C measure | squared differences of intensities, weighted by inverse distance
    """,
    "local": """
        VJGA | loc_peak_loc | local intensity peak | mean within a ball of 1 ml around the voxel of highest intensity
        0F91 | loc_peak_glob | global intensity peak | highest mean within a ball of 1 ml around any voxel
    """,
    "statistics": """
        Q4LE | stat_mean | mean intensity | mean
        ECT3 | stat_var | intensity variance | mean squared distance from the mean
        KE2A | stat_skew | intensity skewness | third central moment over variance to the power 3/2
        IPH6 | stat_kurt | (excess) intensity kurtosis | fourth central moment over squared variance, less 3
        Y12H | stat_median | median intensity | median
        1GSF | stat_min | minimum intensity | smallest
        QG58 | stat_p10 | 10th intensity percentile | 10th percentile
        8DWT | stat_p90 | 90th intensity percentile | 90th percentile
        84IY | stat_max | maximum intensity | largest
        SALO | stat_iqr | intensity interquartile range | 75th minus 25th percentile
        2OJQ | stat_range | intensity range | largest minus smallest
        4FUA | stat_mad | mean absolute deviation | mean distance from the mean
        1128 | stat_rmad | robust mean absolute deviation | mean distance from the mean, of intensities from the 10th to the 90th percentile
        N72L | stat_medad | median absolute deviation | mean distance from the median
        7TET | stat_cov | coefficient of variation | standard deviation over mean
        9S40 | stat_qcod | quartile coefficient of dispersion | 75th minus 25th percentile over their sum
        N8CA | stat_energy | energy | sum of squares
        5ZWQ | stat_rms | root mean square intensity | square root of the mean square
    """,
    "histogram": """
        X6K6 | ih_mean | mean discretised intensity | mean level
        CH89 | ih_var | discretised intensity variance | mean squared distance from the mean
        88K1 | ih_skew | discretised intensity skewness | third central moment over variance to the power 3/2
        C3I7 | ih_kurt | (excess) discretised intensity kurtosis | fourth central moment over squared variance, less 3
        WIFQ | ih_median | median discretised intensity | median level
        1PR8 | ih_min | minimum discretised intensity | smallest level
        GPMT | ih_p10 | 10th discretised intensity percentile | 10th percentile
        OZ0C | ih_p90 | 90th discretised intensity percentile | 90th percentile
        3NCY | ih_max | maximum discretised intensity | largest level
        AMMC | ih_mode | intensity histogram mode | commonest level, of several the one nearest to the mean
        WR0O | ih_iqr | discretised intensity interquartile range | 75th minus 25th percentile
        5Z3W | ih_range | discretised intensity range | largest minus smallest level
        D2ZX | ih_mad | intensity histogram mean absolute deviation | mean distance from the mean
        WRZB | ih_rmad | intensity histogram robust mean absolute deviation | mean distance from the mean, of levels from the 10th to the 90th percentile
        4RNL | ih_medad | intensity histogram median absolute deviation | mean distance from the median
        CWYJ | ih_cov | intensity histogram coefficient of variation | standard deviation over mean
        SLWD | ih_qcod | intensity histogram quartile coefficient of dispersion | 75th minus 25th percentile over their sum
        TLU2 | ih_entropy | discretised intensity entropy | entropy of the levels, bits
        BJ5W | ih_uniformity | discretised intensity uniformity | sum of squared probabilities
        12CE | ih_max_grad | maximum histogram gradient | largest gradient of the voxel counts
        8E6O | ih_max_grad_g | maximum histogram gradient intensity | level of the largest gradient
        VQB3 | ih_min_grad | minimum histogram gradient | smallest gradient of the voxel counts
        RHQZ | ih_min_grad_g | minimum histogram gradient intensity | level of the smallest gradient
    """,
    "ivh": """
        NK6P | ivh_v10 | volume at 10 % intensity fraction | share of the volume with at least 10 % of the range of intensities
        4279 | ivh_v90 | volume at 90 % intensity fraction | share of the volume with at least 90 % of the range of intensities
        PWN1 | ivh_i10 | intensity at 10 % volume fraction | smallest intensity that at most 10 % of the volume reaches
        BOHI | ivh_i90 | intensity at 90 % volume fraction | smallest intensity that at most 90 % of the volume reaches
        WITY | ivh_diff_v10_v90 | volume fraction difference between intensity fractions | NK6P minus 4279
        JXJA | ivh_diff_i10_i90 | intensity difference between volume fractions | PWN1 minus BOHI
        9CMM | ivh_auc | area under the intensity-volume histogram | volume fraction, integrated over the intensity fraction
    """,
    "glcm": """
        GYBY | cm_joint_max | joint maximum | probability of the commonest pair
        60VM | cm_joint_avg | joint average | mean level of a pair's first member
        UR99 | cm_joint_var | joint variance | variance of the level of a pair's first member
        TU9B | cm_joint_entr | joint entropy | entropy of the pairs, bits
        TF7R | cm_diff_avg | difference average | mean difference of a pair
        D3YU | cm_diff_var | difference variance | variance of the difference
        NTRS | cm_diff_entr | difference entropy | entropy of the difference, bits
        ZGXS | cm_sum_avg | sum average | mean sum of a pair
        OEEB | cm_sum_var | sum variance | variance of the sum
        P6QZ | cm_sum_entr | sum entropy | entropy of the sum, bits
        8ZQL | cm_energy | angular second moment | sum of squared probabilities
        ACUI | cm_contrast | contrast | mean squared difference of a pair
        8S9J | cm_dissimilarity | dissimilarity | mean difference of a pair
        IB1Z | cm_inv_diff | inverse difference | mean of 1 / (1 + difference)
        NDRX | cm_inv_diff_norm | normalised inverse difference | mean of 1 / (1 + difference / number of levels)
        WF0Z | cm_inv_diff_mom | inverse difference moment | mean of 1 / (1 + squared difference)
        1QCO | cm_inv_diff_mom_norm | normalised inverse difference moment | mean of 1 / (1 + squared difference / squared number of levels)
        E8JP | cm_inv_var | inverse variance | mean of 1 / squared difference over unequal pairs
        NI2N | cm_corr | correlation | correlation of the levels of a pair
        QWB0 | cm_auto_corr | autocorrelation | mean product of the levels of a pair
        DG8W | cm_clust_tend | cluster tendency | mean square of the pair's sum less its mean
        7NFM | cm_clust_shade | cluster shade | mean third power of the pair's sum less its mean
        AE86 | cm_clust_prom | cluster prominence | mean fourth power of the pair's sum less its mean
        R8DG | cm_info_corr1 | information correlation 1 | joint entropy less that of independent levels, over the marginal entropy
        JN9H | cm_info_corr2 | information correlation 2 | square root of 1 - exp(-2 (entropy of independent levels less joint entropy))
    """,
    "glrlm": """
        22OV | rlm_sre | short runs emphasis | mean inverse squared length
        W4KF | rlm_lre | long runs emphasis | mean squared length
        V3SW | rlm_lgre | low grey level run emphasis | mean inverse squared level
        G3QZ | rlm_hgre | high grey level run emphasis | mean squared level
        HTZT | rlm_srlge | short run low grey level emphasis | mean inverse of squared level times squared length
        GD3A | rlm_srhge | short run high grey level emphasis | mean of squared level over squared length
        IVPO | rlm_lrlge | long run low grey level emphasis | mean of squared length over squared level
        3KUM | rlm_lrhge | long run high grey level emphasis | mean of squared length times squared level
        R5YN | rlm_glnu | grey level non-uniformity | sum of squared run counts by level, over runs
        OVBL | rlm_glnu_norm | normalised grey level non-uniformity | the same over squared runs
        W92Y | rlm_rlnu | run length non-uniformity | sum of squared run counts by length, over runs
        IC23 | rlm_rlnu_norm | normalised run length non-uniformity | the same over squared runs
        9ZK5 | rlm_r_perc | run percentage | runs over voxels
        8CE5 | rlm_gl_var | grey level variance | variance of the level of a run
        SXLW | rlm_rl_var | run length variance | variance of the length
        HJ9O | rlm_rl_entr | run entropy | entropy of level and length, bits
    """,
    "glszm": """
        5QRC | szm_sze | small zone emphasis | mean inverse squared size
        48P8 | szm_lze | large zone emphasis | mean squared size
        XMSY | szm_lgze | low grey level zone emphasis | mean inverse squared level
        5GN9 | szm_hgze | high grey level zone emphasis | mean squared level
        5RAI | szm_szlge | small zone low grey level emphasis | mean inverse of squared level times squared size
        HW1V | szm_szhge | small zone high grey level emphasis | mean of squared level over squared size
        YH51 | szm_lzlge | large zone low grey level emphasis | mean of squared size over squared level
        J17V | szm_lzhge | large zone high grey level emphasis | mean of squared size times squared level
        JNSA | szm_glnu | grey level non-uniformity | sum of squared zone counts by level, over zones
        Y1RO | szm_glnu_norm | normalised grey level non-uniformity | the same over squared zones
        4JP3 | szm_zsnu | zone size non-uniformity | sum of squared zone counts by size, over zones
        VB3A | szm_zsnu_norm | normalised zone size non-uniformity | the same over squared zones
        P30P | szm_z_perc | zone percentage | zones over voxels
        BYLV | szm_gl_var | grey level variance | variance of the level of a zone
        3NSA | szm_zs_var | zone size variance | variance of the size
        GU8N | szm_zs_entr | zone size entropy | entropy of level and size, bits
    """,
    "gldzm": """
        0GBI | dzm_sde | small distance emphasis | mean inverse squared distance of a zone from the border
        MB4I | dzm_lde | large distance emphasis | mean squared distance
        S1RA | dzm_lgze | low grey level zone emphasis | mean inverse squared level
        K26C | dzm_hgze | high grey level zone emphasis | mean squared level
        RUVG | dzm_sdlge | small distance low grey level emphasis | mean inverse of squared level times squared distance
        DKNJ | dzm_sdhge | small distance high grey level emphasis | mean of squared level over squared distance
        A7WM | dzm_ldlge | large distance low grey level emphasis | mean of squared distance over squared level
        KLTH | dzm_ldhge | large distance high grey level emphasis | mean of squared distance times squared level
        VFT7 | dzm_glnu | grey level non-uniformity | sum of squared zone counts by level, over zones
        7HP3 | dzm_glnu_norm | normalised grey level non-uniformity | the same over squared zones
        V294 | dzm_zdnu | zone distance non-uniformity | sum of squared zone counts by distance, over zones
        IATH | dzm_zdnu_norm | normalised zone distance non-uniformity | the same over squared zones
        VIWW | dzm_z_perc | zone percentage | zones over voxels
        QK93 | dzm_gl_var | grey level variance | variance of the level of a zone
        7WT1 | dzm_zd_var | zone distance variance | variance of the distance
        GBDU | dzm_zd_entr | zone distance entropy | entropy of level and distance, bits
    """,
    "ngtdm": """
        QCDE | ngt_coarseness | coarseness | inverse of the mean difference from the neighbours' mean
        65HE | ngt_contrast | contrast | spread of the levels times the mean difference from the neighbours' mean
        NQ30 | ngt_busyness | busyness | differences from the neighbours' mean, over differences of the levels' shares
        HDEZ | ngt_complexity | complexity | differences of levels, weighted by their differences from the neighbours' mean
        1X9X | ngt_strength | strength | squared differences of levels over the sum of differences from the neighbours' mean
    """,
    "ngldm": """
        SODN | ngl_lde | low dependence emphasis | mean inverse squared dependence
        IMOQ | ngl_hde | high dependence emphasis | mean squared dependence
        TL9H | ngl_lgce | low grey level count emphasis | mean inverse squared level
        OAE7 | ngl_hgce | high grey level count emphasis | mean squared level
        EQ3F | ngl_ldlge | low dependence low grey level emphasis | mean inverse of squared level times squared dependence
        JA6D | ngl_ldhge | low dependence high grey level emphasis | mean of squared level over squared dependence
        NBZI | ngl_hdlge | high dependence low grey level emphasis | mean of squared dependence over squared level
        9QMG | ngl_hdhge | high dependence high grey level emphasis | mean of squared dependence times squared level
        FP8K | ngl_glnu | grey level non-uniformity | sum of squared voxel counts by level, over voxels
        5SPA | ngl_glnu_norm | normalised grey level non-uniformity | the same over squared voxels
        Z87G | ngl_dcnu | dependence count non-uniformity | sum of squared voxel counts by dependence, over voxels
        OKJI | ngl_dcnu_norm | normalised dependence count non-uniformity | the same over squared voxels
        6XV8 | ngl_dc_perc | dependence count percentage | neighbourhoods over voxels, always 1
        1PFV | ngl_gl_var | grey level variance | variance of the level
        DNX2 | ngl_dc_var | dependence count variance | variance of the dependence
        FCBV | ngl_dc_entr | dependence count entropy | entropy of level and dependence, bits
        CAS9 | ngl_dc_energy | dependence count energy | sum of squared probabilities of level and dependence
    """,
}


def _rows() -> tuple[IbsiFeature, ...]:
    found = []
    for family, text in _TABLE.items():
        for line in text.strip().splitlines():
            code, tag, name, definition = (cell.strip() for cell in line.split("|"))
            found.append(IbsiFeature(family, code, tag, name, definition, OF_FAMILY.get(family, ())))
    return tuple(found)


IBSI_FEATURES: tuple[IbsiFeature, ...] = _rows()


def feature_names(config: IbsiConfig) -> tuple[str, ...]:
    """Give the names of the columns that the settings ask for.

    Parameters
    ----------
    config : IbsiConfig
        Uses `families` and `aggregations`.

    Returns
    -------
    tuple of str
        In the order of the table; each ``<code>`` or ``<code>_<aggregation>``.
    """
    found = []
    for feature in IBSI_FEATURES:
        if feature.family in config.families:
            found += [c for c in feature.columns() if not feature.aggregations or c.rsplit("_", 1)[1] in config.aggregations]
    return tuple(found)
