"""Colour one photo with OpenCV and torch by the book, as the course's reports do: what `deepcolor.colorize` is
measured against.

Whole arrays of floats, the network on a square of 128 px, the colours enlarged bicubic, PNG by OpenCV. Nothing of
deepcolor is used.

    python benchmarks/peers/plain_colouring.py PHOTO OUT [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

SIZE_PX = 128
WIDTHS = (16, 32, 64, 128, 128, 256)


def network() -> nn.Module:
    """Six halvings and six doublings, as the second report has them."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.01)]
    upwards = WIDTHS[::-1]
    for before, after in zip(upwards, (*upwards[1:], 2), strict=True):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU() if after != 2 else nn.Tanh()]
    return nn.Sequential(*layers).eval()


def colour(photo: Path, out: Path, net: nn.Module) -> None:
    """Read, predict, join, write."""
    bgr = np.asarray(cv2.imread(str(photo)), dtype=np.float32) / 255
    lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2LAB)
    lightness = lab[..., 0]
    small = torch.from_numpy(cv2.resize(lightness, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) / 100)
    with torch.no_grad():
        ab = net(small[None, None])[0].numpy().transpose(1, 2, 0) * 110
    large = cv2.resize(ab, lightness.shape[::-1], interpolation=cv2.INTER_CUBIC)
    coloured = cv2.cvtColor(np.dstack([lightness, large]), cv2.COLOR_LAB2BGR)
    cv2.imwrite(str(out), (coloured * 255).clip(0, 255).astype(np.uint8))


def peak_mb() -> float:
    """Most memory that this process has had; `getrusage` would count what its parent had before it started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> None:
    """Print the seconds of each run, and the peak of the process's memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    net, runs = network(), []
    for _ in range(options.runs):
        started, cpu = time.perf_counter(), time.process_time()
        colour(options.photo, options.out, net)
        runs.append((time.perf_counter() - started, time.process_time() - cpu))
    print(json.dumps({"runs": runs, "peak_mb": peak_mb(), "start_cpu_s": 0.0}))


if __name__ == "__main__":
    main()
