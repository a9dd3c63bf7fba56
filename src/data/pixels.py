"""Pixels as a likelihood needs them: binary, dequantized, or the 256 gray levels; and images as bytes."""

from enum import StrEnum

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from src.support.errors import UserError

SEEDS = {"val": 779, "test": 780, "train": 778}  # seeds of pixels drawn once; `binarize_as_published` has its own
BELOW_ONE = 1 - 2**-24  # the largest float32 below 1


class Pixels(StrEnum):
    """The preparation of an image with gray levels k in 0..255, as floats in [0, 1].

    `binary`: 0 or 1, drawn with the probability k / 255. `dequantized`: (k + u) / 256 with u uniform in [0, 1), because
    a density of the levels themselves has no upper bound. `levels`: k / 255.
    """

    BINARY = "binary"
    DEQUANTIZED = "dequantized"
    LEVELS = "levels"

    @property
    def description(self) -> str:
        """What the model sees, in words."""
        return {
            Pixels.BINARY: "binary pixels, drawn with the gray levels as probabilities",
            Pixels.DEQUANTIZED: "gray levels plus noise of up to one level",
            Pixels.LEVELS: "gray levels",
        }[self]


def required_pixels(likelihood: nn.Module, binarize: str) -> Pixels:
    """The kind of pixels that a likelihood's support asks for.

    binarize: the option data.binarize. `auto` follows the support; UserError for `dynamic` or `none` if they contradict
        it
    """
    binary = likelihood.support is constraints.boolean
    if binarize not in ("auto", "dynamic", "none"):
        raise UserError(f"data.binarize must be auto, dynamic or none, got {binarize}")
    if binarize != "auto" and (binarize == "dynamic") != binary:
        kind = "binary images" if binary else "grayscale images"
        name = type(likelihood).__name__
        raise UserError(f"data.binarize={binarize}: the likelihood {name} is a distribution over {kind}; use auto")
    if binary:
        return Pixels.BINARY
    return Pixels.LEVELS if likelihood.support.is_discrete else Pixels.DEQUANTIZED


def prepare(images: np.ndarray, pixels: str, seed: int) -> np.ndarray:
    """Prepare gray levels (N, C, H, W) uint8 for evaluation: one draw of the pixels, fixed by `seed`.

    Returns 0 and 255 as uint8 for `binary`, float32 in [0, 1) for `dequantized`, and the levels themselves otherwise;
    `as_input` turns each of them into what the model takes.
    """
    if pixels == Pixels.BINARY:
        return binarize(images, np.random.RandomState(seed))
    return dequantize(images, seed) if pixels == Pixels.DEQUANTIZED else images


def binarize(images: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Draw each pixel from Bernoulli(k / 255) for its gray level k, as 0 or 255 (uint8)."""
    return random.binomial(1, images.astype(np.float32) / 255).astype(np.uint8) * 255


def binarize_as_published(val: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Binarize validation and test images with the draw of the VampPrior's authors, so that results are comparable.

    It is made by NumPy's legacy generator with the seed 777, validation images first (Tomczak & Welling, 2018).
    """
    random = np.random.RandomState(777)
    return binarize(val, random), binarize(test, random)


def dequantize(images: np.ndarray, seed: int) -> np.ndarray:
    """(k + u) / 256 for gray levels k and uniform u in [0, 1), as float32 below 1: what a density is measured on."""
    u = np.random.default_rng(seed).random(images.shape, np.float32)
    return np.minimum((images + u) / np.float32(256), np.float32(BELOW_ONE))


def smoothed_mean(images: np.ndarray) -> np.ndarray:
    """The mean (C, H, W), in (0, 1), of images (N, C, H, W) uint8 as levels from 0 to 1, float64.

    Half an image of each of black and white is added, since a pixel may be the same in all images.
    """
    return (images.sum(0, dtype=np.float64) / 255 + 0.5) / (len(images) + 1)


def as_input(images: Tensor) -> Tensor:
    """Prepared images as the model takes them, float in [0, 1]: bytes are divided by 255."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def as_bytes(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8; means of a likelihood beyond that range are clipped."""
    return (images.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
