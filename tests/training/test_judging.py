"""What coloured pictures are judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.color import deltaE_ciede2000

from deepcolor.coloring.difference import ciede2000
from deepcolor.coloring.measuring import PictureFigures


def test_ciede2000_is_what_others_compute() -> None:
    """Random colours, greys, equal ones and hues on both sides of red differ by as much as scikit-image says."""
    random = np.random.default_rng(0)
    lightness = random.uniform(0, 100, (2, 4000))
    ab = random.uniform(-100, 100, (2, 4000, 2))
    ab[:, :200] = 0
    ab[0, 200:400] = 0
    ab[:, 400:600, 1] = random.choice([-1e-3, 1e-3], (2, 200))
    ab[1, 600:700], lightness[1, 600:700] = ab[0, 600:700], lightness[0, 600:700]
    one, other = ((lightness[index], ab[index]) for index in (0, 1))
    others: Any = deltaE_ciede2000  # It has no types.
    labs = [np.concatenate((lightness[index][:, None], ab[index]), axis=1) for index in (0, 1)]
    assert np.allclose(ciede2000(one, other), others(*labs), atol=1e-6)
    single = (lightness.astype(np.float32), ab.astype(np.float32))
    single_pair = [(single[0][index], single[1][index]) for index in (0, 1)]
    assert np.allclose(ciede2000(*single_pair), others(*labs), atol=0.05)


def test_each_folder_of_pictures_has_a_row() -> None:
    """The table has a row for each folder, the worst first; pictures in one folder have no table."""
    figures = PictureFigures(
        psnr_db=[20.0, 30.0, 10.0],
        ssim=[0.5, 0.7, 0.9],
        ciede2000=[1.0, 2.0, 3.0],
        predicted=[5.0, 5.0, 3.0],
        original=[10.0, 10.0, 3.0],
        bias_a=[0.0, 1.0, -1.0],
        bias_b=[2.0, 4.0, 0.0],
    )
    table = figures.by_category(["apples/1.jpg", "apples/2.jpg", "pears/1.jpg"])
    assert table is not None
    assert table.decode().splitlines() == [
        "category,pictures,psnr_db,ssim,colourfulness,ciede2000,bias_a,bias_b",
        "pears,1,10,0.9,1,3,-1,0",
        "apples,2,25,0.6,0.5,1.5,0.5,3",
    ]
    assert figures.by_category(["1.jpg", "2.jpg", "3.jpg"]) is None
    assert figures.means()["psnr_db"] == 20
