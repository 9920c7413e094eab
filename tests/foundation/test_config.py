"""study.yaml: written with comments, read back, every problem named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sarcofuse.config import StudyConfig, read_study, write_study
from sarcofuse.config.base import Section
from sarcofuse.errors import ConfigError


def test_written_study_reads_back_and_explains_every_setting(tmp_path: Path) -> None:
    config = StudyConfig(seed=7)
    write_study(config, tmp_path / "study.yaml")
    assert read_study(tmp_path / "study.yaml") == config
    text = (tmp_path / "study.yaml").read_text()
    assert text.count("#") >= sum(len(s.model_fields) for s in [StudyConfig, *_sections(StudyConfig)])


def _sections(section: type[Section]) -> list[type[Section]]:
    inner = [f.annotation for f in section.model_fields.values() if isinstance(f.annotation, type) and issubclass(f.annotation, Section)]
    return inner + [s for i in inner for s in _sections(i)]


@pytest.mark.parametrize("section", [StudyConfig, *_sections(StudyConfig)], ids=lambda s: s.__name__)
def test_every_setting_has_a_description(section: type[Section]) -> None:
    assert [n for n, f in section.model_fields.items() if not f.description] == []


def test_all_problems_are_named_at_once_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"segment": {"fold": 3, "threshold": 1}, "seed": -1, "radiomics": {"binwidth": 5}}))
    with pytest.raises(ConfigError, match=r"segment\.fold is not a setting; did you mean folds\?") as caught:
        read_study(tmp_path / "study.yaml")
    assert "seed: Input should be greater than or equal to 0, found -1" in str(caught.value)
    assert "did you mean binWidth?" in str(caught.value)


@pytest.mark.parametrize(("content", "words"), [("a: [", "cannot be read as YAML"), ("- 1", "must hold named settings"), ("seed: .nan", "seed")])
def test_not_a_study(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_study(tmp_path / "study.yaml")


def test_absent_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `sarcofuse init FOLDER` writes one"):
        read_study(tmp_path / "none.yaml")


def test_an_empty_study_is_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("")
    assert read_study(tmp_path / "study.yaml") == StudyConfig()
