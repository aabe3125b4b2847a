"""Who sits for a portrait: colours and proportions that go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from deepcolor.color import FloatArray
from deepcolor.data.drawing.canvas import Canvas, Points, varied
from deepcolor.data.drawing.lighting import Light

Rng = np.random.Generator
Choice = TypeVar("Choice")


SKINS = (
    (0.97, 0.83, 0.75), (0.95, 0.78, 0.67), (0.91, 0.72, 0.58), (0.85, 0.65, 0.50),
    (0.77, 0.56, 0.41), (0.65, 0.45, 0.31), (0.52, 0.34, 0.23), (0.38, 0.25, 0.18),
)  # fmt: skip
"""From light to dark; hue and saturation go with the lightness, as melanin has it."""

BLACK, GREY = (0.09, 0.08, 0.09), (0.66, 0.65, 0.64)
DARK_BROWN, BROWN, AUBURN = (0.21, 0.14, 0.10), (0.36, 0.23, 0.14), (0.45, 0.20, 0.11)
RED, DARK_BLOND, BLOND = (0.66, 0.33, 0.14), (0.60, 0.45, 0.26), (0.83, 0.68, 0.42)

HAIRS_WITH_FAIR_SKIN = (BROWN, AUBURN, RED, DARK_BLOND, BLOND, DARK_BROWN, GREY, BROWN, DARK_BROWN, BLOND)
HAIRS_WITH_DARK_SKIN = (BLACK, DARK_BROWN, BLACK, DARK_BROWN, BLACK, DARK_BROWN, BLACK, BLACK, BROWN, GREY)

BROWN_EYES, HAZEL_EYES = (0.33, 0.19, 0.10), (0.45, 0.34, 0.15)
GREEN_EYES, BLUE_EYES = (0.35, 0.47, 0.30), (0.36, 0.52, 0.68)

IRISES_WITH_FAIR_SKIN = (BROWN_EYES, HAZEL_EYES, GREEN_EYES, BLUE_EYES, BLUE_EYES)
IRISES_WITH_DARK_SKIN = (BROWN_EYES, BROWN_EYES, HAZEL_EYES)

LONG_STYLES = ("long", "bob", "bun", "curly", "parted")
SHORT_STYLES = ("short", "parted", "buzz", "curly", "receding")
CLOTHES = ("shirt", "t-shirt", "v-neck", "hoodie", "striped")


@dataclass(frozen=True)
class Person:
    """What a portrait shows."""

    skin: FloatArray
    hair: FloatArray
    iris: FloatArray
    style: str
    broad: float
    """Half width of the face at the cheekbones, in canvas widths."""
    tall: float
    """From the middle of the face to the chin."""
    jaw: float
    """0 pointed, 1 square."""
    turn: float
    """The head turned to the left (-1) or to the right (1)."""
    smile: float
    """-0.3 to 1."""
    lips: float
    """Fullness, and how much redder than the skin."""
    beard: float
    """0 none, up to 1."""
    glasses: bool
    clothes: str

    @classmethod
    def drawn(cls, rng: Rng) -> Person:
        """Draw a person: colours that go together, proportions within what is usual."""
        tone = int(rng.integers(len(SKINS)))
        fair, long_haired = tone < 3, rng.random() < 0.5
        hair = _one_of(rng, HAIRS_WITH_FAIR_SKIN if fair else HAIRS_WITH_DARK_SKIN)
        return cls(
            skin=varied(rng, SKINS[tone], 0.025),
            hair=varied(rng, hair, 0.02) * np.float32(rng.uniform(0.9, 1.12)),
            iris=varied(rng, _one_of(rng, IRISES_WITH_FAIR_SKIN if fair else IRISES_WITH_DARK_SKIN), 0.05),
            style=_one_of(rng, LONG_STYLES if long_haired else SHORT_STYLES),
            broad=rng.uniform(0.185, 0.215) - 0.008 * long_haired,
            tall=rng.uniform(0.265, 0.295),
            jaw=rng.uniform(0, 0.5) if long_haired else rng.uniform(0.4, 1),
            turn=rng.uniform(-1, 1),
            smile=rng.uniform(-0.3, 1),
            lips=rng.uniform(0.4, 1.0) if long_haired else rng.uniform(0.1, 0.45),
            beard=0.0 if long_haired or rng.random() < 0.6 else rng.uniform(0.35, 1),
            glasses=rng.random() < 0.14,
            clothes=_one_of(rng, CLOTHES),
        )


@dataclass(frozen=True)
class Sitting:
    """A person before the painter."""

    canvas: Canvas
    rng: Rng
    light: Light
    person: Person
    x: float = 0.5
    y: float = 0.46
    """Middle of the face, between the eyes and the nose."""

    def ahead(self, depth: float) -> float:
        """X of the face's middle line at a feature that stands out this far: it moves when the head turns."""
        return self.x + 0.042 * self.person.turn * depth

    def on_face(self, points: Points, *, depth: float = 0.0) -> Points:
        """Canvas points of points in face half widths and face heights, from the face's middle."""
        measures = (self.person.broad, self.person.tall)
        return np.asarray(points * np.array(measures) + (self.ahead(depth), self.y))


def _one_of(rng: Rng, choices: Sequence[Choice]) -> Choice:
    return choices[int(rng.integers(len(choices)))]
