"""study.yaml: read with every problem told at once, written with every setting explained."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sarcofuse.config.base import Section
from sarcofuse.config.study import StudyConfig
from sarcofuse.errors import ConfigError


def read_study(file: Path) -> StudyConfig:
    """Read and check study.yaml.

    Parameters
    ----------
    file : Path
        The study file. Relative paths in it stay relative; they are meant from the file's own folder.

    Returns
    -------
    StudyConfig
        The checked study.

    Raises
    ------
    ConfigError
        If the file is absent, is not YAML, or holds settings that are unknown or out of range; all are named.
    """
    try:
        text = file.read_text(encoding="utf8")
        content = yaml.safe_load(text)
    except FileNotFoundError as error:
        message = f"study file {file} does not exist; `sarcofuse init FOLDER` writes one"
        raise ConfigError(message) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{file} cannot be read as YAML: {error}"
        raise ConfigError(message) from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        message = f"{file} must hold named settings (a YAML mapping), found {type(content).__name__}"
        raise ConfigError(message)
    return parse_study(content, str(file))


def parse_study(content: dict[str, Any], source: str = "study") -> StudyConfig:
    """Check a study that is already a dictionary.

    Parameters
    ----------
    content : dict
        Nested settings.
    source : str
        What to call it in errors.

    Returns
    -------
    StudyConfig
        The checked study.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range; all are named.
    """
    try:
        return StudyConfig.model_validate(content)
    except ValidationError as error:
        lines = [_explain(e["loc"], e["type"], e["msg"], e.get("input")) for e in error.errors()]
        message = f"{source}: " + "; ".join(lines)
        raise ConfigError(message) from error


def _explain(location: tuple[int | str, ...], kind: str, text: str, found: object) -> str:
    where = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _names(location[:-1]), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where} is not a setting{hint}"
    text = text.removeprefix("Value error, ")
    said = f"{where}: {text}" if where else text
    return said if isinstance(found, dict) else f"{said}, found {found!r}"  # a whole section would bury what is said of it


def _names(location: tuple[int | str, ...]) -> list[str]:
    section: type[Section] = StudyConfig
    for part in location:
        field = section.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return []
        section = field.annotation
    return list(section.model_fields)


def write_study(config: StudyConfig, file: Path) -> None:
    """Write a study with a comment on every setting.

    Parameters
    ----------
    config : StudyConfig
        What to write.
    file : Path
        Where to.
    """
    file.write_text(commented_yaml(config), encoding="utf8")


def commented_yaml(config: Section, indent: int = 0) -> str:
    """Give a section as YAML, each setting under a comment that explains it.

    Parameters
    ----------
    config : Section
        What to write.
    indent : int
        Columns to the left.

    Returns
    -------
    str
        YAML that `read_study` reads back to the same settings.
    """
    pad, lines = " " * indent, []
    plain = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        lines.append(f"{pad}# {field.description}")
        if isinstance(value, Section):
            lines += [f"{pad}{name}:", commented_yaml(value, indent + 2)]
        else:
            flow = yaml.safe_dump(plain[name], default_flow_style=True, allow_unicode=True, width=10_000).strip().removesuffix("...").strip()
            lines.append(f"{pad}{name}: {flow}")
    return "\n".join(lines) + ("\n" if indent == 0 else "")
