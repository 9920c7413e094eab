"""bundle.json: what a bundle is, checked before anything of it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from sarcofuse.config import DeepConfig, Harmonisation, PreprocessConfig, RadiomicsConfig, Section, SegmentConfig
from sarcofuse.errors import BundleError
from sarcofuse.runtime import digest_file

FORMAT = 1
MANIFEST = "bundle.json"


class BundledModel(Section):
    """One of the frozen models."""

    features: str
    classifier: str
    primary: bool
    threshold: float
    file: Annotated[str, Field(pattern=r"^models/[A-Za-z0-9_.+-]+\.skops$")]
    blocks: tuple[str, ...]
    parameters: dict[str, object] = {}  # noqa: RUF012 - pydantic copies defaults
    signatures: dict[str, dict[str, object]] = {}  # noqa: RUF012
    warnings: tuple[str, ...] = ()


class Manifest(Section):
    """The whole of bundle.json."""

    format: Literal[1]
    created_by: str
    title: str
    outcome: str
    imaging: bool
    mask_label: int | str | None = None
    preprocess: PreprocessConfig
    segment: SegmentConfig
    radiomics: RadiomicsConfig
    deep: DeepConfig
    weights: str | None = None
    networks: Literal["networks"] | None = None
    clinical: dict[str, tuple[str, ...] | None] | None = None
    harmonisation: Harmonisation | None = None
    columns: dict[str, tuple[str, ...]]
    models: tuple[BundledModel, ...]
    training_ranges: dict[str, dict[str, tuple[float, float]]]
    model_card: dict[str, object]
    versions: dict[str, str]
    files: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, content: Any) -> Any:  # noqa: ANN401 - what JSON holds
        """Keep steps out of the refinement that a bundle of an earlier release did not know."""
        refine = content.get("segment", {}).get("refine") if isinstance(content, dict) and isinstance(content.get("segment"), dict) else None
        if isinstance(refine, dict):
            refine.setdefault("gap_mm", 0.0)
        return content

    @property
    def primary(self) -> BundledModel:
        """The model that the bundle leads with."""
        return next(m for m in self.models if m.primary)


def read_manifest(folder: Path) -> Manifest:
    """Read bundle.json and verify the SHA-256 of every file that it names.

    Parameters
    ----------
    folder : Path
        The bundle.

    Returns
    -------
    Manifest
        Its checked content.

    Raises
    ------
    BundleError
        If the folder is no bundle, is of a later format, or a file is absent, altered or not listed.
    """
    file = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        message = f"{folder} is not a bundle: it holds no readable {MANIFEST}; expected the folder bundle/ of a finished run"
        raise BundleError(message) from error
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{folder.name}/{MANIFEST} does not fit format {FORMAT}: {'.'.join(map(str, first['loc']))}: {first['msg']}; a later release may be needed to read it"
        raise BundleError(message) from error
    root = folder.resolve()
    for name, expected in manifest.files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            message = f"bundle {folder.name} lacks its file {name}; copy the whole folder again"
            raise BundleError(message)
        if digest_file(path) != expected:
            message = f"bundle {folder.name}: {name} was altered (its SHA-256 is not the one in {MANIFEST}); do not use it, copy the bundle again"
            raise BundleError(message)
    unlisted = [m.file for m in manifest.models if m.file not in manifest.files or not set(m.blocks) <= set(manifest.columns)]
    if unlisted or sum(m.primary for m in manifest.models) != 1:
        message = f"bundle {folder.name}: {MANIFEST} is inconsistent (models without checked files or columns: {unlisted or 'none'}; exactly one model must be primary)"
        raise BundleError(message)
    return manifest
