"""Published data that statistics are tested on."""

from __future__ import annotations

import numpy as np
import pytest

# Aneurysmal subarachnoid haemorrhage, 113 patients: outcome (1 poor), WFNS grade, S100B in ug/l.
# Turck N et al. Intensive Care Med 2010;36:107-115; the data set aSAH of R's pROC (Robin X et al. BMC Bioinformatics 2011;12:77).
POOR = """3 .13|2 .10|4 .16|5 .12|5 .44|5 .71|5 .49|2 .07|5 .33|2 .09|1 .07|2 .41|5 .35|4 .48|4 .96|2 .25|5 .86|5 .52|5 2.07|2 .07|5 .77
|2 .30|5 .03|2 .09|4 .23|5 .70|4 .27|4 .71|1 .08|4 .26|4 .13|2 .10|2 .11|5 .22|5 .56|2 .14|2 .58|5 .32|5 .82|5 .74|5 .44"""
GOOD = """1 .13|1 .14|1 .10|1 .04|5 .47|1 .18|2 .10|2 .10|1 .04|2 .08|2 .04|1 .09|1 .11|1 .07|2 .17|1 .07|2 .11|1 .13|1 .19|3 .05|4 .16|1 .14|4 .34
|1 .09|5 .50|5 .46|1 .16|1 .07|2 .43|4 .45|1 .11|1 .08|2 .09|2 .08|1 .06|2 .13|1 .10|2 .14|2 .15|1 .06|1 .05|1 .09|1 .04|2 .09|1 .08|2 .16|1 .09
|1 .08|3 .33|2 .11|4 .28|2 .07|1 .10|4 .32|1 .07|1 .05|5 .24|4 .38|2 .10|2 .15|1 .08|1 .14|1 .10|3 .07|1 .04|2 .19|2 .15|4 .47|4 .17|1 .15|1 .50|1 .48"""


@pytest.fixture(scope="session")
def asah() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, WFNS grade, S100B."""
    poor, good = ([row.split() for row in text.replace("\n", "").split("|")] for text in (POOR, GOOD))
    assert (len(poor), len(good)) == (41, 72)
    values = np.array(poor + good, dtype=float)
    return np.repeat([1, 0], [41, 72]), values[:, 0], values[:, 1]
