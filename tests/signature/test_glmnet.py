"""The paths against figures that glmnet itself has printed.

The small tables and their figures are those that R's glmnet gave for the tests of GLMNet.jl (github.com/JuliaStats/GLMNet.jl, test/runtests.jl at 99739ec). glmnet stops at a tolerance of 1e-7, so
that its coefficients are exact to three digits or so. The figures of seven and more digits are of glmnet's own Fortran run to a tolerance of 1e-16: ``glmnet(..., thresh=1e-16, maxit=10**7)`` of
glmnetforpython 0.3.3.
"""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.signature.path import PathSettings, cross_validate, fit_path

X = np.array(
    [
        [74, 1, 93, 93, 79, 18],
        [98, 36, 2, 27, 65, 70],
        [61, 8, 99, 53, 77, 92],
        [47, 51, 67, 84, 87, 80],
        [81, 32, 9, 18, 32, 10],
        [78, 67, 92, 98, 4, 65],
        [67, 94, 30, 20, 85, 73],
        [51, 100, 75, 76, 86, 18],
        [93, 71, 76, 64, 70, 91],
        [30, 5, 13, 89, 19, 2],
    ],
    dtype=float,
)
Y = np.array([9, 67, 91, 80, 2, 61, 70, 13, 83, 21], dtype=float)
WEIGHTS = [1, 10, 3, 2, 1.5, 7.4, 4.2, 17, 11, 14.8]
FOLDS = [1, 1, 1, 1, 2, 2, 2, 3, 3, 3]
AT = [0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 68]
# time, status, age, sex, ph.ecog, ph.karno, pat.karno, meal.cal, wt.loss of patients of R's survival::lung
LUNG = np.array(
    [
        [31, 1, 82, 0, 0, 100, 90, 413, 27],
        [201, 1, 73, 1, 2, 70, 60, 1225, -16],
        [243, 0, 63, 1, 1, 80, 90, 825, 0],
        [460, 1, 70, 0, 1, 80, 60, 975, 10],
        [458, 0, 57, 0, 1, 80, 100, 513, 30],
        [245, 1, 57, 1, 1, 80, 60, 280, 14],
        [170, 1, 57, 0, 1, 80, 80, 1025, 27],
        [153, 1, 73, 1, 2, 60, 70, 1075, 11],
        [95, 1, 76, 1, 2, 60, 60, 625, -24],
        [293, 1, 59, 1, 1, 80, 80, 925, 52],
        [259, 0, 58, 0, 0, 90, 80, 1300, 8],
        [305, 1, 48, 1, 1, 80, 90, 538, 29],
        [110, 1, 64, 0, 1, 80, 60, 1025, 12],
        [13, 1, 76, 0, 2, 70, 70, 413, 20],
        [5, 1, 65, 1, 0, 100, 80, 338, 5],
    ],
    dtype=float,
)
COX_PENALTIES = [0.387908320, 0.221975403, 0.127022487, 0.072686937, 0.041594138, 0.023801695, 0.013620205, 0.007793982, 0.004460003, 0.002552178]


def test_gaussian_path():
    path = fit_path(X, Y, PathSettings("gaussian"))
    np.testing.assert_allclose(path.penalties[[0, 5, 10, 20, 40, 68]], [31.8289169496, 19.9894874721, 12.5539807098, 4.9515486786, 0.7703006155, 0.0569307773], rtol=1e-8)
    np.testing.assert_allclose(path.explained[[0, 5, 10, 20, 40, 68]], [0, 0.5747560401, 0.8014516657, 0.9261315894, 0.988036043, 0.9952242131], atol=1e-5)
    np.testing.assert_allclose(path.intercepts[[0, 5, 10, 20, 40]], [49.7, 31.5129576873293, 20.090965068475, 8.41255156937272, 20.9673256125271], atol=0.03)
    published = [[0, 0, 0, 0, 0, 0.5705016364455693], [-0.26106259863474601, -0.03329369198952250, -0.08096633358970667, 0.02497015329885828, -0.05815325804765525, 1.04279276932443676]]
    np.testing.assert_allclose(path.coefficients[[10, 45]], published, atol=6e-4)
    assert path.null_deviance * 10 == pytest.approx(10674.1, rel=1e-12)


def test_gaussian_path_with_observation_weights():
    path = fit_path(X, Y, PathSettings("gaussian"), weights=WEIGHTS)
    np.testing.assert_allclose(path.penalties[[0, 1, 10]], [28.8084349788201, 26.2491730169499, 11.3626403904829], rtol=1e-8)
    np.testing.assert_allclose(path.explained[[1, 5, 10, 20, 40]], [0.158359086495281, 0.564834645228772, 0.787617068450965, 0.919750340224759, 0.9863245270677], atol=1e-4)
    published = [[0, 0, 0, 0, 0, 0.501142098062401], [-0.183274565846309, -0.0855037395118459, -0.0613557883668847, 0, -0.0600681047253852, 0.969820775818192]]
    np.testing.assert_allclose(path.coefficients[[10, 45]], published, atol=1.5e-3)
    assert path.null_deviance * np.sum(WEIGHTS) == pytest.approx(63976.1326843, rel=1e-9)


def test_gaussian_cross_validation():
    settings = PathSettings("gaussian", explained=1.0)  # glmnet follows penalties that it is given to the end
    penalties = fit_path(X, Y, PathSettings("gaussian")).penalties[:69]
    found = cross_validate(X, Y, penalties, [FOLDS], settings)
    mean = [1196.1831818915, 529.842805475268, 256.744852390135, 159.014246914545, 126.738062011939, 130.300029294795]
    mean += [128.005183135106, 146.332889852076, 163.22393927254, 166.875169226736, 160.897087329777]
    error = [136.322352820689, 133.64026444338, 88.2039985031141, 42.2429251584245, 13.485443750424, 22.1123049318325]
    error += [47.3664947235114, 55.7431439753733, 47.7514256092116, 39.0299829401119]
    np.testing.assert_allclose(found.deviance[AT], mean, rtol=5e-3)
    np.testing.assert_allclose(found.deviance[AT[:10]], mean[:10], rtol=1.5e-3)
    np.testing.assert_allclose(found.error[AT[:10]], error, rtol=2e-3)
    assert penalties[found.choose("min")] == pytest.approx(4.110862702400506, rel=1e-8)


def test_binomial_path():
    path = fit_path(X, Y >= 50, PathSettings("binomial"))
    np.testing.assert_allclose(path.penalties[[0, 5, 10, 40]], [0.472385796995596, 0.296672047811549, 0.186318692290232, 0.0114323421919646], rtol=1e-8)
    np.testing.assert_allclose(path.explained[[0, 5, 10, 20, 40, 60]], [0, 0.434519100824185, 0.656354669001616, 0.864584432266733, 0.97799024894814, 0.996487011855463], atol=2e-6)
    np.testing.assert_allclose(path.intercepts[[0, 5, 10, 20, 40]], [0.405465108108164, -0.719885442468768, -1.58754120288427, -3.1125277663898, -6.05322774224805], atol=2e-4)
    np.testing.assert_allclose(path.coefficients[[10, 45], 5], [0.04118567893498771, 0.1609132092629401], atol=1e-5)
    assert path.null_deviance * 10 == pytest.approx(13.4602333402, rel=1e-10)


def test_binomial_cross_validation():
    penalties = fit_path(X, Y >= 50, PathSettings("binomial")).penalties[:75]
    found = cross_validate(X, Y >= 50, penalties, [FOLDS], PathSettings("binomial", explained=1.0))
    mean = [1.49234494227531, 0.84818653887696, 0.506975881877881, 0.318545052280019, 0.205531611970948, 0.136699609430587, 0.0952806756386943, 0.0493647721615075]
    error = [0.187060173197517, 0.0679529498380942, 0.0361867026216357, 0.0395453408028881, 0.0370970328557178, 0.0335191571967878, 0.0316690701104404, 0.0250169781298095]
    np.testing.assert_allclose(found.deviance[AT[:8]], mean, rtol=1e-3)
    np.testing.assert_allclose(found.error[AT[:8]], error, rtol=1e-3)
    assert penalties[found.choose("min")] == pytest.approx(0.0004835015175294886, rel=1e-8)


def test_cox_path():
    path = fit_path(LUNG[:, 2:], LUNG[:, :2], PathSettings("cox"), penalties=COX_PENALTIES)
    assert np.count_nonzero(path.coefficients[1:], axis=1).tolist() == [2, 3, 3, 5, 6, 7, 7, 7, 7]
    np.testing.assert_allclose(path.coefficients[:, 0], [0, 0.0331042241, 0.0619681059, 0.081933478, 0.097242387, 0.108962950, 0.113602150, 0.116747557, 0.118753535, 0.120028109], atol=1e-4)
    np.testing.assert_allclose(path.coefficients[:, 1], [0, 0, 0.2131420019, 0.449263137, 0.636003572, 0.812610424, 0.900595779, 0.960331719, 0.998588376, 1.022193565], rtol=1e-3)
    np.testing.assert_allclose(path.coefficients[6:, 2], [0.688653228, 1.142324340, 1.403892425, 1.551887391], rtol=1e-2)
    np.testing.assert_allclose(path.explained, [0, 6.681069e-02, 1.319701e-01, 1.602788e-01, 1.746954e-01, 1.828929e-01, 1.957523e-01, 2.007661e-01, 2.024540e-01, 2.030142e-01], atol=7e-5)
    np.testing.assert_allclose((LUNG[:, 2:] @ path.coefficients[2])[:4], [4.708706, 3.631410, 3.372677, 3.457956], rtol=1e-3)
    assert path.null_deviance * 15 == pytest.approx(47.3015522836, rel=1e-10)


def test_cox_cross_validation():
    found = cross_validate(LUNG[:, 2:], LUNG[:, :2], COX_PENALTIES, [np.tile([1, 2, 3], 5)], PathSettings("cox"))
    # GLMNet.jl works the deviance out itself from glmnet's solutions: its figure is a third of the sum over three folds of half the deviance, ours the sum by event, of which there are twelve.
    published = [10.75651, 10.81102, 10.79783, 11.78060, 14.97191, 19.59119, 24.63270, 34.80017, 43.99917, 51.85903]
    np.testing.assert_allclose(found.deviance * 12 / 6, published, rtol=6e-3)
    np.testing.assert_allclose((found.deviance * 12 / 6)[:5], published[:5], rtol=6e-4)
    assert found.penalties[found.choose("min")] == pytest.approx(0.3879083, abs=1e-6)


FACTORS = [0, 1, 2, 1, 0.5, 3]
EXACT = {"tolerance": 1e-18, "explained": 1.0}


@pytest.mark.parametrize(
    ("family", "l1_ratio", "penalties", "intercepts", "coefficients", "explained"),
    [
        (
            "gaussian",
            1.0,
            [4.0, 1.0],
            [-3.2264450563, 18.2557990671],
            [[0.7163130298836657, -0.07247484183252405, 0, 0, 0, 0.1513206303393415], [0.004897302146231492, -0.11892825575307102, 0, 0, -0.036396005625344084, 0.7870237518188752]],
            [0.6604509278, 0.967917502],
        ),
        ("binomial", 1.0, [0.1, 0.02], [-8.5614532068, -8.7469735052], [[0.1388696605017889, 0, 0, 0, 0, 0], [0.09546273259973045, 0, 0, 0, 0, 0.06062745269340492]], [0.6226003222, 0.9100225841]),
        (
            "binomial",
            0.5,
            [0.1, 0.02],
            [-8.4110291504, -8.3555305879],
            [[0.1331061591961112, 0, 0, 0, 0, 0.004211492930319726], [0.09833223078543092, 0, 0, 0, 0, 0.04827031485077211]],
            [0.6524286613, 0.8752882021],
        ),
    ],
)
def test_weights_and_penalty_factors_to_eight_digits(family, l1_ratio, penalties, intercepts, coefficients, explained):
    y = Y if family == "gaussian" else Y >= 50
    path = fit_path(X, y, PathSettings(family, l1_ratio, **EXACT), penalties=penalties, weights=WEIGHTS, factors=FACTORS)
    np.testing.assert_allclose(path.coefficients, coefficients, atol=3e-8)
    np.testing.assert_allclose(path.intercepts, intercepts, atol=2e-6)
    np.testing.assert_allclose(path.explained, explained, atol=1e-9)


@pytest.mark.parametrize(
    ("l1_ratio", "coefficients", "explained"),
    [
        (
            1.0,
            [
                [0.11031408605917335, 0.9475005951245893, 0, 0.018088876525091793, -0.0017501293058513664, -0.0005481180400437577, 0.00017830986183057753],
                [0.15480356603055836, 1.6587574508392968, 0, 0.029799284673040487, -0.008348636110721345, -0.0016217532797063283, 0.011266113318800062],
            ],
            [0.2154022684, 0.2779995248],
        ),
        (
            0.5,
            [
                [0.12742742466923312, 1.190111329965136, 0, 0.023983897855441225, -0.006776057880562954, -0.0010094038653019053, 0.006190640747165944],
                [0.15980268379886678, 1.7354312536509533, 0, 0.030847636882022255, -0.009759663836707975, -0.0017298076043951356, 0.013060568732837438],
            ],
            [0.2513449361, 0.2808883037],
        ),
    ],
)
def test_cox_with_weights_and_penalty_factors_to_seven_digits(l1_ratio, coefficients, explained):
    weights = np.arange(15) % 3 + 1.0
    path = fit_path(LUNG[:, 2:], LUNG[:, :2], PathSettings("cox", l1_ratio, **EXACT), penalties=[0.1, 0.03], weights=weights, factors=[*FACTORS, 1])
    np.testing.assert_allclose(path.coefficients, coefficients, atol=1e-7)
    np.testing.assert_allclose(path.explained, explained, atol=1e-9)
    assert path.null_deviance * weights.sum() == pytest.approx(89.14953316494729, rel=1e-12)


def test_cox_with_ties_to_seven_digits():
    """Times in hundreds of days, rounded up; R's glmnet puts those censored at the time of a death a hair behind it, which glmnetforpython leaves to its caller."""
    y = np.column_stack([np.ceil(LUNG[:, 0] / 100), LUNG[:, 1]])
    path = fit_path(LUNG[:, 2:], y, PathSettings("cox", **EXACT), penalties=[0.1, 0.03])
    published = [
        [0.052030650274476925, 0.15355067801185326, 0, 0, -0.007669954719282281, -0.0008377747630027059, 0],
        [0.08555321329580724, 0.5940824252617476, 0, 0, -0.0160348604335826, -0.0013441522541695525, 0.012257553390411043],
    ]
    np.testing.assert_allclose(path.coefficients, published, atol=1e-7)
    np.testing.assert_allclose(path.explained, [0.1874729157, 0.2527797026], atol=1e-9)
    assert path.null_deviance * 15 == pytest.approx(27.838239081166588, rel=1e-12)


@pytest.fixture(scope="module")
def vignettes(reference_data):
    """Read the example data of glmnet, as CSV or white space, from the folder `glmnet` of the reference data (github.com/bbalasub1/glmnet_python, folder data)."""
    folder = reference_data / "glmnet"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: put the files *Example[XY].dat of github.com/bbalasub1/glmnet_python, folder data, there")

    def read(name):
        return [np.array([[float(v) for v in line.replace(",", " ").split()] for line in (folder / f"{name}Example{part}.dat").read_text().splitlines()]).squeeze() for part in "XY"]

    return read


def test_quick_start_example(vignettes):
    features, y = vignettes("QuickStart")
    path = fit_path(features, y, PathSettings("gaussian"))
    coefficients, intercept = path.at(0.1)  # "An introduction to glmnet", August 2023: coef(fit, s = 0.1)
    np.testing.assert_allclose(coefficients[:7], [1.320597195, 0, 0.675110234, 0, -0.817411518, 0.521436671, 0.004829335], atol=5e-5)
    assert intercept == pytest.approx(0.150928072, abs=5e-5)
    np.testing.assert_allclose(path.explained[:6] * 100, [0, 5.53, 14.59, 22.11, 28.36, 33.54], atol=5.1e-3)


def test_elastic_net_example_with_weights(vignettes):
    features, y = vignettes("QuickStart")
    weights = np.repeat([1.0, 2.0], 50)
    share = weights / weights.sum()
    deviation = np.sqrt(share @ (y - share @ y) ** 2)  # glmnet standardises the outcome of the Gaussian family, which moves the ridge part
    path = fit_path(features, y / deviation, PathSettings("gaussian", 0.2, 20), weights=weights)
    np.testing.assert_allclose(path.penalties[:5] * deviation, [7.939020, 4.889231, 3.011024, 1.854334, 1.141988], atol=1e-6)
    np.testing.assert_allclose(path.explained[:10], [0, 0.178852, 0.444488, 0.656716, 0.784984, 0.853935, 0.886693, 0.902462, 0.910135, 0.913833], atol=3e-6)
    assert np.count_nonzero(path.coefficients, axis=1)[:10].tolist() == [0, 4, 7, 7, 8, 9, 10, 11, 14, 17]


def test_binomial_example(vignettes):
    features, y = vignettes("Binomial")
    coefficients, intercept = fit_path(features, y, PathSettings("binomial")).at(0.00333032)  # docs/_sources/glmnet_vignette.ipynb.txt of glmnet_python
    np.testing.assert_allclose(coefficients[:8], [0.63979413, 1.75552224, -1.01816297, -2.04021446, -0.3708456, -2.17833787, 0.37214969, -1.11649964], rtol=5e-3)
    assert intercept == pytest.approx(0.1834094, rel=1e-2)


def test_cox_example(vignettes):
    features, y = vignettes("Cox")
    coefficients, _ = fit_path(features, y, PathSettings("cox")).at(0.05)  # "Regularized Cox regression", August 2023: coef(fit, s = 0.05)
    np.testing.assert_allclose(coefficients[:8], [0.37693638, -0.09547797, -0.13595972, 0.09814146, -0.11437545, -0.38898545, 0.24291400, 0.03647596], rtol=3e-3)
    assert not coefficients[10:].any()
