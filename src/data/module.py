"""Serves the images of a source to Lightning, with their pixels as the likelihood needs them."""

from typing import Any

import lightning
import torch
from torch import Tensor

from src.data.batches import Batch, EvaluationBatches, TrainingBatches
from src.data.pixels import SEEDS, Pixels, binarize_as_published, prepare
from src.data.selection import stratified_rows
from src.data.sources import Images, Split

TRAINING_SUBSET = 5000  # training images evaluated each epoch: the standard error of MNIST's ELBO is then 0.4 nats


class ImageData(lightning.LightningDataModule):
    """Training, validation and test images of a source.

    Training pixels are drawn anew in each epoch. Those of `val`, `test` and `train_subset`, the training images that
    are evaluated after each epoch, are drawn once.

    pixels: how the gray levels are prepared
    batch_size: images a step, in each process; all of them where there are fewer
    with_test: for False no test image is prepared or measured, and `test` is empty
    """

    def __init__(self, images: Images, pixels: Pixels, batch_size: int, seed: int, with_test: bool = True) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number, 1 or more, got {batch_size}")
        self.source, self.pixels, self.batch_size, self.seed = images, Pixels(pixels), batch_size, seed
        self.measured = ("test", "val") if with_test else ("val",)  # the splits of the best checkpoint's metrics
        unprepared = images.test if with_test else images.test.take(slice(0))
        if self.pixels == Pixels.BINARY:
            val, test = binarize_as_published(images.val.images, unprepared.images)
        else:
            val = prepare(images.val.images, pixels, SEEDS["val"])
            test = prepare(unprepared.images, pixels, SEEDS["test"])
        self.val, self.test = Split(val, images.val.labels), Split(test, unprepared.labels)
        subset = images.train.take(stratified_rows(images.train.labels, TRAINING_SUBSET))
        self.train_subset = Split(prepare(subset.images, pixels, SEEDS["train"]), subset.labels)

    def description(self) -> dict[str, Any]:
        """The source's name and origin, the number of images in each split, excluded labels, notes, the fingerprint."""
        source = self.source
        sizes = {name: len(getattr(source, name).images) for name in ("train", "val", "test")}
        facts = {"name": source.name, "origin": source.origin, **sizes, "without": list(source.without)}
        facts |= {"notes": list(source.notes)} if source.notes else {}
        return facts | {"fingerprint": source.fingerprint}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Leave the batch as it is: its images are on the device already."""
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
        return TrainingBatches(self, images, labels, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> list[EvaluationBatches]:
        """The validation images, and the subset of the training images."""
        return [EvaluationBatches(*self.on_device(split)) for split in (self.val, self.train_subset)]

    def test_dataloader(self) -> list[EvaluationBatches]:
        """The splits that are measured with the selected checkpoint: test images, and again validation images."""
        splits = {"test": self.test, "val": self.val}
        return [EvaluationBatches(*self.on_device(splits[name])) for name in self.measured]
