"""The one place that knows the order of training."""

from sarcofuse.study.audit import Audit, audit
from sarcofuse.study.check import check_study
from sarcofuse.study.demo import demo, demo_study
from sarcofuse.study.run import STAGES, RunResult, run

__all__ = ["STAGES", "Audit", "RunResult", "audit", "check_study", "demo", "demo_study", "run"]
