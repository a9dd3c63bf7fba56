"""Small images, and the batches that a training sees of them."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from src.data.module import ImageData
from src.data.sources import Images, Split


def blobs(count: int, seed: int, size: int = 28) -> Split:
    """Soft discs whose position depends on the label: a small VAE can learn something of these images."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    centre = np.stack([8 + 12 * (labels // 2), 8 + 12 * (labels % 2)], 1) * size / 28 + random.normal(0, 1, (count, 2))
    y, x = np.mgrid[:size, :size]
    distance = (y - centre[:, :1, None]) ** 2 + (x - centre[:, 1:, None]) ** 2
    return Split((255 * np.exp(-distance / 18)).astype(np.uint8)[:, None], labels.astype(np.int64))


def image_data(images: Images, epoch: int = 0, rank: int = 0, world: int = 1, **options) -> ImageData:
    """The batches of `images` as process `rank` of `world` sees them in this epoch."""
    data = ImageData(images, **({"pixels": "binary", "batch_size": 32, "seed": 0} | options))
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank, world_size=world, strategy=strategy)
    return data


def epoch_of(data: ImageData) -> tuple[Tensor, Tensor, Tensor]:
    """The images, labels and indices of all training batches of an epoch."""
    batches = list(data.train_dataloader())
    return torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]), torch.cat([b.index for b in batches])
