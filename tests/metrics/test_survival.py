"""Time to event against published figures, lifelines, R's survAUC, and formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from sarcofuse.metrics import auc, brier, censoring, cumulative_incidence, harrell_c, integrated_brier, kaplan_meier, log_rank, timed_auc, timed_brier, uno_c

# Freireich EJ et al. Blood 1963;21:699-716: weeks of remission with 6-MP and with placebo, as in Collett, Modelling survival data.
MP = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], [1] * 9 + [0] * 12
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [1] * 21
# Edmonson JH et al. Cancer Treat Rep 1979;63:241-247: R's survival::ovarian (days, death, age), the first 16 for training as in survAUC's examples.
DAYS = [59, 115, 156, 421, 431, 448, 464, 475, 477, 563, 638, 744, 769, 770, 803, 855, 1040, 1106, 1129, 1206, 1227, 268, 329, 353, 365, 377]
DEATH = [1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]
AGE = """72.3315 74.4932 66.4658 53.3644 50.3397 56.4301 56.9370 59.8548 64.1753 55.1781 56.7562 50.1096 59.6301 57.0521 39.2712 43.1233 38.8932 44.6000
53.9068 44.2055 59.5890 74.5041 43.1370 63.2192 64.4247 58.3096"""
OVARIAN = np.array(DAYS, dtype=float), np.array(DEATH), np.array([float(a) for a in AGE.split()])


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sixty patients with ties in time and risk, and a cause of each event."""
    rng = np.random.default_rng(11)
    risk = np.round(rng.normal(size=60), 1)
    first = np.ceil(rng.exponential(10 * np.exp(-0.6 * risk)))
    last = np.ceil(rng.uniform(2, 25, 60))
    event = (first <= last).astype(int)
    return np.minimum(first, last), event, risk, np.where(event == 1, np.where(rng.random(60) < 0.4, 2, 1), 0)


def test_kaplan_meier_of_remission():
    # Collett, table 2.3: survival at 6, 7, 10, 13, 16, 22, 23 weeks
    found = kaplan_meier(*MP)
    np.testing.assert_allclose(found.at([6, 7, 10, 13, 16, 22, 23]), [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=6e-4)
    assert found.at([0, 5.9, 1000]).tolist() == pytest.approx([1.0, 1.0, found.value[-1]])
    assert found.at([6], before=True)[0] == 1.0


def test_greenwood_interval_is_that_of_r():
    # R: survfit(Surv(t, d) ~ 1, conf.type = "log-log") of 6-MP: 0.620 to 0.952 at 6 weeks, 0.188 to 0.680 at 23
    found = kaplan_meier(*MP)
    at = np.searchsorted(found.time, [6, 23])
    np.testing.assert_allclose(found.low[at], [0.620, 0.188], atol=6e-4)
    np.testing.assert_allclose(found.high[at], [0.952, 0.680], atol=6e-4)
    assert found.at_risk[at].tolist() == [21, 6]


def test_kaplan_meier_with_ties_is_that_of_lifelines():
    # lifelines 0.30.3, KaplanMeierFitter at 5 and 10
    time, event, _, _ = drawn()
    found = kaplan_meier(time, event)
    at = np.searchsorted(found.time, [5, 10])
    np.testing.assert_allclose(found.value[at], [0.56095238, 0.47565323], atol=5e-9)
    np.testing.assert_allclose(found.low[at], [0.42521567, 0.33894025], atol=5e-9)
    np.testing.assert_allclose(found.high[at], [0.67649502, 0.60029451], atol=5e-9)


def test_log_rank_of_remission():
    # the published statistic of 6-MP against placebo: 16.79 with one degree of freedom
    found = log_rank(MP[0] + PLACEBO[0], MP[1] + PLACEBO[1], ["mp"] * 21 + ["placebo"] * 21)
    assert found.statistic == pytest.approx(16.79, abs=5e-3)
    assert found.freedom == 1
    assert found.p == pytest.approx(4.17e-5, abs=5e-8)


def test_log_rank_of_three_groups_is_that_of_lifelines():
    # lifelines 0.30.3, multivariate_logrank_test
    time, event, risk, _ = drawn()
    found = log_rank(time, event, np.digitize(risk, [-0.5, 0.5]))
    assert (found.statistic, found.p, found.freedom) == (pytest.approx(5.662095165377141), pytest.approx(0.05895106519545913), 2)


def test_cumulative_incidence_is_that_of_lifelines():
    # lifelines 0.30.3, AalenJohansenFitter(calculate_variance=True), times made distinct, at 5.5, 10.5, 15.5
    time, _, _, cause = drawn()
    found = cumulative_incidence(time + np.arange(60) * 1e-3, cause)
    at = np.searchsorted(found.time, [5.5, 10.5, 15.5]) - 1
    np.testing.assert_allclose(found.value[at], [0.3084640522875817, 0.3544943267161938, 0.4263308587714712], atol=1e-12)
    np.testing.assert_allclose(found.low[at], [0.19525069, 0.2307385, 0.27768615], atol=5e-9)
    np.testing.assert_allclose(found.high[at], [0.42875715, 0.48027647, 0.56707089], atol=5e-9)


def test_causes_and_freedom_add_up_to_everybody():
    time, event, _, cause = drawn()
    both = cumulative_incidence(time, cause, 1).value + cumulative_incidence(time, cause, 2).value
    np.testing.assert_allclose(both, 1 - kaplan_meier(time, event).value)
    assert (cumulative_incidence(time, cause, 1).value <= 1 - kaplan_meier(time, cause == 1).value + 1e-12).all()


def test_harrell_c_with_ties_is_that_of_lifelines():
    # lifelines 0.30.3, concordance_index(time, -risk, event)
    time, event, risk, _ = drawn()
    assert harrell_c(time, event, risk)[0] == pytest.approx(0.6123101518784972, abs=1e-12)


def test_uno_c_is_that_of_survauc():
    # survAUC's README: UnoC(Surv.rsp, Surv.rsp.new, lpnew) = 0.7333333; the linear predictor rises with age
    time, event, age = OVARIAN
    assert uno_c(time[16:], event[16:], age[16:], censoring(time[:16], event[:16]))[0] == pytest.approx(0.7333333, abs=5e-8)


def test_timed_auc_is_that_of_survauc():
    # survAUC's README: AUC.uno(Surv.rsp, Surv.rsp.new, lpnew, seq(10, 1000, 10))$iauc = 0.7552083, weighted by the density of the new patients' times
    time, event, age = OVARIAN
    times = np.arange(10.0, 1001.0, 10.0)
    watched = censoring(time[:16], event[:16])
    areas = np.array([timed_auc(time[16:], event[16:], age[16:], t, watched)[0] for t in times])
    free = kaplan_meier(time[16:], event[16:]).at(times)
    mass = -np.diff(np.concatenate([[1.0], free]))
    assert (np.nan_to_num(areas) * mass).sum() / mass.sum() == pytest.approx(0.7552083, abs=5e-8)


def written_out(time, event, risk, weight):
    right = total = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                total += weight[i]
                right += weight[i] * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return right / total


def watching(time, event, t):
    """Kaplan-Meier of censoring just before t, by its definition; an event leaves before a censoring at its time."""
    share = 1.0
    for u in sorted({a for a, e in zip(time, event, strict=True) if not e and a < t}):
        at_risk = sum(1 for a, e in zip(time, event, strict=True) if a > u or (a == u and not e))
        share *= 1 - sum(1 for a, e in zip(time, event, strict=True) if a == u and not e) / at_risk
    return share


def test_uno_c_follows_its_formula():
    time, event, risk, _ = drawn()
    weight = [watching(time, event, t) ** -2 if t < 15 else 0.0 for t in time]
    assert uno_c(time, event, risk, censoring(time, event), 15.0)[0] == pytest.approx(written_out(time, event, risk, weight), abs=1e-12)
    assert harrell_c(time, event, risk)[0] == pytest.approx(written_out(time, event, risk, np.ones(60)), abs=1e-12)


def test_bootstrapped_concordance_is_that_of_repeated_patients():
    time, event, risk, _ = drawn()
    watched, counts = censoring(time, event), np.random.default_rng(0).integers(0, 3, (3, 60)).astype(float)
    for row in range(3):
        again = np.repeat(np.arange(60), counts[row].astype(int))
        assert harrell_c(time, event, risk, counts)[row] == pytest.approx(harrell_c(time[again], event[again], risk[again])[0], abs=1e-12)
        assert uno_c(time, event, risk, watched, 20.0, counts)[row] == pytest.approx(uno_c(time[again], event[again], risk[again], watched, 20.0)[0], abs=1e-12)
        assert timed_auc(time, event, risk, 8.0, watched, counts)[row] == pytest.approx(timed_auc(time[again], event[again], risk[again], 8.0, watched)[0], abs=1e-12)


def test_timed_brier_follows_its_formula():
    time, event, risk, _ = drawn()
    free = np.column_stack([1 / (1 + np.exp(risk - a)) for a in (1.0, 0.2)])
    expected = []
    for k, t in enumerate((4.0, 9.0)):
        total = 0.0
        for i in range(60):
            if event[i] and time[i] <= t:
                total += free[i, k] ** 2 / watching(time, event, time[i])
            elif time[i] > t:
                total += (1 - free[i, k]) ** 2 / watching(time, event, np.nextafter(t, 100))
        expected.append(total / 60)
    assert timed_brier(time, event, free, [4.0, 9.0], censoring(time, event))[0] == pytest.approx(expected)


def test_without_censoring_it_is_the_binary_figures():
    rng = np.random.default_rng(2)
    time, risk = rng.exponential(size=50), rng.random(50)
    event, early = np.ones(50, dtype=int), (time <= 0.7).astype(int)
    watched = censoring(time, event)
    assert timed_auc(time, event, risk, 0.7, watched)[0] == pytest.approx(auc(early, risk))
    assert timed_brier(time, event, 1 - risk[:, None], [0.7], watched)[0, 0] == pytest.approx(brier(early, risk)[0])
    assert uno_c(time, event, risk, watched)[0] == pytest.approx(harrell_c(time, event, risk)[0])


def test_integrated_brier_is_the_mean_over_time():
    assert integrated_brier([[0.1, 0.3, 0.3]], [0, 2, 4])[0] == pytest.approx((0.2 * 2 + 0.3 * 2) / 4)


def test_constant_and_reversed_risks():
    time, event, risk, _ = drawn()
    assert harrell_c(time, event, np.zeros(60))[0] == 0.5
    assert harrell_c(time, event, -risk)[0] == pytest.approx(1 - harrell_c(time, event, risk)[0])
    assert harrell_c([1, 2, 3], [1, 1, 1], [3, 2, 1])[0] == 1.0


def test_without_events_nothing_is_defined():
    time, none = [1.0, 2.0, 3.0], [0, 0, 0]
    watched = censoring(time, none)
    assert np.isnan(harrell_c(time, none, [1, 2, 3])[0])
    assert np.isnan(uno_c(time, none, [1, 2, 3], watched)[0])
    assert np.isnan(timed_auc(time, none, [1, 2, 3], 2.0, watched)[0])
    assert np.isnan(log_rank(time, none, [0, 1, 1]).p)
    assert np.isnan(log_rank(time, [1, 0, 1], [0, 0, 0]).p)
    assert kaplan_meier(time, none).value.tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(kaplan_meier(time, none).low).all()


def test_beyond_the_last_censoring_there_is_no_brier_score():
    time, event = [1.0, 2.0, 3.0], [1, 1, 0]
    assert np.isnan(timed_brier(time, event, np.full((3, 1), 0.5), [3.0], censoring(time, event))[0, 0])


@pytest.mark.parametrize(("time", "words"), [([1.0, -2.0], "at least 0"), ([1.0, np.nan], "at least 0"), ([1.0], "2 events but times of shape")])
def test_impossible_times_are_refused(time, words):
    with pytest.raises(ValueError, match=words):
        kaplan_meier(time, [1, 0])
