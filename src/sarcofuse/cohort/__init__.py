"""The patients of a study: reading cohort.csv, splitting, checking, starting a study from a folder."""

from sarcofuse.cohort.check import Problem, check_study, needed_folds
from sarcofuse.cohort.clinical import clinical_schema, clinical_table, encode_clinical
from sarcofuse.cohort.new import new_patients
from sarcofuse.cohort.read import flow_counts, read_cohort
from sarcofuse.cohort.start import StudyFiles, make_study

__all__ = [
    "Problem",
    "StudyFiles",
    "check_study",
    "clinical_schema",
    "clinical_table",
    "encode_clinical",
    "flow_counts",
    "make_study",
    "needed_folds",
    "new_patients",
    "read_cohort",
]
