"""Deep transfer learning: features of pretrained networks that look at the tumour with its surroundings."""

from sarcofuse.deep.contact import write_contact
from sarcofuse.deep.finetune import FineTuner, begin_fine_tuning, serve_fine_tuned
from sarcofuse.deep.idle import Idle, drop_idle, find_idle
from sarcofuse.deep.judged import Why
from sarcofuse.deep.ready import foresee, try_network
from sarcofuse.deep.registry import BACKBONES, Backbone, backbone
from sarcofuse.deep.stage import extract, extract_deep, extract_for_study, extract_many, pictures, read_config
from sarcofuse.deep.why import Formula, explain, explain_cases
from sarcofuse.deep.why_tuned import explain_tuned, explain_tuned_cases

__all__ = [
    "BACKBONES",
    "Backbone",
    "FineTuner",
    "Formula",
    "Idle",
    "Why",
    "backbone",
    "begin_fine_tuning",
    "drop_idle",
    "explain",
    "explain_cases",
    "explain_tuned",
    "explain_tuned_cases",
    "extract",
    "extract_deep",
    "extract_for_study",
    "extract_many",
    "find_idle",
    "foresee",
    "pictures",
    "read_config",
    "serve_fine_tuned",
    "try_network",
    "write_contact",
]
