"""Every public object is described as numpydoc asks."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import sarcofuse

PROTOCOLS = ("sarcofuse.models.record.Signature.", "sarcofuse.models.record.Estimator.", "sarcofuse.models.record.Keeper.")  # scikit-learn describes its own interface
CHECKS = {"GL03", "GL05", "GL06", "GL07", "GL08", "SS01", "SS02", "PR01", "PR02", "PR03", "PR04", "PR05", "PR07", "RT01", "YD01"}


def public_objects() -> dict[str, object]:
    """All that the modules of the package define without a leading underscore, by name."""
    found: dict[str, object] = {}
    for info in pkgutil.walk_packages(sarcofuse.__path__, "sarcofuse."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, item in vars(module).items():
            if name.startswith("_") or getattr(item, "__module__", None) != info.name:
                continue
            if inspect.isclass(item) or inspect.isfunction(item):
                found[f"{info.name}.{name}"] = item
            if inspect.isclass(item):
                found |= {f"{info.name}.{name}.{n}": m for n, m in vars(item).items() if inspect.isfunction(m) and not n.startswith("_")}
    return found


def test_public_docstrings_follow_numpydoc() -> None:
    from numpydoc.validate import validate

    faults = []
    for name, item in sorted(public_objects().items()):
        wanted = CHECKS
        if inspect.isclass(item):
            wanted = {"GL08", "SS01"} if name.startswith("sarcofuse.config.") else CHECKS - {"PR01"}  # dataclasses list Attributes
        elif name.startswith(("sarcofuse.cli.", *PROTOCOLS)):
            wanted = CHECKS - {"PR01"}  # a command's options are described where --help shows them
        faults += [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code in wanted]
    assert not faults, "\n".join(faults)
