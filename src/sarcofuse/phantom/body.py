"""The healthy body: outline, fat, fascia, muscles, bones, as signed distances in mm (negative inside)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcofuse.phantom.canvas import Points
from sarcofuse.phantom.plan import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Oval:
    """A tube of elliptic section along z, or an ellipsoid.

    Attributes
    ----------
    centre : tuple of float
        Middle in mm (x, y, z).
    radii : tuple of float
        Half axes in mm along its own x and y, and along z (infinite for a tube).
    angle : float
        Turn of the section in radians.
    drift : tuple of float
        Shift of x and y per mm of z.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    angle: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)

    def distance(self, at: Points) -> Field:
        """Give the distance to the surface, exact on it and rough far from it.

        Parameters
        ----------
        at : Points
            Where.

        Returns
        -------
        ndarray of float32
            In mm, negative inside.
        """
        z = at.z - np.float32(self.centre[2])
        x = at.x - np.float32(self.centre[0]) - np.float32(self.drift[0]) * at.z
        y = at.y - np.float32(self.centre[1]) - np.float32(self.drift[1]) * at.z
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u, v = x * cosine + y * sine, y * cosine - x * sine
        scaled = (u / np.float32(self.radii[0])) ** 2 + (v / np.float32(self.radii[1])) ** 2
        if np.isfinite(self.radii[2]):
            scaled = scaled + (z / np.float32(self.radii[2])) ** 2
        return np.asarray((np.sqrt(scaled) - 1) * np.float32(min(self.radii)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Bone:
    """A bone: cortex around marrow.

    Attributes
    ----------
    oval : Oval
        Outer surface.
    cortex : float
        Thickness in mm.
    """

    oval: Oval
    cortex: float


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of limb or trunk.

    Attributes
    ----------
    region : {'thigh', 'leg', 'pelvis'}
        Which.
    outline : Oval
        The skin.
    waves : ndarray of float, shape (2, 4)
        Cosine and sine waves on the outline, as shares of the radius.
    taper : float
        Relative growth of the section per mm of z.
    fat : tuple of float
        Thickness of the fat under the skin in mm: mean, and how much it varies around the body.
    fat_angle : float
        Where it is thickest.
    bones : tuple of Bone
        The bones.
    hub : tuple of float
        Point (x, y) around which the muscles lie.
    sectors : tuple of ndarray
        Angles between neighbouring muscles: of the deep layer, of the superficial one.
    layer : float
        Where the deep layer ends, in mm from the hub.
    bend : tuple of float
        How the walls between muscles bend: size in radians, phase, and turn per mm of z.
    cavity : Oval or None
        Inside of the pelvis.
    """

    region: Region
    outline: Oval
    waves: NDArray[np.float32]
    taper: float
    fat: tuple[float, float]
    fat_angle: float
    bones: tuple[Bone, ...]
    hub: tuple[float, float]
    sectors: tuple[NDArray[np.float32], NDArray[np.float32]]
    layer: float
    bend: tuple[float, float, float]
    cavity: Oval | None = None

    def skin(self, at: Points) -> tuple[Field, Field]:
        """Give the distance to the skin and that to the fascia under the fat.

        Parameters
        ----------
        at : Points
            Where.

        Returns
        -------
        skin, fascia : ndarray of float32
            In mm, negative inside.
        """
        a, b = np.float32(self.outline.radii[0]), np.float32(self.outline.radii[1])
        x, y = at.x - np.float32(self.outline.centre[0]), at.y - np.float32(self.outline.centre[1])
        radius = np.sqrt((x / a) ** 2 + (y / b) ** 2) + np.float32(1e-6)
        c1, s1 = x / a / radius, y / b / radius
        c2, s2 = c1 * c1 - s1 * s1, 2 * c1 * s1
        c3, s3 = c2 * c1 - s2 * s1, s2 * c1 + c2 * s1
        wave = 1 + np.float32(self.taper) * at.z
        for k, (c, s) in enumerate(((c2, s2), (c3, s3))):
            wave = wave + self.waves[0, k] * c + self.waves[1, k] * s
        skin = (radius / wave - 1) * np.sqrt(a * b)
        turn = np.float32(np.cos(self.fat_angle)) * c1 + np.float32(np.sin(self.fat_angle)) * s1
        fascia = skin + np.float32(self.fat[0]) * (1 + np.float32(self.fat[1]) * turn + self.waves[0, 2] * c3 + self.waves[1, 2] * s2)
        return np.asarray(skin, dtype=np.float32), np.asarray(fascia, dtype=np.float32)

    def bone(self, at: Points) -> Field:
        """Give the distance to the nearest bone.

        Parameters
        ----------
        at : Points
            Where.

        Returns
        -------
        ndarray of float32
            In mm, negative inside.
        """
        found = self.bones[0].oval.distance(at)
        for bone in self.bones[1:]:
            found = np.minimum(found, bone.oval.distance(at))
        return found

    def muscles(self, at: Points) -> tuple[NDArray[np.intp], Field]:
        """Give the muscle at each point and the distance to the wall between it and the next.

        Parameters
        ----------
        at : Points
            Where.

        Returns
        -------
        muscle : ndarray of int
            0 to the number of muscles less 1.
        wall : ndarray of float32
            In mm, never negative.
        """
        x, y = at.x - np.float32(self.hub[0]), at.y - np.float32(self.hub[1])
        radius = np.sqrt(x * x + y * y)
        size, phase, turn = (np.float32(v) for v in self.bend)
        angle = np.arctan2(y, x) + turn * at.z
        rim = np.float32(self.layer) * (1 + np.float32(0.18) * np.sin(2 * angle + phase) + np.float32(0.1) * np.sin(3 * angle - phase))
        angle = np.mod(angle + size * np.sin(radius / np.float32(18) + phase), np.float32(2 * np.pi))
        wall = np.abs(radius - rim)
        muscle = np.zeros(angle.shape, dtype=np.intp)
        for first, edges, here in ((0, self.sectors[0], radius <= rim), (len(self.sectors[0]), self.sectors[1], radius > rim)):
            found = np.searchsorted(edges, angle)
            around = np.concatenate([edges[-1:] - np.float32(2 * np.pi), edges, edges[:1] + np.float32(2 * np.pi)])
            gap = np.minimum(angle - around[found], around[found + 1] - angle) * radius
            wall = np.where(here, np.minimum(wall, gap), wall)
            muscle = np.where(here, first + found % len(edges), muscle)
        return muscle, np.asarray(wall, dtype=np.float32)

    @property
    def muscle_count(self) -> int:
        """How many muscles there are."""
        return len(self.sectors[0]) + len(self.sectors[1])


def draw_body(rng: np.random.Generator, region: Region) -> Body:
    """Draw a body of its own measures.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws.
    region : {'thigh', 'leg', 'pelvis'}
        Which part.

    Returns
    -------
    Body
        The part of the body.
    """
    maker = {"thigh": _thigh, "leg": _leg, "pelvis": _pelvis}[region]
    return maker(rng)


def _waves(rng: np.random.Generator, size: float) -> NDArray[np.float32]:
    waves = rng.normal(0, size, (2, 4)).astype(np.float32)
    waves[:, 2:] = rng.normal(0, 0.12, (2, 2))
    return waves


def _sectors(rng: np.random.Generator, deep: int, outer: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _cuts(rng, deep), _cuts(rng, outer)


def _cuts(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    steps = 1 + rng.uniform(-0.4, 0.4, count)
    cuts = np.sort(np.mod(np.cumsum(steps) / steps.sum() * 2 * np.pi + rng.uniform(0, 2 * np.pi), 2 * np.pi))
    return np.asarray(cuts, dtype=np.float32)


def _bend(rng: np.random.Generator) -> tuple[float, float, float]:
    return float(rng.uniform(0.1, 0.28)), float(rng.uniform(0, 6.28)), float(rng.normal(0, 0.002))


def _thigh(rng: np.random.Generator) -> Body:
    a, b = rng.uniform(70, 82), rng.uniform(68, 80)
    hub = (rng.normal(0, 6), rng.normal(-6, 6))
    drift = (float(rng.normal(0, 0.06)), float(rng.normal(0, 0.04)))
    femur = Bone(Oval((*hub, 0.0), (rng.uniform(12, 15), rng.uniform(12, 15), np.inf), rng.uniform(0, 3), drift), rng.uniform(3.5, 5.5))
    fat = (rng.uniform(7, 18), rng.uniform(0.1, 0.45))
    sectors, layer = _sectors(rng, int(rng.integers(3, 5)), int(rng.integers(6, 9))), 0.48 * a
    return Body("thigh", Oval((0, 0, 0), (a, b, np.inf)), _waves(rng, 0.015), rng.uniform(-0.0015, 0.0015), fat, rng.uniform(0, 6.28), (femur,), hub, sectors, layer, _bend(rng))


def _leg(rng: np.random.Generator) -> Body:
    a, b = rng.uniform(56, 66), rng.uniform(58, 68)
    side = 1.0 if rng.random() < 0.5 else -1.0
    tibia_at = (side * rng.uniform(8, 14), -rng.uniform(18, 26), 0.0)
    fibula_at = (-side * rng.uniform(20, 27), -rng.uniform(0, 8), 0.0)
    tibia = Bone(Oval(tibia_at, (rng.uniform(12, 15), rng.uniform(13, 17), np.inf), rng.uniform(0, 3)), rng.uniform(3, 4.5))
    fibula = Bone(Oval(fibula_at, (rng.uniform(5, 7), rng.uniform(5, 7), np.inf), 0.0, (0.02 * side, 0.0)), 2.4)
    fat = (rng.uniform(4, 9), rng.uniform(0.1, 0.4))
    hub = (rng.normal(0, 3), rng.uniform(-6, 4))
    sectors, layer = _sectors(rng, int(rng.integers(3, 5)), int(rng.integers(4, 6))), 0.5 * a
    return Body("leg", Oval((0, 0, 0), (a, b, np.inf)), _waves(rng, 0.015), rng.uniform(-0.002, 0.002), fat, 1.57, (tibia, fibula), hub, sectors, layer, _bend(rng))


def _pelvis(rng: np.random.Generator) -> Body:
    a, b = rng.uniform(125, 138), rng.uniform(82, 92)
    wing = (rng.uniform(8, 11), rng.uniform(28, 36))
    tilt, out, back = rng.uniform(0.45, 0.8), rng.uniform(58, 68), rng.uniform(-4, 6)
    plates = [Bone(Oval((s * out, back, 0.0), (*wing, np.inf), s * tilt, (s * 0.08, 0.0)), 2.6) for s in (-1.0, 1.0)]
    sacrum = Bone(Oval((0.0, rng.uniform(44, 50), 0.0), (rng.uniform(24, 30), rng.uniform(10, 14), np.inf), 0.0, (0.0, -0.15)), 2.2)
    fat = (rng.uniform(9, 18), rng.uniform(0.2, 0.45))
    cavity = Oval((0.0, rng.uniform(-14, -8), 0.0), (rng.uniform(44, 50), rng.uniform(36, 42), np.inf))
    sectors = _sectors(rng, 6, 9)
    return Body("pelvis", Oval((0, 0, 0), (a, b, np.inf)), _waves(rng, 0.012), 0.0, fat, rng.uniform(0.8, 2.3), (*plates, sacrum), (0.0, 5.0), sectors, 64.0, _bend(rng), cavity)
