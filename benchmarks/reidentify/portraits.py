"""Pictures of ``benchmarks.reidentify.identities``' people, drawn with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.reidentify.identities import SIDE, Colour, Person, Points, Scene, mix
from edge.boxes import Floats
from edge.frames import Pixels

SKULL = 1.2
"""How far the head goes up from between the eyes."""
FOREHEAD = -0.75
"""Where the face box begins: detectors are trained on boxes from forehead to chin."""
SHIFT = 4
"""Binary digits of a fraction of a pixel that OpenCV draws with."""
SHADE = (20, 20, 30)


def render(person: Person, scene: Scene) -> tuple[Pixels, Floats]:
    """One picture, uint8 ``[SIDE, SIDE, 3]`` BGR, and its face box, float32 ``[1, 4]``, ``x1 y1 x2 y2``.

    The box holds the outline of the face from the forehead to the chin; ears, hair and neck lie outside.
    """
    random = np.random.default_rng(scene.seed)
    outline = _outline(person)
    picture = _background(random)
    _behind(picture, person, scene)
    _torso(picture, scene, random)
    _head(picture, person, scene, outline)
    _features(picture, person, scene)
    noise = random.standard_normal((SIDE, SIDE, 3), np.float32) * np.float32(scene.noise)
    across = np.linspace(-1, 1, SIDE, dtype=np.float32)
    light = 1 + scene.light[0] * across[None, :] + scene.light[1] * across[:, None]
    lit = picture * (light[..., None] * np.array(scene.gain, np.float32)) + noise
    face = scene.place(outline[outline[:, 1] >= FOREHEAD])
    box = np.concatenate([face.min(axis=0), face.max(axis=0)])[None]
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8), box.astype(np.float32)


def _background(random: np.random.Generator) -> Pixels:
    """A wall of two pale colours that blend, and things before it."""
    corners = _paint(random, 4).reshape(2, 2, 3).astype(np.uint8)
    picture = np.asarray(cv2.resize(corners, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
    for colour in _paint(random, int(random.integers(2, 7))).tolist():
        corner, size = random.uniform(-0.2, 1, 2) * SIDE, random.uniform(0.1, 0.6, 2) * SIDE
        if random.random() < 0.5:
            _ellipse(picture, corner + size / 2, size / 2, tuple(colour))
        else:
            sides = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
            _polygon(picture, corner + sides * size, tuple(colour))
    return picture


def _paint(random: np.random.Generator, count: int) -> Points:
    """Colours of rooms, ``[count, 3]``: of any lightness, and seldom bright."""
    return np.clip(random.uniform(60, 200, (count, 1)) + random.uniform(-30, 30, (count, 3)), 0, 255)


def _torso(picture: Pixels, scene: Scene, random: np.random.Generator) -> None:
    """Shoulders and clothes, which are anybody's."""
    width, collar = random.uniform(1.9, 2.7), random.uniform(1.3, 1.9)
    colours = random.uniform(15, 240, (2, 3)).tolist()
    shape = np.array([[-0.6, collar], [0.6, collar], [width, collar + 0.6], [width, 6], [-width, 6]])
    shape = np.concatenate([shape, [[-width, collar + 0.6]]])
    _polygon(picture, scene.place(shape), tuple(colours[0]))
    for y in np.arange(collar + 0.7, 5, random.uniform(0.3, 0.6)) if random.random() < 0.5 else ():
        stripe = np.array([[-width, y], [width, y], [width, y + 0.12], [-width, y + 0.12]])
        _polygon(picture, scene.place(stripe), tuple(colours[1]))


def _outline(person: Person, grow: float = 0) -> Points:
    """The head, ``[N, 2]``: half an ellipse above, half a superellipse below, which is the jaw."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    power = np.where(sin > 0, 2 / person.jaw, 1)
    height = np.where(sin > 0, person.face_length, SKULL)
    x = np.sign(cos) * np.abs(cos) ** power * (person.face_width + grow)
    y = np.sign(sin) * np.abs(sin) ** power * (height + grow)
    return np.stack([x, y], axis=1)


def _behind(picture: Pixels, person: Person, scene: Scene) -> None:
    """Hair behind the head, and the neck; clothes come before them."""
    if not person.bald:
        around = _outline(person, person.hair_volume)
        around = around[around[:, 1] < 0]  # from the left over the top to the right
        if person.hair_length:
            half = (person.face_width + person.hair_volume) * 0.95
            around = np.concatenate([around, [[half, person.hair_length], [-half, person.hair_length]]])
        _polygon(picture, scene.place(around), mix(person.hair, (0, 0, 0), 0.2))
    neck = np.array([[-1, 0.6], [1, 0.6], [1.25, 2.1], [0, 2.4], [-1.25, 2.1]]) * [person.neck, 1]
    _polygon(picture, scene.place(neck), mix(person.skin, SHADE, 0.25))


def _head(picture: Pixels, person: Person, scene: Scene, outline: Points) -> None:
    """Ears, and the face with beard and hair but no features."""
    place, skin = scene.place, person.skin
    for side in (-1, 1):
        ear = np.array([[side * (person.face_width + 0.03), 0.12]])
        _ellipse(
            picture,
            place(ear, -0.1)[0],
            np.array([person.ear * 0.6, person.ear * 1.3]) * scene.scale,
            mix(skin, SHADE, 0.25),
        )
    _polygon(picture, place(outline), skin)
    if person.beard:
        lower = outline[outline[:, 1] > 0.35]
        lower = np.concatenate([lower, [[-0.55, 0.75], [0, 0.62], [0.55, 0.75]]])
        _polygon(picture, place(lower), mix(skin, person.hair, 0.85 * person.beard))
    if not person.bald:
        top = outline[outline[:, 1] <= -0.25]
        half = person.face_width * 0.92
        line = np.array([[half, -0.35], [person.parting, person.hairline], [-half, -0.35]])
        _polygon(picture, place(np.concatenate([top, line])), person.hair)


def _features(picture: Pixels, person: Person, scene: Scene) -> None:
    """Eyes, brows, nose, mouth, moustache, glasses and a mole: all within the face box."""
    skin, scale = person.skin, scene.scale
    for side in (-1, 1):
        _eye(picture, person, scene, side)
    tip = person.nose_length
    nose = np.array(
        [[-0.05, 0.0], [0.05, 0.0], [person.nose_width, tip], [0, tip + 0.07], [-person.nose_width, tip]]
    )
    _polygon(picture, scene.place(nose, 0.8), mix(skin, (20, 25, 45), 0.22))
    if person.moustache:
        centre = scene.place(np.array([[0, (tip + person.mouth_height) / 2 + 0.06]]), 0.65)[0]
        hair = mix(skin, person.hair, 0.9 * person.moustache)
        _ellipse(picture, centre, np.array([person.mouth_width * 0.9, 0.07]) * scale, hair, scene.roll)
    _mouth(picture, person, scene)
    mole = scene.place(np.array([person.mole]), 0.6)[0]
    _ellipse(picture, mole, np.array([0.045, 0.045]) * scale, mix(skin, (15, 20, 40), 0.7))


def _eye(picture: Pixels, person: Person, scene: Scene, side: int) -> None:
    scale, size = scene.scale, person.eye_size
    centre = scene.place(np.array([[side * person.eye_distance, 0.0]]), 0.6)[0]
    tilt = scene.roll + side * person.eye_slant
    _ellipse(picture, centre, np.array([size, size * 0.55 * scene.open_eyes]) * scale, (225, 228, 232), tilt)
    look = centre + np.array([scene.gaze * size * scale, 0])
    _ellipse(picture, look, np.array([0.5, 0.5 * scene.open_eyes]) * size * scale, person.iris)
    _ellipse(picture, look, np.array([0.2, 0.2 * scene.open_eyes]) * size * scale, (10, 10, 10))
    height, weight = person.brow_height - scene.brow_raise, person.brow_weight
    lift = side * person.brow_angle * 0.3
    inner, outer = side * (person.eye_distance - 0.2), side * (person.eye_distance + 0.22)
    near, far = height + side * lift, height - side * lift
    brow = np.array([[inner, near], [outer, far], [outer, far + weight * 0.6], [inner, near + weight]])
    _polygon(picture, scene.place(brow, 0.6), mix(person.hair, (10, 12, 20), 0.4))
    if person.glasses:
        _glasses(picture, person, scene, side)


def _glasses(picture: Pixels, person: Person, scene: Scene, side: int) -> None:
    corners, reach = (24, 0.27) if person.glasses == 1 else (4, 0.36)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.pi / 4
    rim = np.array([side * person.eye_distance, 0]) + reach * np.stack(
        [np.cos(angle), 0.8 * np.sin(angle)], axis=1
    )
    bridge = np.array([[0, -0.05], [side * (person.eye_distance - 0.25), -0.05]])
    for line, closed in ((rim, True), (bridge, False)):
        pixels = np.rint(scene.place(line, 0.65) * 2**SHIFT).astype(np.int32)
        cv2.polylines(picture, [pixels], closed, (25, 25, 25), 2, cv2.LINE_AA, SHIFT)


def _mouth(picture: Pixels, person: Person, scene: Scene) -> None:
    along = np.linspace(-1, 1, 15)
    middle = person.mouth_height - 0.1 * scene.smile * along**2
    gap, lips = scene.open_mouth * (1 - along**2), person.lips * (1 - along**2)
    width = person.mouth_width * (1 + 0.12 * scene.smile)

    def band(top: Points, bottom: Points) -> Points:
        x = np.concatenate([along, along[::-1]]) * width
        return scene.place(np.stack([x, np.concatenate([top, bottom[::-1]])], axis=1), 0.65)

    red = mix(mix(person.skin, (30, 25, 50), 0.25), (60, 50, 190), 0.6 * person.lip_red)
    _polygon(picture, band(middle - lips, middle + gap + lips * 1.3), red)
    _polygon(picture, band(middle - 0.012, middle + gap + 0.012), (30, 20, 45))


def _polygon(picture: Pixels, corners: Points, colour: Colour) -> None:
    cv2.fillPoly(picture, [np.rint(corners * 2**SHIFT).astype(np.int32)], colour, cv2.LINE_AA, SHIFT)


def _ellipse(picture: Pixels, centre: Points, radii: Points, colour: Colour, angle: float = 0) -> None:
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
    _polygon(picture, np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + centre, colour)
