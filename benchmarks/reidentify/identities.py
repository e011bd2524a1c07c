"""Synthetic people, for ``python -m benchmarks reidentify``.

A person is a fixed set of facial parameters; a scene is everything else in one picture: pose, expression,
background, clothes, light and noise. Both come from seeds of their own, and nothing of a scene depends on
who is in it. The face box is known exactly, because it is computed from the outline that is drawn.

Lengths are in units of half a face's width, in axes of the head: x to the right, y down, and 0, 0 between
the eyes; z, towards the camera, moves a part when the head turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 224
"""Width and height of a picture, in pixels."""
SKINS = ((191, 211, 240), (140, 172, 222), (92, 130, 187), (60, 88, 142), (38, 54, 88))
HAIRS = ((22, 22, 26), (28, 42, 66), (42, 72, 116), (96, 150, 198), (36, 70, 150), (165, 168, 172))
IRISES = ((30, 45, 70), (50, 90, 130), (150, 120, 80), (90, 120, 90))

Points = npt.NDArray[np.float64]
"""float64 ``[N, 2]``, x and y."""
Colour = tuple[float, float, float]
"""BGR, 0 to 255."""


@dataclass(frozen=True)
class Person:
    """What stays the same in all pictures of one person. Lengths as above, angles in radians."""

    skin: Colour
    hair: Colour
    face_width: float
    face_length: float
    jaw: float
    """Exponent of the lower outline: 1.7 is pointed, 2.8 square."""
    ear: float
    neck: float
    bald: bool
    hairline: float
    parting: float
    hair_volume: float
    hair_length: float
    """How far down it hangs behind the head; 0 where it is short."""
    brow_height: float
    brow_angle: float
    brow_weight: float
    eye_distance: float
    eye_size: float
    eye_slant: float
    iris: Colour
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lips: float
    lip_red: float
    beard: float
    """0 is none, 1 is full and dark."""
    moustache: float
    glasses: int
    """0 is none, 1 round, 2 angular."""
    mole: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What changes from picture to picture. Drawn without looking at any person."""

    seed: int
    """Of the background, the clothes and the noise."""
    centre: tuple[float, float]
    scale: float
    """Pixels for one unit."""
    stretch: tuple[float, float]
    """What turning away and nodding do to the width and the height of a head, as factors."""
    roll: float
    yaw: float
    pitch: float
    smile: float
    open_mouth: float
    open_eyes: float
    gaze: float
    brow_raise: float
    light: tuple[float, float]
    """Change of the light across the picture, to the right and downward, as a share."""
    gain: Colour
    noise: float
    """Standard deviation in levels."""

    def place(self, points: Points, z: float = 0) -> Points:
        """Points of the head become pixels of the picture."""
        x = points[:, 0] + z * np.sin(self.yaw)
        y = points[:, 1] + z * np.sin(self.pitch)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        x, y = x * self.stretch[0], y * self.stretch[1]
        turned = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
        return np.asarray(turned * self.scale + np.array(self.centre), np.float64)


def make_person(seed: int, number: int) -> Person:
    """Person ``number`` of the population that belongs to ``seed``."""
    random = np.random.default_rng([seed, 0, number])
    between = random.uniform
    skin = _between(SKINS, between(0, 1))
    hair = HAIRS[random.integers(len(HAIRS))]
    long_hair = random.random() < 0.4
    bearded = random.random() < 0.35
    return Person(
        skin=_vary(skin, between(-8, 8, 3)),
        hair=_vary(hair, between(-12, 12, 3)),
        face_width=between(0.92, 1.06),
        face_length=between(1.2, 1.5),
        jaw=between(1.7, 2.8),
        ear=between(0.18, 0.23),
        neck=between(0.46, 0.58),
        bald=bool(random.random() < 0.12),
        hairline=between(-1.0, -0.55),
        parting=between(-0.5, 0.5),
        hair_volume=between(0.1, 0.25),
        hair_length=between(0.8, 2.2) if long_hair else 0.0,
        brow_height=between(-0.4, -0.27),
        brow_angle=between(-0.25, 0.25),
        brow_weight=between(0.04, 0.12),
        eye_distance=between(0.36, 0.5),
        eye_size=between(0.13, 0.2),
        eye_slant=between(-0.2, 0.2),
        iris=IRISES[random.integers(len(IRISES))],
        nose_length=between(0.35, 0.6),
        nose_width=between(0.1, 0.24),
        mouth_height=between(0.7, 0.9),
        mouth_width=between(0.25, 0.46),
        lips=between(0.05, 0.13),
        lip_red=between(0.2, 0.9),
        beard=between(0.3, 1) if bearded else 0.0,
        moustache=between(0.3, 1) if random.random() < 0.3 else 0.0,
        glasses=int(random.choice([0, 0, 0, 1, 2])),
        mole=(between(-0.6, 0.6), between(0.2, 0.9)),
    )


def make_scene(seed: int, number: int) -> Scene:
    """Scene ``number`` of those that belong to ``seed``."""
    random = np.random.default_rng([seed, 1, number])
    between = random.uniform
    warm = between(-0.05, 0.05)
    gain = between(0.8, 1.1)
    return Scene(
        seed=int(random.integers(2**31)),
        centre=(SIDE / 2 + between(-14, 14), SIDE / 2 - 8 + between(-10, 10)),
        scale=between(34, 46),
        stretch=(between(0.9, 1.05), between(0.9, 1.05)),
        roll=between(-0.15, 0.15),
        yaw=between(-0.3, 0.3),
        pitch=between(-0.15, 0.15),
        smile=between(-0.4, 1),
        open_mouth=max(0.0, between(-0.1, 0.12)),
        open_eyes=between(0.55, 1),
        gaze=between(-0.35, 0.35),
        brow_raise=between(-0.03, 0.08),
        light=(between(-0.3, 0.3), between(-0.2, 0.2)),
        gain=(gain * (1 - warm), gain, gain * (1 + warm)),
        noise=between(2, 6),
    )


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """``share`` of the second colour, the rest of the first."""
    blue, green, red = ((1 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return blue, green, red


def _between(colours: tuple[Colour, ...], place: float) -> Colour:
    """A colour on the way from the first to the last; ``place`` from 0 to 1."""
    at = place * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return mix(colours[low], colours[low + 1], at - low)


def _vary(colour: Colour, change: npt.NDArray[np.float64]) -> Colour:
    blue, green, red = np.clip(np.array(colour) + change, 0, 255).tolist()
    return blue, green, red
