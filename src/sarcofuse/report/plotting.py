"""Drawing without global state: figures as PNG files of the run and as inline SVG that follows the page's colours."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sarcofuse.runtime import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1d2733", "#5c6873", "#d3d9df", "#fefefe"
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#b5588f", "#7b8794"
THEME = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper", BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", PINK: "--pink", GREY: "--grey"}
FEATURE_COLOURS = {"radiomic": BLUE, "deep": ORANGE, "dlr": GREEN, "clinical": PINK}
FEATURE_DASHES = {"radiomic": (0, (5, 1.6)), "deep": (0, (1.4, 1.4)), "dlr": "solid", "clinical": (0, (6, 1.5, 1.2, 1.5))}
SPLIT_COLOURS = {"train": GREY, "internal": BLUE, "external": ORANGE}
USED, GIVEN = "#ffa01c", "#4cc3ff"  # outlines on images: the mask that was used, the mask that was given
PRINT_DPI, SCREEN_DPI = 300, 144

Draw = Callable[["Figure"], None]


class Studio:
    """Draws figures, keeps them as files, and gives them back for the page.

    Parameters
    ----------
    folder : Path
        Where the PNG files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[str] = []

    def vector(self, name: str, size: tuple[float, float], draw: Draw) -> Markup:
        """Draw a figure; keep it as a PNG of 300 dpi and give it as SVG.

        Parameters
        ----------
        name : str
            Name of the file without its ending.
        size : tuple of float
            Width and height in inches.
        draw : callable
            Draws on an empty figure.

        Returns
        -------
        Markup
            An ``<svg>`` whose colours are the page's own variables.
        """
        with _drawn(size, draw) as made:
            self._keep(made, name)
            made.set_layout_engine("none")  # the layout is found; it holds for the SVG as well
            stream = io.StringIO()
            made.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return Markup(_themed(stream.getvalue(), name))  # noqa: S704 - text is drawn as outlines, comments are taken out

    def raster(self, name: str, size: tuple[float, float], draw: Draw) -> str:
        """Draw a picture; keep it as a PNG of 300 dpi and give a smaller one.

        Parameters
        ----------
        name : str
            File name without suffix.
        size : tuple of float
            Width and height in inches.
        draw : callable
            Draws into the figure that it is given.

        Returns
        -------
        str
            A data URI.
        """
        with _drawn(size, draw) as made:
            self._keep(made, name)
        small = _for_screen(self.folder / f"{name}.png", round(size[0] * SCREEN_DPI))
        return f"data:image/png;base64,{base64.b64encode(small).decode('ascii')}"

    def _keep(self, made: Figure, name: str) -> None:
        with atomic_file(self.folder / f"{name}.png") as part:
            made.savefig(part, format="png", dpi=PRINT_DPI, metadata={"Software": None})
        self.written.append(f"{name}.png")


@contextmanager
def _drawn(size: tuple[float, float], draw: Draw) -> Iterator[Figure]:
    """Draw within the report's own style, whatever the user's matplotlibrc says."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        made = Figure(figsize=size, layout="constrained")
        draw(made)
        yield made


_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "butt",
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
    "svg.fonttype": "path",
    "svg.hashsalt": "sarcofuse",
}


def _themed(svg: str, name: str) -> str:
    """Make an SVG fit to stand inside the page: own ids, the page's colours, no preamble, no comments."""
    svg = re.sub(r"<!--.*?-->|<style.*?</style>|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in THEME.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"\n\s*", "\n", svg)
    return re.sub(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>", r'<svg viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true">', svg, count=1)


def _for_screen(png: Path, width: int) -> bytes:
    """Give a smaller PNG with a palette: a grey image and two contours need no more."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(png) as image:
        small = image.convert("RGB").resize((width, round(width * image.height / image.width)), Image.Resampling.LANCZOS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(_outline_palette())
    small.quantize(palette=palette, dither=Image.Dither.NONE).save(stream, format="png")
    return stream.getvalue()


def _outline_palette() -> list[int]:
    """Give 256 colours: greys, and the outlines' two colours blended with darker and lighter greys."""
    greys = [round(255 * i / 127) for i in range(128)]
    colours = [[g, g, g] for g in greys]
    for outline in (USED, GIVEN):
        rgb = [int(outline[i : i + 2], 16) for i in (1, 3, 5)]
        for part in (0.2, 0.4, 0.6, 0.8):
            colours += [[round(part * c + (1 - part) * g) for c in rgb] for g in greys[8::8]]
        colours += [rgb] * 4
    return [c for colour in colours for c in colour]


def embed(png: Path, width: int) -> str:
    """Give a picture that is there already, made smaller, with a palette of its own.

    Parameters
    ----------
    png : Path
        The file.
    width : int
        Widest it may be, in pixels.

    Returns
    -------
    str
        A data URI.
    """
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(png) as image:
        full = image.convert("RGB")
        small = full if full.width <= width else full.resize((width, round(width * full.height / full.width)), Image.Resampling.LANCZOS)
    small.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(stream, format="png")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def square(axes: Axes, horizontal: str, vertical: str) -> None:
    """Prepare axes that both run from 0 to 1.

    Parameters
    ----------
    axes : Axes
        The axes.
    horizontal, vertical : str
        Their labels.
    """
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=horizontal, ylabel=vertical, aspect="equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(visible=True)


def colour_of(features: str) -> str:
    """Give the colour of a feature set.

    Parameters
    ----------
    features : str
        As in metrics.json.

    Returns
    -------
    str
        A colour that colour-blind readers tell from the others.
    """
    return FEATURE_COLOURS.get(features, GREY)


def dashes_of(features: str) -> object:
    """Give the line style of a feature set, so that colour is never the only difference.

    Parameters
    ----------
    features : str
        As in metrics.json.

    Returns
    -------
    object
        A matplotlib line style.
    """
    return FEATURE_DASHES.get(features, "solid")
