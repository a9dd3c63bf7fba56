"""Batches by indexing: all images are one tensor on the device, and no worker process is needed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from src.data.pixels import BELOW_ONE, Pixels, as_input
from src.support import noise
from src.support.errors import UserError

if TYPE_CHECKING:
    from src.data.module import ImageData

EVALUATION_BATCH = 500  # large enough to be fast, small enough to stay in memory on any machine


class Batch(NamedTuple):
    """Images x (B, C, H, W) float in [0, 1], their labels y (B,), and their rows `index` (B,) within the split."""

    x: Tensor
    y: Tensor
    index: Tensor


class TrainingBatches:
    """An epoch of training batches, whose order and drawn pixels depend on (seed, epoch) alone.

    Each process of `world` draws for the whole step and takes its share by `rank`, so that the number of processes
    does not change what is seen. Images that do not fill a last step are left out of the epoch.
    """

    def __init__(self, data: "ImageData", images: Tensor, labels: Tensor, rank: int, world: int) -> None:
        self.data, self.images, self.labels = data, images, labels
        size = data.step_size()
        self.share = slice(rank * size, (rank + 1) * size)
        self.step = world * size
        if len(images) < self.step:
            raise UserError(f"a step takes {self.step} images, but there are {len(images)}: reduce data.batch_size")

    def __len__(self) -> int:
        return len(self.images) // self.step

    def __iter__(self) -> Iterator[Batch]:
        device = self.images.device
        random = noise.generator(self.data.seed, "training images", self.data.trainer.current_epoch, device=device)
        order = torch.randperm(len(self.images), generator=random, device=device)
        for rows in order[: len(self) * self.step].split(self.step):
            own = rows[self.share]
            yield Batch(self.draw(rows, random), self.labels.index_select(0, own), own)

    def draw(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Draw the pixels of this process's share of a step; `rows` are those of all processes."""
        images, shape = self.images.index_select(0, rows[self.share]), (len(rows), *self.images.shape[1:])
        if self.data.pixels == Pixels.BINARY:
            # P(r < intensity) = intensity / 255 for r uniform on 0..254
            threshold = torch.empty(shape, dtype=torch.uint8, device=images.device).random_(0, 255, generator=random)
            return (threshold[self.share] < images).float()
        if self.data.pixels == Pixels.DEQUANTIZED:
            u = torch.rand(shape, device=images.device, generator=random)
            return images.float().add_(u[self.share]).div_(256).clamp_(max=BELOW_ONE)
        return images.float().div_(255)


class EvaluationBatches:
    """All images of a split in their order, with the same pixels every time."""

    def __init__(self, images: Tensor, labels: Tensor, size: int = EVALUATION_BATCH) -> None:
        self.images, self.labels, self.size = images, labels, size

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        index = torch.arange(len(self.images), device=self.images.device)
        # equal sizes: a last batch of few images would estimate a batch-level penalty poorly
        for rows in index.tensor_split(len(self)):
            yield Batch(as_input(self.images[rows]), self.labels[rows], rows)
