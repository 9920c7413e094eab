"""The reference pages of cohort.csv and study.yaml, generated from the schema so that they cannot lag behind."""

from __future__ import annotations

from typing import Annotated, Literal, get_args, get_origin

import yaml

from sarcofuse.config.base import Section
from sarcofuse.config.cohort import CohortConfig
from sarcofuse.config.filters import Energy, FilterConfig
from sarcofuse.config.selection import SelectionStep
from sarcofuse.config.study import StudyConfig

COHORT_COLUMNS = ("patient_id", "image", "mask", "box", "click", "rough_mask", "site", "group", "split_column", "outcome", "time")


def study_reference() -> str:
    """Give the reference page of study.yaml.

    Returns
    -------
    str
        Markdown: a table a section.
    """
    head = "# study.yaml\n\nGenerated from the schema (`python -m sarcofuse.config.reference`). Every setting is optional; a name that is not listed here is refused.\n"
    kinds = get_args(get_args(FilterConfig)[0])
    filters = "".join(_section(kind, f"radiomics.filters, kind {kind.model_fields['kind'].default}") for kind in kinds) + _section(Energy, "radiomics.filters, energy of kind laws")
    steps = "".join(_section(kind, f"models.selection, kind {kind.model_fields['kind'].default}") for kind in get_args(get_args(SelectionStep)[0]))
    return head + "\n" + _section(StudyConfig, "") + _subsections(StudyConfig, "") + filters + steps


def cohort_reference() -> str:
    """Give the reference page of cohort.csv.

    Returns
    -------
    str
        Markdown.
    """
    rows = []
    for name in COHORT_COLUMNS:
        field = CohortConfig.model_fields[name]
        rows.append(f"| `{field.default}` | `cohort.{name}` | {field.description} |" if field.default else f"| (none) | `cohort.{name}` | {field.description} |")
    return "\n".join(
        [
            "# cohort.csv",
            "",
            "Generated from the schema (`python -m sarcofuse.config.reference`). One row a patient, UTF-8, a header line. Paths are meant from the table's own folder.",
            "Columns may have other names: say so in study.yaml with the setting beside each.",
            "",
            "| column | setting of its name | what it holds |",
            "|---|---|---|",
            *rows,
            "",
            "Any further columns are clinical variables; list those to keep in `cohort.clinical`. Numbers stay numbers; text becomes categories, learned from training patients.",
            "",
        ]
    )


def _section(section: type[Section], path: str) -> str:
    lines = [f"## {path or 'top level'}", "", (section.__doc__ or "").strip().splitlines()[0], "", "| setting | values | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            lines.append(f"| [`{name}`](#{(path + '.' + name).strip('.').replace('.', '')}) | section | | {field.description} |")
            continue
        bounds = ", ".join(_bound(m) for m in field.metadata if _bound(m))
        values = _values(field.annotation) + (f" ({bounds})" if bounds else "")
        default = "needed" if field.is_required() else f"`{_default(section, name)}`"
        lines.append(f"| `{name}` | {values} | {default} | {field.description} |")
    return "\n".join(lines) + "\n\n"


def _default(section: type[Section], name: str) -> str:
    value = section.model_construct().model_dump(mode="json", include={name})[name]
    return yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()


def _subsections(section: type[Section], path: str) -> str:
    text = ""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            inner = f"{path}.{name}".strip(".")
            text += _section(field.annotation, inner) + _subsections(field.annotation, inner)
    return text


def _values(annotation: object) -> str:
    if get_origin(annotation) is Annotated:
        return _values(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{a}`" for a in get_args(annotation))
    if get_origin(annotation) is tuple:
        inner = [a for a in get_args(annotation) if a is not Ellipsis]
        count = "list of " if Ellipsis in get_args(annotation) else f"{len(inner)} times "
        return count + _values(inner[0])
    if get_origin(annotation) is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "mapping"
    parts = [a for a in get_args(annotation) if a is not type(None)]
    if parts:
        return " or ".join(dict.fromkeys(_values(a) for a in parts)) + (" or empty" if len(parts) < len(get_args(annotation)) else "")
    names = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "Path": "path"}
    return names.get(getattr(annotation, "__name__", ""), str(annotation))


def _bound(rule: object) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " ".join(f"{word} {getattr(rule, name)}" for name, word in signs.items() if getattr(rule, name, None) is not None)


if __name__ == "__main__":
    from pathlib import Path

    for file, text in (("study-yaml.md", study_reference()), ("cohort-csv.md", cohort_reference())):
        (Path("docs") / "reference" / file).write_text(text, encoding="utf8")
