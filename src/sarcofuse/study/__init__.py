"""The one place that knows the order of training."""

from sarcofuse.study.demo import demo, demo_study
from sarcofuse.study.run import STAGES, RunResult, run

__all__ = ["STAGES", "RunResult", "demo", "demo_study", "run"]
