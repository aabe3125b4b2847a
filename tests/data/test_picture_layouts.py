from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepcolor.data.images import UnusablePictureError, decode_picture
from tests.data.documented import documented_rows
from tests.data.picture_layouts import GREY8, RGB8, RGB16, Case, cases, measured
from tests.data.png_files import png_file, to_numbers, with_chunks
from tests.data.tiff_files import Values, tags_of, tiff_file

DOCUMENT = Path(__file__).parents[2] / "docs" / "pictures.md"
FORMATS = ("JPEG", "PNG", "WebP", "BMP", "TIFF")


@pytest.fixture(scope="module")
def read() -> dict[str, list[tuple[Case, float | str]]]:
    """Every layout of each format, and what came of reading it."""
    found: dict[str, list[tuple[Case, float | str]]] = {name: [] for name in FORMATS}
    for case in cases():
        found[case.kind[0]].append((case, measured(case)))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_layout_is_read_right_or_refused_by_name(
    read: dict[str, list[tuple[Case, float | str]]], name: str
) -> None:
    """What the libraries at hand can write, and much that they cannot, comes back with its values, or with a reason."""
    wrong = []
    for case, result in read[name]:
        is_right = case.refused in result if isinstance(result, str) else result <= _allowed(case)
        if not is_right or bool(case.refused) != isinstance(result, str):
            wrong.append((case.kind, result))
    assert not wrong


def test_the_document_shows_what_is_measured(read: dict[str, list[tuple[Case, float | str]]]) -> None:
    """docs/pictures.md lists the same layouts, and claims no smaller errors and no other refusals; see `make docs`."""
    rows: dict[tuple[str, str, str], list[float | str]] = {}
    for found in read.values():
        for case, result in found:
            rows.setdefault((case.kind[0], case.kind[1], case.kind[2]), []).append(result)
    documented = {(row[0], row[1], row[2]): row[3:] for row in documented_rows(DOCUMENT, "layouts")}
    assert rows.keys() == documented.keys()
    for key, results in rows.items():
        count, outcome, _ = documented[key]
        assert int(count) == len(results)
        reasons = [result for result in results if isinstance(result, str)]
        assert all(reason in outcome for reason in reasons)
        if not reasons:
            most = float(outcome.removeprefix("under "))
            assert max(result for result in results if not isinstance(result, str)) <= most + 0.005


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_in_planes_are_turned_with_their_opacity(orientation: int) -> None:
    """The eight orientations of a TIFF's tag, for 16 bits in planes with opacity, as NumPy turns them."""
    upright = np.concatenate([RGB16, RGB16[..., :1] // 2], axis=2)
    stored = np.rot90(upright, {3: 2, 6: 1, 7: 2, 8: -1}.get(orientation, 0))
    stored = {2: np.fliplr, 4: np.flipud}.get(orientation, np.ascontiguousarray)(stored)
    stored = np.ascontiguousarray(stored.swapaxes(0, 1) if orientation in (5, 7) else stored)
    planes = [plane.astype("<u2").tobytes() for plane in np.moveaxis(stored, -1, 0)]
    tags = tags_of(stored, bits=16, photometric=2, t284=2, t338=[2], t274=orientation)
    picture = decode_picture(tiff_file((planes, tags)), source="p")
    np.testing.assert_array_equal(picture.rgb_HW3, upright[..., :3])
    np.testing.assert_array_equal(picture.alpha_HW, upright[..., 3])


def test_a_layout_that_lies_about_itself_is_refused() -> None:
    """Strips beyond the end, too few, upon each other, of no size, or shorter than their picture: never garbage."""
    height, width = RGB8.shape[:2]
    tags = tags_of(RGB8, bits=8, photometric=2)
    whole = [RGB8.tobytes()]
    lies: tuple[dict[int, Values], ...] = (
        {256: width + 1}, {257: height * 2}, {277: 4, 258: [8] * 4}, {258: [16] * 3}, {278: 1}, {256: 0},
        {320: [0] * 5, 262: 3, 277: 1, 258: 8}, {322: 16, 323: 16}, {322: 0, 323: 0}, {317: 9, 259: 8},
        {277: 2**16 - 1}, {257: 2**31}, {256: 2**32 - 1, 257: 2**32 - 1},
    )  # fmt: skip
    for lie in lies:
        with pytest.raises(UnusablePictureError):
            decode_picture(tiff_file((whole, {**tags, **lie})), source="p")


def test_a_colour_that_stands_for_nothing_is_found_at_any_depth() -> None:
    """PNG's transparent grey is given at the file's own depth: of 4 bits, 5 is the 85 of 255."""
    numbers = to_numbers(GREY8, 4)
    picture = decode_picture(png_file(numbers, kind=0, bits=4, before=[(b"tRNS", b"\0\5")]), source="p")
    np.testing.assert_array_equal(picture.alpha_HW == 0, numbers[..., 0] == 5)


def test_pixels_of_no_metadata_reach_the_decoders() -> None:
    """A text of 5 MB, unknown chunks, and a broken profile or EXIF cost a PNG nothing."""
    plain = png_file(RGB8, kind=2, bits=8)
    text = (b"tEXt", b"Comment\0" + b"x" * 5_000_000)
    bomb = (b"zTXt", b"Comment\0\0" + b"\x78\x9cnot deflated")
    other = with_chunks(plain, text, bomb, (b"eXIf", b"II*\0\xff\xff"), (b"vpAg", bytes(9)), (b"iCCP", b"x\0\0?"),
                        (b"gAMA", b"\0"), (b"cHRM", bytes(3)), (b"tIME", b""), (b"acTL", bytes(8)))  # fmt: skip
    picture = decode_picture(other, source="p")
    np.testing.assert_array_equal(picture.rgb_HW3, RGB8)


def test_pillow_images_are_taken_as_files_are() -> None:
    """A picture opened with Pillow is turned by its EXIF and keeps palette, opacity and depth."""
    from deepcolor.data.images import picture_of

    image = Image.fromarray(RGB8)
    np.testing.assert_array_equal(picture_of(image).rgb_HW3, RGB8)
    palette = image.quantize(16)
    np.testing.assert_array_equal(picture_of(palette).rgb_HW3, np.asarray(palette.convert("RGB")))
    deep = Image.fromarray(RGB16[..., 0])
    np.testing.assert_array_equal(picture_of(deep).rgb_HW3[..., 1], RGB16[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    np.testing.assert_array_equal(picture_of(image).rgb_HW3, np.rot90(RGB8, -1))


def _allowed(case: Case) -> float:
    """Lossless is exact (but for how depths are rounded); another decoder may round YCbCr otherwise."""
    return 2.01 if "YCbCr" in case.kind[1] else 1.01 if case.kind[3] != "what was written" else 0.51
