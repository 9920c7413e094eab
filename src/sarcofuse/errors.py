"""Every error that Sarcofuse raises on purpose.

::

    SarcofuseError                  catch this one to catch them all
    ├── RequestError                the request was wrong; the command exits with 2
    │   ├── ConfigError             study.yaml or an option of it
    │   ├── CohortError             cohort.csv, or a feature table, as a whole
    │   ├── BundleError             a bundle that cannot be read or does not fit the input
    │   └── WeightsError            weights that are absent, altered or of another network
    └── WorkError                   the work failed; the command exits with 1
        ├── CaseError               one patient's data; the patient is set aside, the cohort goes on
        │   ├── ImageError          an image that is missing, unreadable or not finite
        │   ├── MaskError           a mask that is empty, has several labels or is too small
        │   ├── PromptError         a box, click or rough mask that does not fit the image
        │   └── GeometryError       image and mask on different grids
        └── StageError              a whole stage: nobody left, too few events, a worker that died
            └── StepError           a step of the selection that cannot do its work; also a ValueError

A message names the offender, what was expected, what was found and what to do.
"""

from __future__ import annotations

from pathlib import Path


class SarcofuseError(Exception):
    """Root of all errors raised on purpose."""

    exit_code = 1


class RequestError(SarcofuseError):
    """What was asked for cannot be done as asked; nothing was started."""

    exit_code = 2


class ConfigError(RequestError):
    """The study file, or a setting in it, is wrong."""


class CohortError(RequestError):
    """A table of patients, or of features, is wrong as a whole."""


class BundleError(RequestError):
    """A bundle cannot be read, was altered, or does not fit what it is given."""


class WeightsError(RequestError):
    """Pretrained weights are absent, altered, or belong to another network."""


class WorkError(SarcofuseError):
    """The work was started and failed."""


class StageError(WorkError):
    """A whole stage cannot go on."""


class StepError(StageError, ValueError):
    """A step of the selection cannot do its work with the patients it learns from, or is given."""


class CaseError(WorkError):
    """One patient's data cannot be used.

    Parameters
    ----------
    patient_id : str
        Whom it concerns; empty where there is no cohort.
    problem : str
        What was expected, what was found and what to do, in one or two sentences.
    file : Path or str, optional
        The file that shows the problem.
    """

    def __init__(self, patient_id: str, problem: str, file: Path | str | None = None) -> None:
        self.patient_id = patient_id
        self.problem = problem
        self.file = None if file is None else Path(file)
        name = "" if self.file is None else self.file.name
        who = f"patient {patient_id}" + (f" ({name})" if name else "") if patient_id else name or "input"
        super().__init__(f"{who}: {problem}")

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str, Path | None]]:
        return type(self), (self.patient_id, self.problem, self.file)


class ImageError(CaseError):
    """An image is missing, unreadable, or holds values that are not finite."""


class MaskError(CaseError):
    """A mask is missing, empty, has several labels, or is too small to be measured."""


class PromptError(CaseError):
    """A box, a click or a rough mask cannot be read, or does not fit the image."""


class GeometryError(CaseError):
    """Image and mask do not lie on the same grid."""
