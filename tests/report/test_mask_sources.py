"""What the report says of where masks come from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sarcofuse.report.sections.honesty import _masks


def run_with(masks: str, sources: list[str]) -> SimpleNamespace:
    settings = {("features",): {}, ("segment", "masks"): masks}
    quality = [{"split": "train" if i else "external", "source": s} for i, s in enumerate(sources)]
    return SimpleNamespace(quality=quality, setting=lambda *names, default=None: settings.get(names, default))


@pytest.mark.parametrize(("masks", "name"), [("nnunet", "nnU-Net"), ("totalsegmentator", "TotalSegmentator")])
def test_masks_by_other_programs_are_not_called_out_of_fold(masks: str, name: str) -> None:
    text = _masks(run_with(masks, [masks] * 3))
    assert text.startswith(f"By {name}, which learned outside this study (training 2 {masks}, external")
    assert "never saw" not in text
    assert "never saw" in _masks(run_with("model", ["ensemble", "out-of-fold"]))
