"""How good a network is: the error after every epoch, the figures of a finished training, the test of the gate."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepcolor.color import colourfulness, denormalise_lightness, lab_to_rgb, normalise_ab, rgb_to_lab
from deepcolor.coloring.difference import ciede2000
from deepcolor.coloring.own_metrics import Metric, Sums
from deepcolor.data.cache.arrays import CachedData, Split
from deepcolor.data.splits import SplitName
from deepcolor.errors import DataError, ModelError
from deepcolor.models.modelfile import load_model
from deepcolor.models.networks import Network, Target
from deepcolor.training.conditions import ANY, VAL_BATCH_SIZE, Conditions
from deepcolor.training.device import pick_device, torch_set_up

_NO_METRICS: Mapping[str, Metric] = MappingProxyType({})
_MAX_PSNR_DB = 100.0
"""Of a picture predicted without any error, where the ratio is infinite."""
_SSIM_WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_SSIM_WEIGHTS: tuple[float, ...] = tuple((_SSIM_WINDOW / _SSIM_WINDOW.sum()).tolist())
"""Of a window of 11 pixels, a Gaussian with a standard deviation of 1.5."""
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Measurement:
    """What a model is worth on one split. MSE in the normalised units (value + 128) / 255."""

    mse: float
    """Of every pixel; a regressor's is of the mean colours."""
    mse_a: float
    mse_b: float
    psnr_db: float
    """Peak signal-to-noise ratio in RGB, mean over the pictures."""
    ssim: float
    """Structural similarity in RGB, mean over the pictures."""
    colourfulness: float
    """Relative to the originals: 1 is as colourful, 0 is grey."""
    ciede2000: float
    """How different the colours look, mean over the pictures."""
    bias_a: float
    """By how much the predicted a* is too high on average, in CIELAB units; below 0, too low."""
    bias_b: float
    images: int
    per_image_mse: tuple[float, ...]
    """In the order of the split; `mse` is their mean."""


def evaluate(
    network: Network,
    split: Split,
    *,
    device: torch.device,
    batch_size: int = VAL_BATCH_SIZE,
    metrics: Mapping[str, Metric] = _NO_METRICS,
) -> dict[str, float]:
    """Measure the mean squared error of a network over a split.

    Args:
        network: On `device`; it is left in evaluation mode.
        split: At least one picture.
        device: Where the sums are kept; there is one transfer at the end.
        batch_size: Pictures at a time; the result does not depend on it beyond the last bits.
        metrics: Others to measure, by name.
    Returns:
        `mse`, `mse_a`, `mse_b` in the normalised units (value + 128) / 255: over all pixels, or for a Regressor over
        the mean colours. And the other metrics.
    """
    sums = Sums(metrics, device=device) if metrics else None
    errors_N2 = image_errors(network, split, device=device, batch_size=batch_size, sums=sums)
    mse_a, mse_b = errors_N2.mean(dim=0).tolist()
    return {"mse": (mse_a + mse_b) / 2, "mse_a": mse_a, "mse_b": mse_b, **(sums.means() if sums else {})}


@torch.inference_mode()
def image_errors(
    network: Network,
    split: Split,
    *,
    device: torch.device,
    batch_size: int = VAL_BATCH_SIZE,
    sums: Sums | None = None,
) -> Tensor:
    """Return the MSE of each picture and channel in the normalised units: shape (N, 2), float64, on `device`; `sums`
    are told of every batch, if there are any.
    """
    network.eval()
    errors = torch.empty((len(split), 2), dtype=torch.float64, device=device)
    for rows in _rows(split, batch_size):
        lightness_B1HW, ab = split.batch(rows, seed=0, epoch=0, target=network.target)
        output = network(lightness_B1HW)
        if sums is not None:
            sums.add(network.to_ab(output), ab)
        squared = (output - network.native_target(ab)).square_()
        errors[rows[0] : rows[-1] + 1] = squared.mean(dim=(2, 3)) if squared.ndim == 4 else squared
    return errors / network.span**2


@dataclass(frozen=True)
class PictureFigures:
    """What the coloured pictures of a split are worth beside the originals: an entry for each, in their order."""

    psnr_db: list[float]
    ssim: list[float]
    ciede2000: list[float]
    predicted: list[float]
    """Their colourfulness (Hasler and Suesstrunk, 2003)."""
    original: list[float]
    """The originals'."""
    bias_a: list[float]
    bias_b: list[float]

    def means(self, rows: Sequence[int] | None = None) -> dict[str, float]:
        """Return the means over all pictures, or some rows; `colourfulness` is the mean of the predictions divided by
        that of the originals.
        """
        rows = range(len(self.psnr_db)) if rows is None else rows

        def mean(values: list[float]) -> float:
            return math.fsum(values[row] for row in rows) / len(rows)

        original = mean(self.original)
        return {
            "psnr_db": mean(self.psnr_db),
            "ssim": mean(self.ssim),
            "colourfulness": mean(self.predicted) / original if original > 0 else 0.0,
            "ciede2000": mean(self.ciede2000),
            "bias_a": mean(self.bias_a),
            "bias_b": mean(self.bias_b),
        }

    def by_category(self, names: Sequence[str]) -> bytes | None:
        """Return the means of each folder of pictures as a table, the worst first.

        Args:
            names: Relative paths of the pictures.
        Returns:
            A CSV file; None where the pictures lie in one folder.
        """
        rows_of: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows_of.setdefault(name.rpartition("/")[0], []).append(row)
        if len(rows_of) < 2:
            return None
        tables = [(folder or ".", len(rows), self.means(rows)) for folder, rows in rows_of.items()]
        tables.sort(key=lambda entry: (entry[2]["psnr_db"], entry[0]))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["category", "pictures", *tables[0][2]])
        writer.writerows([folder, count, *(f"{v:.5g}" for v in means.values())] for folder, count, means in tables)
        return text.getvalue().encode()


def picture_metrics(
    network: Network, split: Split, *, device: torch.device, batch_size: int = VAL_BATCH_SIZE
) -> dict[str, float]:
    """Compare the coloured pictures with the originals; see `picture_figures`.

    Returns:
        Means over the pictures: `psnr_db` and `ssim`, in RGB; `colourfulness`, relative to the originals'; `ciede2000`;
        and `bias_a`, `bias_b`, predicted minus true in CIELAB units.
    """
    return picture_figures(network, split, device=device, batch_size=batch_size).means()


def picture_figures(
    network: Network, split: Split, *, device: torch.device, batch_size: int = VAL_BATCH_SIZE
) -> PictureFigures:
    """Compare the coloured pictures with the originals, as they are seen: what sRGB cannot show is clipped.

    A Regressor's mean colour is painted over the whole picture, so that the figures compare between the stages.

    Args:
        network: On `device`; it is left in evaluation mode.
        split: At least one picture.
        device: Where the network is.
        batch_size: Pictures at a time.
    """
    figures = PictureFigures([], [], [], [], [], [], [])
    for rows in _rows(split, batch_size):
        truth_BHW3, guess_BHW3 = coloured(network, split, rows=rows)
        figures.psnr_db.extend(psnr_db_of(guess_BHW3, truth_BHW3))
        figures.ssim.extend(_ssim(guess_BHW3, truth_BHW3, device=device))
        figures.predicted.extend(colourfulness(picture) for picture in guess_BHW3)
        figures.original.extend(colourfulness(picture) for picture in truth_BHW3)
        for truth_HW3, guess_HW3 in zip(truth_BHW3, guess_BHW3, strict=True):
            truth, guess = rgb_to_lab(truth_HW3), rgb_to_lab(guess_HW3)
            figures.ciede2000.append(float(ciede2000(truth, guess).mean()))
            bias_2 = (guess[1] - truth[1]).mean(axis=(0, 1), dtype=np.float64)
            figures.bias_a.append(float(bias_2[0]))
            figures.bias_b.append(float(bias_2[1]))
    return figures


@torch.inference_mode()
def coloured(
    network: Network, split: Split, *, rows: Tensor
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Colour some pictures of a split.

    Args:
        network: On the split's device; it is left in evaluation mode.
        split: Where the pictures lie.
        rows: int64 row numbers, shape (B,).
    Returns:
        The originals and the predictions: sRGB in [0, 1], shape (B, H, W, 3).
    """
    network.eval()
    lightness_B1HW, ab_B2HW = split.batch(rows, seed=0, epoch=0, target="pixels")
    guess = network.to_ab(network(lightness_B1HW))
    guess_B2HW = guess[:, :, None, None].expand_as(ab_B2HW) if guess.ndim == 2 else guess
    return _rgb(lightness_B1HW, ab_B2HW), _rgb(lightness_B1HW, guess_B2HW)


def grey(split: Split, *, rows: Tensor) -> npt.NDArray[np.float32]:
    """Return the lightness of some pictures as grey ones: sRGB in [0, 1], shape (B, H, W, 3)."""
    lightness_B1HW, ab_B2HW = split.batch(rows, seed=0, epoch=0, target="pixels")
    return _rgb(lightness_B1HW, torch.zeros_like(ab_B2HW))


def measure(
    model_folder: Path,
    cache_folder: Path,
    *,
    split: SplitName = "test",
    device: str = "auto",
    conditions: Conditions = ANY,
) -> Measurement:
    """Measure a saved model on one split of a data set.

    Args:
        model_folder: `model.safetensors` and `model.json`.
        cache_folder: Decoded data set, at the model's size.
        split: `test` is what no search ever sees.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        conditions: Under those of its training, a model measures on `val` what that training has recorded.
    Raises:
        ModelError: The folder holds no usable model, or one for another size.
        CorruptFileError: The weights do not match their checksum.
        DataError: The split is empty.
    """
    where, batch_size = pick_device(device), conditions.batch_size
    network, description = load_model(model_folder, where)
    data = CachedData.open(cache_folder, device=str(where))
    if data.size_px != description.size_px:
        raise ModelError(
            f"measure: model and data must have the same size; got a model for {description.size_px} px and data of "
            f"{data.size_px} px ({model_folder}). Prepare the data at the model's size."
        )
    pictures = _split(data, split)
    with torch_set_up(threads=conditions.threads, reduced_precision=conditions.reduced_precision):
        errors_N2 = image_errors(network, pictures, device=where, batch_size=batch_size)
        mse_a, mse_b = errors_N2.mean(dim=0).tolist()
        return Measurement(
            mse=(mse_a + mse_b) / 2,
            mse_a=mse_a,
            mse_b=mse_b,
            **picture_metrics(network, pictures, device=where),
            images=len(pictures),
            per_image_mse=tuple(errors_N2.mean(dim=1).tolist()),
        )


def baseline_errors(cache_folder: Path, target: Target, *, split: SplitName = "test") -> tuple[float, ...]:
    """Return what always predicting the training images' mean colour gives: a model that has learned nothing.

    Args:
        cache_folder: Decoded data set.
        target: Whether each picture's mean colour is predicted, or every pixel.
        split: Which one to measure on.
    Returns:
        MSE of each picture in the normalised units (value + 128) / 255, in the order of the split.
    Raises:
        DataError: The split is empty.
    """
    data = CachedData.open(cache_folder)
    mean_2 = normalise_ab(data.train.mean_ab_N2.double().mean(dim=0))
    pictures = _split(data, split)
    errors = []
    for rows in _rows(pictures, VAL_BATCH_SIZE):
        _, ab = pictures.batch(rows, seed=0, epoch=0, target=target)
        difference = normalise_ab(ab.double()) - (mean_2 if target == "mean" else mean_2[:, None, None])
        errors.append(difference.square_().flatten(1).mean(dim=1))
    return tuple(torch.cat(errors).tolist())


def _split(data: CachedData, name: SplitName) -> Split:
    split: Split = {"train": data.train, "val": data.val, "test": data.test}[name]
    if len(split) == 0:
        raise DataError(f"data: the {name} split must hold pictures; got none. Add pictures, or change the splits.")
    return split


def _rows(split: Split, batch_size: int) -> Iterator[Tensor]:
    yield from torch.split(torch.arange(len(split)), batch_size)


def _rgb(lightness_B1HW: Tensor, ab_B2HW: Tensor) -> npt.NDArray[np.float32]:
    lightness_BHW = denormalise_lightness(lightness_B1HW[:, 0].cpu().numpy())
    return lab_to_rgb(lightness_BHW, ab_B2HW.permute(0, 2, 3, 1).cpu().numpy())


def psnr_db_of(guess_BHW3: npt.NDArray[Any], truth_BHW3: npt.NDArray[Any]) -> list[float]:
    """Return the peak signal-to-noise ratio of each picture in dB, for values in [0, 1]; at most 100."""
    mse = np.square(guess_BHW3.astype(np.float64) - truth_BHW3).mean(axis=(1, 2, 3))
    return [float(value) for value in -10 * np.log10(np.maximum(mse, 10 ** (-_MAX_PSNR_DB / 10)))]


def _ssim(guess_BHW3: npt.NDArray[Any], truth_BHW3: npt.NDArray[Any], *, device: torch.device) -> list[float]:
    """Structural similarity of each picture, Gaussian window, for values in [0, 1].

    Source: Wang et al., Image quality assessment: from error visibility to structural similarity, 2004, equation 13.
    """
    # One at a time: the maps of one picture fit into a core's cache.
    pairs = zip(guess_BHW3, truth_BHW3, strict=True)
    return [_ssim_of(*(torch.from_numpy(rgb_HW3).to(device) for rgb_HW3 in pair)) for pair in pairs]


def _ssim_of(guess_HW3: Tensor, truth_HW3: Tensor) -> float:
    # The two variances are only needed as a sum.
    maps = (guess_HW3, truth_HW3, guess_HW3 * truth_HW3, guess_HW3.square() + truth_HW3.square())
    mean_x, mean_y, mean_xy, mean_squares = _window_means(_window_means(torch.stack(maps), axis=1), axis=2)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    likeness = (2 * product + _SSIM_C1) / (squares + _SSIM_C1)
    structure = (2 * (mean_xy - product) + _SSIM_C2) / (mean_squares - squares + _SSIM_C2)
    return float((likeness * structure).mean())


def _window_means(maps: Tensor, *, axis: int) -> Tensor:
    """Take the weighted means of every window that lies wholly within the maps, along one axis."""
    count = maps.shape[axis] - len(_SSIM_WEIGHTS) + 1
    means = torch.zeros_like(maps.narrow(axis, 0, count))
    for offset, weight in enumerate(_SSIM_WEIGHTS):
        means.add_(maps.narrow(axis, offset, count), alpha=weight)
    return means
