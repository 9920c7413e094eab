"""The patients of a study: reading cohort.csv, splitting, checking, starting a study from a folder."""

from sarcofuse.cohort.check import Problem, check_study, needed_folds, refused_prompts, unfit_settings, unused_prompts
from sarcofuse.cohort.clinical import clinical_schema, clinical_table, encode_clinical
from sarcofuse.cohort.new import new_patients
from sarcofuse.cohort.prompt import read_prompt
from sarcofuse.cohort.read import flow_counts, read_cohort
from sarcofuse.cohort.start import StudyFiles, make_study
from sarcofuse.cohort.suspect import one_sided_sites, suspicions
from sarcofuse.cohort.tables import Joined, join_tables, read_features

__all__ = [
    "Joined",
    "Problem",
    "StudyFiles",
    "check_study",
    "clinical_schema",
    "clinical_table",
    "encode_clinical",
    "flow_counts",
    "join_tables",
    "make_study",
    "needed_folds",
    "new_patients",
    "one_sided_sites",
    "read_cohort",
    "read_features",
    "read_prompt",
    "refused_prompts",
    "suspicions",
    "unfit_settings",
    "unused_prompts",
]
