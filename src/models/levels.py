"""The shapes of a hierarchy's codes, by its options alone: PyTorch is not imported for them."""

import math
from collections.abc import Sequence

Shape = tuple[int, int, int]


def maps(shape: Sequence[int], channels: Sequence[int]) -> list[Shape]:
    """The shapes (channels, H, W) of the features of an image, padded to what the strides divide, at each resolution.

    shape: of the image, (C, H, W); channels: at half of its sides, at a quarter, and so on
    """
    height, width = (side + -side % 2 ** len(channels) for side in shape[1:])
    return [(count, height // 2**i, width // 2**i) for i, count in enumerate(channels, start=1)]


def level_groups(
    shape: Sequence[int], channels: Sequence[int], levels: Sequence[int], latents: Sequence[int]
) -> list[tuple[int, Shape]]:
    """The number of levels, and the shape (latents, H, W) of the code of each, at each resolution, from the lowest.

    levels, latents: in the order of the channels. Raises ValueError for lists that are not as long as that of these
    """
    if not len(levels) == len(latents) == len(channels):
        lists = ", ".join(f"{name}={list(each)}" for name, each in (("levels", levels), ("latents", latents)))
        raise ValueError(f"{lists} and channels={list(channels)} must be of one length, one number a resolution")
    each = list(zip(maps(shape, channels), levels, latents, strict=True))
    return [(count, (width, *size[1:])) for size, count, width in reversed(each)]


def level_shapes(
    shape: Sequence[int], channels: Sequence[int], levels: Sequence[int], latents: Sequence[int], top: int
) -> list[tuple[int, ...]]:
    """The shapes of all levels' codes, from the top: (top,), and those of `level_groups`."""
    groups = level_groups(shape, channels, levels, latents)
    return [(top,), *(code for count, code in groups for _ in range(count))]


def count_latents(
    shape: Sequence[int], channels: Sequence[int], levels: Sequence[int], latents: Sequence[int], top: int
) -> int:
    """The dimensions of all levels together; raises ValueError as `level_groups` does."""
    return top + sum(count * math.prod(code) for count, code in level_groups(shape, channels, levels, latents))
