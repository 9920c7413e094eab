"""The one place that knows the order of training."""

from sarcofuse.study.audit import Audit, audit
from sarcofuse.study.demo import demo, demo_study
from sarcofuse.study.run import STAGES, RunResult, run

__all__ = ["STAGES", "Audit", "RunResult", "audit", "demo", "demo_study", "run"]
