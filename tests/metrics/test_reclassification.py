"""NRI and IDI against the paper that defined them, independent sources against simulation, heterogeneity by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sarcofuse.metrics import auc, heterogeneity, independent_auc, integrated_discrimination, net_reclassification, rates, risk_categories

# Pencina 2008, table II: Framingham risk below 6 %, 6 to 20 %, above 20 % without HDL (rows) and with it (columns); 183 events, 3,081 others.
EVENTS = ((39, 15, 0), (4, 87, 14), (0, 3, 21))
OTHERS = ((1959, 142, 0), (148, 703, 31), (1, 25, 72))


def framingham() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    moves = [np.array([(i, j) for i in range(3) for j in range(3) for _ in range(table[i][j])]) for table in (EVENTS, OTHERS)]
    both = np.vstack(moves)
    return np.repeat([1, 0], [len(m) for m in moves]), both[:, 0], both[:, 1]


def risks(seed: int = 0, n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    old = 1 / (1 + np.exp(-(rng.normal(size=n) + 0.5 * y)))
    return y, old, np.clip(old + rng.normal(0, 0.1, n) + 0.05 * (y - 0.4), 0, 1)


def test_framingham_example_of_the_paper():
    y, old, new = framingham()
    found = net_reclassification(y, old, new)
    assert found.total.value == pytest.approx(0.121, abs=5e-4)
    assert found.events.value == pytest.approx(22 / 183)
    assert found.others.value == pytest.approx(1 / 3081)
    assert found.z == pytest.approx(3.616, abs=5e-4)
    assert found.p < 0.001


def test_interval_has_the_multinomial_variance():
    # Hmisc's improveProb: (up + down) / n**2 - (up - down)**2 / n**3 in each class
    y, old, new = framingham()
    found = net_reclassification(y, old, new)
    error = np.sqrt(36 / 183**2 - 22**2 / 183**3 + 347 / 3081**2 - 1 / 3081**3)
    assert (found.total.low, found.total.high) == pytest.approx((22 / 183 + 1 / 3081 - 1.959964 * error, 22 / 183 + 1 / 3081 + 1.959964 * error), abs=1e-6)


def test_nri_of_calls_is_the_gain_of_sensitivity_and_specificity():
    y, old, new = risks()
    found = net_reclassification(y, old >= 0.5, new >= 0.45)
    before, after = rates(y, old >= 0.5), rates(y, new >= 0.45)
    assert found.events.value == pytest.approx(after["sensitivity"][0] - before["sensitivity"][0])
    assert found.others.value == pytest.approx(after["specificity"][0] - before["specificity"][0])


def test_continuous_nri_counts_every_move():
    y, old, new = risks(1)
    up = new > old
    expected = (up[y == 1].mean() - (new < old)[y == 1].mean()) + ((new < old)[y == 0].mean() - up[y == 0].mean())
    assert net_reclassification(y, old, new).total.value == pytest.approx(expected)


def test_idi_is_the_gain_in_discrimination_slope():
    y, old, new = risks(2)
    found = integrated_discrimination(y, old, new)
    slope = [r[y == 1].mean() - r[y == 0].mean() for r in (old, new)]
    assert found.total.value == pytest.approx(slope[1] - slope[0])
    gain = new - old
    error = np.hypot(*(gain[y == k].mean() / ttest_1samp(gain[y == k], 0).statistic for k in (0, 1)))
    assert found.z == pytest.approx(found.total.value / error)
    assert found.total.high - found.total.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)


def test_turning_old_and_new_round_turns_the_sign():
    y, old, new = risks(3)
    for measure in (net_reclassification, integrated_discrimination):
        there, back = measure(y, old, new), measure(y, new, old)
        assert (back.total.value, back.z, back.p) == pytest.approx((-there.total.value, -there.z, there.p))


def test_no_move_is_no_change():
    y, old, _ = risks()
    for measure in (net_reclassification, integrated_discrimination):
        found = measure(y, old, old)
        assert (found.total.value, found.total.low, found.z, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_one_class_is_undefined():
    for measure in (net_reclassification, integrated_discrimination):
        assert np.isnan(measure([1, 1, 1], [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]).total.value)


def test_everybody_moving_alike_has_no_test():
    found = integrated_discrimination([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.75, 0.75, 0.25, 0.25])
    assert found.total.value == 0.5
    assert np.isnan(found.p)


def test_a_risk_at_a_cut_belongs_to_the_higher_category():
    assert risk_categories([0.0, 0.1, 0.2, 0.5, 1.0], [0.1, 0.5]).tolist() == [0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="must rise"):
        risk_categories([0.1], [0.5, 0.1])


def test_independent_sources_add_as_simulated():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100_000)
    distances = np.array([0.7, 1.1, 0.4])
    sources = rng.normal(size=(3, y.size)) + distances[:, None] * y
    alone = [auc(y, s) for s in sources]
    assert float(independent_auc(alone)) == pytest.approx(auc(y, distances @ sources), abs=0.004)


def test_independent_sources_at_the_ends():
    assert float(independent_auc([0.8])) == pytest.approx(0.8)
    assert float(independent_auc([0.8, 0.5])) == pytest.approx(0.8)
    assert float(independent_auc([0.8, 0.3])) == pytest.approx(0.8)
    assert float(independent_auc([1.0, 0.6])) == 1.0
    assert np.isnan(independent_auc([np.nan, 0.6]))
    np.testing.assert_allclose(independent_auc([[0.7, 0.8], [0.6, 0.9]]), [independent_auc([0.7, 0.6]), independent_auc([0.8, 0.9])])


def test_heterogeneity_by_hand():
    # weights 1, 1/4: mean (1 + 4/4) / 1.25 = 1.6; Q = 0.36 + 2.4**2 / 4 = 1.8; p = P(chi2(1) > 1.8) = 0.1797
    q, freedom, p = heterogeneity([1.0, 4.0, np.nan, 2.0], [1.0, 4.0, 1.0, 0.0])
    assert (q, freedom, p) == (pytest.approx(1.8), 1, pytest.approx(0.17971, abs=1e-5))
    assert np.isnan(heterogeneity([1.0], [1.0])[2])
