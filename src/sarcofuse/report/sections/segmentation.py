"""Tumour outlines on the images, and how good automatic outlines are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcofuse.errors import CaseError
from sarcofuse.records import SPLITS
from sarcofuse.report.blocks import ABSENT, Block, Cell, Gallery, Paragraph, Picture, Table, figure
from sarcofuse.report.plotting import GIVEN, INK, MUTED, SPLIT_COLOURS, USED, Studio
from sarcofuse.report.run_folder import SPLIT_NAMES, RunFolder, number
from sarcofuse.report.sections.prompted import split_cell, steered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

HALO = (0.0, 0.0, 0.0, 0.55)
CONTEXT, SMALLEST_MM, BAR_MM = 2.0, 90.0, 50.0


def overlays(run: RunFolder, studio: Studio) -> list[Block]:
    """Show the slice of largest tumour area of some patients, with the outlines on it.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    wanted = int(run.setting("report", "overlays", default=12))
    quality = {str(q.get("patient_id")): q for q in run.quality}
    pictures: list[tuple[str, str, str]] = []
    failed, compared = 0, False
    for case, why in chosen([c for c in run.cases if c.get("image") and c.get("mask")], quality, wanted):
        try:
            slices = _slice(run, case)
        except CaseError:
            failed += 1
            continue
        name = f"overlay-{len(pictures) + 1:02d}"
        image = studio.raster(name, (2.5, 2.5), partial(_draw_overlay, *slices))
        patient = str(case["patient_id"])
        compared = compared or slices[2] is not None
        pictures.append((image, run.numbering.label(patient), _overlay_note(case, quality.get(patient), why)))
    if not pictures:
        return [Paragraph(f"None of the {failed} images chosen could be read.")] if failed else []
    outlines = "Orange: the mask that was used. Blue, dashed: the mask given by a person or by the truth." if compared else "Orange: the mask that was used."
    caption = f"The slice of largest tumour area on the prepared image. {outlines} The white bar is 5 cm. " + _choice(quality)
    caption += f" {failed} further images could not be read." if failed else ""
    return [Gallery(caption, pictures)]


def _choice(quality: Mapping[str, Mapping[str, Any]]) -> str:
    if any(q.get("dice") is not None for q in quality.values()):
        return "Chosen by Dice: the worst, those around the median, and the best."
    if any(q.get("predicted_dice") is not None for q in quality.values()):
        return "Chosen by predicted Dice: the lowest come first, for these deserve a look."
    if any(q.get("agreement") is not None for q in quality.values()):
        return "Chosen by agreement of the networks: the lowest come first, for these deserve a look."
    return "Chosen evenly over the patients in order."


def chosen(cases: Sequence[Mapping[str, Any]], quality: Mapping[str, Mapping[str, Any]], wanted: int) -> list[tuple[Mapping[str, Any], str]]:
    """Choose whose outlines to show: worst, median and best Dice; else lowest predicted Dice; else lowest agreement; else evenly.

    Parameters
    ----------
    cases : sequence of mapping
        Entries of cases.json.
    quality : mapping of str to mapping
        Entries of quality.json by patient.
    wanted : int
        How many at most.

    Returns
    -------
    list of (mapping, str)
        The entry, and why it was chosen.
    """
    ordered = sorted(cases, key=lambda c: str(c["patient_id"]))
    for key in ("dice", "predicted_dice", "agreement"):
        known = [(value, c) for c in ordered if (value := number(quality.get(str(c["patient_id"]), {}).get(key))) is not None]
        if known:
            known.sort(key=lambda pair: pair[0])
            ranked = [c for _, c in known]
            if key != "dice":
                return [(c, "") for c in ranked[:wanted]]
            return _spread(ranked, wanted)
    if len(ordered) <= wanted:
        return [(c, "") for c in ordered]
    return [(ordered[int(i)], "") for i in np.linspace(0, len(ordered) - 1, wanted).round()] if wanted else []


def _spread(ranked: Sequence[Mapping[str, Any]], wanted: int) -> list[tuple[Mapping[str, Any], str]]:
    """Take the ends and the middle of a list that runs from worst to best."""
    if wanted <= 0:
        return []
    ends = wanted // 3
    if len(ranked) <= wanted:
        ends = len(ranked) // 3
    middle = min(wanted, len(ranked)) - 2 * ends
    start = min(max(ends, (len(ranked) - middle) // 2), len(ranked) - ends - middle)
    parts = ((ranked[:ends], "among the worst"), (ranked[start : start + middle], "around the median"), (ranked[len(ranked) - ends :], "among the best"))
    return [(c, why) for part, why in parts for c in part]


def _overlay_note(case: Mapping[str, Any], quality: Mapping[str, Any] | None, why: str) -> str:
    notes = [SPLIT_NAMES.get(str(case.get("split")), str(case.get("split", "")))]
    if quality and number(quality.get("dice")) is not None:
        notes.append(f"Dice {figure(number(quality['dice']), 2)}")
    elif quality and number(quality.get("predicted_dice")) is not None:
        notes.append(f"predicted Dice {figure(number(quality['predicted_dice']), 2)}")
    elif quality and number(quality.get("agreement")) is not None:
        notes.append(f"agreement {figure(number(quality['agreement']), 2)}")
    if steered(quality):
        notes.append(steered(quality))
    return " · ".join([*notes, why] if why else notes)


def _slice(run: RunFolder, case: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8] | None, tuple[float, float]]:
    """Cut image, mask and given mask to a square around the tumour in its largest slice."""
    from sarcofuse.imaging import read_mask, read_volume

    patient = str(case["patient_id"])
    volume, mask = read_volume(run.path / case["image"], patient), read_mask(run.path / case["mask"], patient)
    given = read_mask(run.path / case["reference"], patient).array if case.get("reference") and case["reference"] != case["mask"] else None
    problem = "image and masks are not on one grid"
    if mask.array.shape != volume.array.shape or (given is not None and given.shape != volume.array.shape):
        raise CaseError(patient, problem)
    z = int(mask.array.sum(axis=(1, 2), dtype=np.int64).argmax())
    spacing = volume.geometry.spacing
    either = mask.array[z] > 0 if given is None else (mask.array[z] > 0) | (given[z] > 0)
    window = _window(either, spacing)
    return volume.array[z][window], mask.array[z][window], None if given is None else given[z][window], (spacing[1], spacing[0])


def _window(region: NDArray[np.bool_], spacing: Sequence[float]) -> tuple[slice, slice]:
    rows, columns = np.nonzero(region)
    if not rows.size:
        return slice(None), slice(None)
    extents = (float(np.ptp(rows) + 1) * spacing[1], float(np.ptp(columns) + 1) * spacing[0])
    side = max(CONTEXT * max(extents), SMALLEST_MM)
    cut = []
    for hit, step, length in ((rows, spacing[1], region.shape[0]), (columns, spacing[0], region.shape[1])):
        half = side / step / 2
        middle = (int(hit.min()) + int(hit.max()) + 1) / 2
        middle = min(max(middle, half), length - half) if 2 * half < length else length / 2
        cut.append(slice(max(0, int(middle - half)), min(length, int(middle + half) + 1)))
    return cut[0], cut[1]


def _draw_overlay(image: NDArray[np.float32], mask: NDArray[np.uint8], given: NDArray[np.uint8] | None, spacing: tuple[float, float], made: Figure) -> None:
    made.set_layout_engine("none")
    made.set_facecolor("black")
    axes = made.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.axis("off")
    height, width = image.shape[0] * spacing[0], image.shape[1] * spacing[1]
    low, high = (float(v) for v in np.percentile(image, (0.5, 99.5)))
    extent = (0.0, width, height, 0.0)
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent, interpolation="bicubic")
    ys, xs = (np.arange(image.shape[0]) + 0.5) * spacing[0], (np.arange(image.shape[1]) + 0.5) * spacing[1]
    for region, colour, style in ((given, GIVEN, "dashed"), (mask, USED, "solid")):
        if region is not None and min(region.shape) >= 2 and region.any() and not region.all():
            inside = (region > 0).astype(np.float32)
            axes.contour(xs, ys, inside, levels=[0.5], colors=[HALO], linewidths=2.7, linestyles="solid")
            axes.contour(xs, ys, inside, levels=[0.5], colors=[colour], linewidths=1.5, linestyles=style)
    left, bottom = 0.04 * width, 0.96 * height
    axes.plot([left, left + BAR_MM], [bottom, bottom], color=HALO, lw=3.4)
    axes.plot([left, left + BAR_MM], [bottom, bottom], color="white", lw=1.8)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")


def dice_table(run: RunFolder, studio: Studio) -> list[Block]:
    """Tabulate Dice, surface distance and volume error by split.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    del studio
    rows: list[list[Cell | str]] = []
    entries = {str(e.get("split")): e for e in run.metrics["segmentation"]}
    for split in (s for s in SPLITS if s in entries):
        entry = entries[split]
        surface, error = (_median(run, split, key) for key in ("surface_mm", "volume_error"))
        how = sorted({str(q.get("source")) for q in run.quality if q.get("split") == split})
        dice = (figure(number(entry.get(k))) for k in ("dice_mean", "dice_median"))
        rows.append([split_cell(entry), ", ".join(how) or ABSENT, str(entry.get("patients", ABSENT)), *dice, figure(surface, 1), ABSENT if error is None else f"{figure(100 * error, 0)}%"])
    caption = (
        "Automatic masks against the given ones. Out-of-fold masks come from networks that never saw the patient; the ensemble's come from all networks. "
        "Surface: 95th percentile of the distance between the two surfaces. Volume: (automatic − given) / given. The published study reports a Dice of 0.728 after refinement, on another cohort."
    )
    return [Table(caption, ("Split", "Masks", "Patients", "Dice, mean", "Dice, median", "Surface in mm, median", "Volume error, median"), rows, labels=2)]


def _median(run: RunFolder, split: str, key: str) -> float | None:
    values = [v for q in run.quality if q.get("split") == split and (v := number(q.get(key))) is not None]
    return statistics.median(values) if values else None


def quality_plot(run: RunFolder, studio: Studio) -> list[Block]:
    """Draw Dice by split, agreement of the networks against Dice, and Dice after each step of the refinement.

    Parameters
    ----------
    run : RunFolder
        What there is to show.
    studio : Studio
        Who draws.

    Returns
    -------
    list of Block
        What to print.
    """
    graded = [q for q in run.quality if number(q.get("dice")) is not None]
    if not graded:
        return [Paragraph("No mask was given to compare the automatic ones with, so their Dice is not known.")] if run.quality else []
    both = [q for q in graded if number(q.get("agreement")) is not None]
    steps = _steps(graded)
    panels = [_draw_strip] + [_draw_agreement] * bool(both) + [_draw_steps] * (len(steps) > 1)

    def draw(made: Figure) -> None:
        for axes, panel in zip(np.atleast_1d(made.subplots(1, len(panels))), panels, strict=True):
            panel(axes, graded)

    caption = "Left: Dice of every patient; the bar is the median."
    caption += " Where networks of different folds agree with their ensemble (which needs no truth), Dice should be high: that is what makes agreement a warning light." if both else ""
    caption += " Mean Dice after each step of the refinement, in order: a step that lowers it does harm." if len(steps) > 1 else ""
    return [Picture(studio.vector("segmentation", (3.5 * len(panels), 3.1), draw), "Dice of automatic masks", caption, 380 * len(panels))]


def _draw_strip(axes: Axes, graded: Sequence[Mapping[str, Any]]) -> None:
    there = [s for s in SPLITS if any(q.get("split") == s for q in graded)]
    for i, split in enumerate(there):
        values = sorted(float(q["dice"]) for q in graded if q.get("split") == split)
        axes.scatter(i + _swarm(values), values, s=13, color=SPLIT_COLOURS[split], alpha=0.75, linewidths=0)
        axes.plot([i - 0.3, i + 0.3], [statistics.median(values)] * 2, color=INK, lw=1.8)
    axes.set(xlim=(-0.6, len(there) - 0.4), ylim=(-0.02, 1.02), ylabel="Dice", title="Dice by split")
    axes.set_xticks(range(len(there)), [SPLIT_NAMES[s].replace(" ", "\n") for s in there])
    axes.grid(visible=True, axis="y")


def _swarm(values: Sequence[float], near: float = 0.025, step: float = 0.07) -> NDArray[np.float64]:
    """Move points that lie close together to the sides, by rule and not by chance."""
    places: list[float] = []
    for i, value in enumerate(values):
        taken = {places[j] for j in range(i) if value - values[j] < near}
        free = next((s * k * step for k in range(6) for s in (1, -1) if s * k * step not in taken), 0.0)
        places.append(free)
    return np.asarray(places)


def _draw_agreement(axes: Axes, graded: Sequence[Mapping[str, Any]]) -> None:
    for split in SPLITS:
        points = [(float(q["agreement"]), float(q["dice"])) for q in graded if q.get("split") == split and number(q.get("agreement")) is not None]
        if points:
            shape = "^" if split == "internal" else "o"
            axes.scatter([a for a, _ in points], [d for _, d in points], s=15, color=SPLIT_COLOURS[split], alpha=0.8, linewidths=0, marker=shape, label=SPLIT_NAMES[split])
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Agreement of the networks", ylabel="Dice", title="Agreement against Dice", aspect="equal")
    axes.grid(visible=True)
    axes.legend(loc="upper left")


def _steps(graded: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for q in graded for name in q.get("steps") or {}))


def _draw_steps(axes: Axes, graded: Sequence[Mapping[str, Any]]) -> None:
    names = _steps(graded)
    for split in SPLITS:
        means = []
        for name in names:
            values = [v for q in graded if q.get("split") == split and (v := number((q.get("steps") or {}).get(name))) is not None]
            means.append(statistics.fmean(values) if values else np.nan)
        if not np.all(np.isnan(means)):
            axes.plot(range(len(names)), means, marker="o", ms=4, color=SPLIT_COLOURS[split], label=SPLIT_NAMES[split], ls="dashed" if split == "internal" else "solid")
    axes.set(xlim=(-0.3, len(names) - 0.7), ylabel="Mean Dice", title="Refinement, step by step")
    axes.set_xticks(range(len(names)), [n.replace("_", "\n") for n in names])
    axes.grid(visible=True, axis="y")
    axes.legend(loc="best")
