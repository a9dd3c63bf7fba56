"""Batches made of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.data.batches import Batch


def as_batch(images: Tensor, index: Sequence[int] | Tensor | None = None) -> Batch:
    """Images (B, ...) or flat pixels (B, D) as a batch of one class; their rows are 0, 1, ... if not given."""
    x = images[:, None, None] if images.dim() == 2 else images
    index = torch.arange(len(x)) if index is None else torch.as_tensor(index)
    return Batch(x, torch.zeros(len(x), dtype=torch.long), index)


def select(batch: Batch, rows: Tensor | slice) -> Batch:
    """Some rows of a batch."""
    return Batch(*(each[rows] for each in batch))
