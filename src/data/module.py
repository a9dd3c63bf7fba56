"""Serves images to Lightning: one uint8 tensor in memory, batches by indexing, noise with an address."""

import logging
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from src.data.sources import Images, Split
from src.models.images import GreyLevels
from src.models.vae import VAE
from src.support import noise
from src.support.errors import UserError

log = logging.getLogger(__name__)
EVALUATION_BATCH = 500  # large enough to be fast, small enough to stay in memory on any machine
TRAINING_SUBSET = 5000  # training images evaluated each epoch: the standard error of an ELBO on MNIST is 0.4 nats then


class Batch(NamedTuple):
    """x (B, C, H, W) float in [0, 1], labels y (B,), index (B,) of the images within their split."""

    x: Tensor
    y: Tensor
    index: Tensor


DRAWS = {"val": 779, "test": 780, "train": 778}  # seeds of images that are drawn once, but for draw_binary's


def dequantized(images: np.ndarray, seed: int) -> np.ndarray:
    """(k + u) / 256 for grey levels k and uniform u in [0, 1), as float32 below 1: what a density is measured on."""
    u = np.random.default_rng(seed).random(images.shape, np.float32)
    return np.minimum((images + u) / np.float32(256), np.float32(1 - 2**-24))


def prepared(images: np.ndarray, pixels: str, seed: int) -> np.ndarray:
    """Grey levels (N, C, H, W) uint8 as `pixels` of ImageData asks, drawn once by `seed`; what `as_input` takes."""
    if pixels == "binary":
        intensities = images.astype(np.float32) / 255
        return np.random.RandomState(seed).binomial(1, intensities).astype(np.uint8) * 255
    return dequantized(images, seed) if pixels == "dequantized" else images


def draw_binary(val: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test images drawn once, Bernoulli(intensity), as 0 or 255: the VampPrior line's published draw.

    NumPy's legacy generator, seed 777, validation first (Tomczak & Welling, 2018).
    """
    random = np.random.RandomState(777)
    scaled = (images.astype(np.float32) / 255 for images in (val, test))
    val, test = (random.binomial(1, images).astype(np.uint8) * 255 for images in scaled)
    return val, test


def pixels(option: str, vae: VAE) -> str:
    """How images are prepared, one of ImageData's `pixels`, as the likelihood's support asks for it.

    option: data.binarize; `auto` follows the support, what contradicts it is refused
    """
    support = vae.likelihood.support
    binary = support is constraints.boolean
    if option not in ("auto", "dynamic", "none"):
        raise UserError(f"data.binarize must be auto, dynamic or none, got {option}")
    if option != "auto" and (option == "dynamic") != binary:
        kind = "binary images" if binary else "greys"
        name = type(vae.likelihood).__name__
        raise UserError(f"data.binarize={option}: the likelihood {name} is a distribution over {kind}; use auto")
    return "binary" if binary else "levels" if isinstance(support, GreyLevels) else "dequantized"


def as_input(images: Tensor) -> Tensor:
    """Validation or test images as the model takes them, float in [0, 1]: bytes are divided by 255."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def balanced(labels: np.ndarray, count: int, random: np.random.Generator | None = None) -> np.ndarray:
    """Indices of up to `count` images, as evenly over the classes as they allow, classes taking turns: in their order,
    the first images of each, or with `random` both as it comes."""
    order = np.arange(len(labels)) if random is None else random.permutation(len(labels))
    classes = np.arange(labels.max() + 1) if random is None else random.permutation(labels.max() + 1)
    place = classes[labels[order]]  # of its class in a round
    by_class = np.argsort(place, kind="stable")
    turn = np.empty(len(labels), np.int64)
    turn[by_class] = np.arange(len(labels)) - np.searchsorted(place[by_class], place[by_class])
    return order[np.lexsort((place, turn))][:count]


def evenly(among: int, count: int) -> np.ndarray:
    """Rows of `count` of `among` images, all where there are fewer: one of each of `count` equal parts of the order.

    Drawn within its part, always alike: a fixed step would miss classes of an order that has a period.
    """
    edges = np.arange(min(among, count) + 1) * among // max(1, min(among, count))
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def representative(labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` images that stand for all, in ascending order: of each class its share, evenly over the order.

    The mean ELBO of 5,000 training images of MNIST is 0.3 nats from that of all (root mean square of the draws of 200
    seeds), where it is 0.4 without regard to the classes.
    """
    return np.sort(np.argsort(labels, kind="stable")[evenly(len(labels), count)])


def as_bytes(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8; a likelihood may go beyond, a picture cannot."""
    return (images.float().clamp(0, 1) * 255).round().byte().cpu().numpy()


class TrainingBatches:
    """An epoch of training batches, in an order and with drawn pixels that depend on (seed, epoch) alone.

    Each process of `world` draws for the whole step and takes its share by `rank`, so that the number of processes
    does not change what is seen. Images that do not fill a last step wait for another epoch's order.
    """

    def __init__(self, data: "ImageData", images: Tensor, labels: Tensor, rank: int, world: int):
        self.data, self.images, self.labels = data, images, labels
        size = data.step_size()
        self.share = slice(rank * size, (rank + 1) * size)
        self.step = world * size
        if len(images) < self.step:
            raise UserError(f"a step takes {self.step} images, but there are {len(images)}: reduce data.batch_size")

    def __len__(self) -> int:
        return len(self.images) // self.step

    def __iter__(self) -> Iterator[Batch]:
        epoch, device = self.data.trainer.current_epoch, self.images.device
        random = noise.generator(self.data.seed, "training images", epoch, device=device)
        order = torch.randperm(len(self.images), generator=random, device=device)
        for rows in order[: len(self) * self.step].split(self.step):
            if self.data.pixels == "binary":
                # P(r < intensity) = intensity / 255 for r uniform on 0..254
                threshold = torch.empty((len(rows), *self.images.shape[1:]), dtype=torch.uint8, device=device)
                threshold.random_(0, 255, generator=random)
                mine = rows[self.share]
                x = (threshold[self.share] < self.images.index_select(0, mine)).float()
            else:
                mine = rows[self.share]
                x = self.images.index_select(0, mine).float()
                if self.data.pixels == "dequantized":
                    u = torch.rand((len(rows), *self.images.shape[1:]), device=device, generator=random)
                    x.add_(u[self.share]).div_(256).clamp_(max=1 - 2**-24)
                else:
                    x.div_(255)
            yield Batch(x, self.labels.index_select(0, mine), mine)


class EvaluationBatches:
    """All images of a split in their order, always the same pixels."""

    def __init__(self, images: Tensor, labels: Tensor, size: int = EVALUATION_BATCH):
        self.images, self.labels, self.size = images, labels, size

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        index = torch.arange(len(self.images), device=self.images.device)
        for rows in index.tensor_split(len(self)):  # of one size: a last batch of few images would be worth less
            yield Batch(as_input(self.images[rows]), self.labels[rows], rows)


class ImageData(lightning.LightningDataModule):
    """Training, validation and test images of a source.

    pixels: `binary`: 0 or 1, drawn from the intensities; `dequantized`: (k + u) / 256 for the level k, u uniform, which
        is what a density is a density of; `levels`: k / 255. Drawn anew each time for training, once for the rest
    batch_size: images a step, in each process; all of them where there are fewer
    """

    def __init__(self, images: Images, pixels: Literal["binary", "dequantized", "levels"], batch_size: int, seed: int):
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number, 1 or more, got {batch_size}")
        self.source, self.pixels, self.batch_size, self.seed = images, pixels, batch_size, seed
        self.val, self.test = images.val, images.test
        rows = representative(images.train.labels, TRAINING_SUBSET)
        subset = Split(images.train.images[rows], images.train.labels[rows])
        if pixels == "binary":
            val, test = draw_binary(images.val.images, images.test.images)
            self.val, self.test = Split(val, images.val.labels), Split(test, images.test.labels)
            subset = Split(prepared(subset.images, pixels, DRAWS["train"]), subset.labels)
        elif pixels == "dequantized":
            self.val, self.test, subset = (
                Split(dequantized(split.images, DRAWS[name]), split.labels)
                for name, split in (("val", self.val), ("test", self.test), ("train", subset))
            )
        self.train_subset = subset

    def described(self) -> dict[str, Any]:
        """Name, where it was found, images a split, labels left out, and the fingerprint of what was found."""
        source = self.source
        sizes = {name: len(getattr(source, name).images) for name in ("train", "val", "test")}
        found = {"name": source.name, "origin": source.origin, **sizes, "without": list(source.without)}
        return found | {"fingerprint": source.fingerprint}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch as it is: its images lie on the device already."""
        return batch

    def step_size(self) -> int:
        """Images a step in each process: `batch_size`, or all training images where there are fewer."""
        return min(self.batch_size, len(self.source.train.images))

    def images_per_step(self) -> int:
        """Images that all processes together see in a step."""
        return self.step_size() * self.trainer.world_size

    def on_device(self, split: Split) -> tuple[Tensor, Tensor]:
        """A split's images and labels, on the device that trains."""
        device = self.trainer.strategy.root_device
        return torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device)

    def train_dataloader(self) -> TrainingBatches:
        images, labels = self.on_device(self.source.train)
        if self.step_size() < self.batch_size:
            log.warning("data.batch_size=%d, but a step takes all %d training images", self.batch_size, len(images))
        return TrainingBatches(self, images, labels, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> list[EvaluationBatches]:
        """The validation images, and a fixed subset of the training images evaluated alike."""
        return [EvaluationBatches(*self.on_device(split)) for split in (self.val, self.train_subset)]

    def test_dataloader(self) -> list[EvaluationBatches]:
        """The test images, and the validation images again: this time for the checkpoint that was chosen."""
        return [EvaluationBatches(*self.on_device(split)) for split in (self.test, self.val)]
