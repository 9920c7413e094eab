"""Types of the public interface; the names are loaded on first use."""

from sarcofuse.bundle import explain_deep as explain_deep
from sarcofuse.bundle import load_bundle as load_bundle
from sarcofuse.cohort import check_study as check_study
from sarcofuse.cohort import make_study as make_study
from sarcofuse.config import StudyConfig as StudyConfig
from sarcofuse.config import read_study as read_study
from sarcofuse.deep import extract_deep as extract_deep
from sarcofuse.errors import SarcofuseError as SarcofuseError
from sarcofuse.imaging import convert_dicom as convert_dicom
from sarcofuse.imaging import read_mask as read_mask
from sarcofuse.imaging import read_volume as read_volume
from sarcofuse.phantom import bayes_auc as bayes_auc
from sarcofuse.phantom import make_cohort as make_cohort
from sarcofuse.radiomics import extract_radiomics as extract_radiomics
from sarcofuse.report import write_report as write_report
from sarcofuse.study import demo as demo
from sarcofuse.study import run as run

__all__ = [
    "SarcofuseError",
    "StudyConfig",
    "bayes_auc",
    "check_study",
    "convert_dicom",
    "demo",
    "explain_deep",
    "extract_deep",
    "extract_radiomics",
    "load_bundle",
    "make_cohort",
    "make_study",
    "read_mask",
    "read_study",
    "read_volume",
    "run",
    "write_report",
]
