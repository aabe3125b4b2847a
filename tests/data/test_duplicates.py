from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from deepcolor.data.drawn import DrawnKind
from deepcolor.data.duplicates import group_duplicates, thumbnails
from tests.data.photos import PHOTOS, Rgb, fruit, photos


def groups_of(pictures: Sequence[Rgb]) -> list[int]:
    sha256s = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
    return group_duplicates(np.stack([thumbnails(picture) for picture in pictures]), sha256s=sha256s)


def resaved(rgb: Rgb, *, scale: float = 1.0, quality: int = 80) -> Rgb:
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", np.asarray(small)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1].astype(np.uint8)


def on_white(rgb: Rgb, *, margin: int) -> Rgb:
    return np.pad(rgb, ((margin, margin), (margin // 2, 2 * margin), (0, 0)), constant_values=255)


@pytest.mark.parametrize("kind", ["faces", "fruit"])
def test_copies_of_a_photo_are_found(kind: DrawnKind) -> None:
    """Byte-identical, re-encoded, rescaled and mirrored copies join their photo, and different photos stay apart."""
    originals = photos(kind, 12)
    copies = [
        originals[0],
        resaved(originals[1], quality=60),
        resaved(originals[2], scale=0.6),
        resaved(originals[3], scale=1.7),
        np.ascontiguousarray(originals[4][:, ::-1]),
        resaved(np.ascontiguousarray(originals[5][:, ::-1]), scale=0.8),
    ]
    assert groups_of([*originals, *copies]) == [*range(12), *range(6)]


def test_a_wider_white_margin_does_not_hide_a_copy() -> None:
    """The same fruit with more white around it, or mirrored there, is the same fruit."""
    originals = [fruit(number) for number in range(6)]
    copies = [on_white(originals[0], margin=30), on_white(np.ascontiguousarray(originals[1][:, ::-1]), margin=20)]
    assert groups_of([*originals, *copies]) == [*range(6), 0, 1]


def test_copies_of_copies_are_one_group() -> None:
    """Groups are closed: A like B and B like C puts all three together, numbered by the first."""
    first = photos("faces", 1)[0]
    second = resaved(first, scale=0.7)
    assert groups_of([fruit(1), first, second, np.ascontiguousarray(resaved(second, quality=50)[:, ::-1])]) == [
        0,
        1,
        1,
        1,
    ]


def test_many_photos_of_few_people_do_not_chain_together() -> None:
    """Faces in one pose before one background are different photos: no group grows beyond a few."""
    faces = photos("faces", 300)
    sizes = np.bincount(groups_of(faces))
    assert sizes.max() <= 3
    assert (sizes > 1).sum() <= 6


def test_flat_pictures_of_different_colours_are_not_copies() -> None:
    """Pictures without any detail have nothing to be recognised by."""
    flat = [np.full((50, 60, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 200, 30), (30, 31, 200))]
    assert groups_of(flat) == [0, 1, 2]


def test_the_known_duplicates_among_the_fruit_are_found() -> None:
    """Pomegranates 1 and 21 are the same bytes, two aubergines mirrored, two carrots cut differently."""
    names = (
        "Pomegranate/PG1",
        "Pomegranate/PG21",
        "Brinjal/Brinjal12",
        "Brinjal/Brinjal16",
        "Carrot/carrot12",
        "Carrot/carrot28",
    )
    paths = [PHOTOS / "fruits" / f"{name}.jpg" for name in names]
    mirrored = resaved(np.ascontiguousarray(fruit(2)[:, ::-1]))
    pictures = [fruit(1), fruit(1), fruit(2), mirrored, fruit(3), on_white(fruit(3), margin=20)]
    if all(path.is_file() for path in paths):
        pictures = [np.asarray(cv2.imread(str(path)))[..., ::-1].astype(np.uint8) for path in paths]
    assert groups_of(pictures) == [0, 0, 1, 1, 2, 2]
