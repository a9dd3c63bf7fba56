"""The shapes of a hierarchy's codes, by its options alone: PyTorch is not imported for them."""

from collections.abc import Sequence

Shape = tuple[int, int, int]


def maps(shape: Sequence[int], channels: Sequence[int]) -> list[Shape]:
    """The shapes (channels, H, W) of the features of an image, padded to what the strides divide, at each resolution.

    shape: of the image, (C, H, W); channels: at half of its sides, at a quarter, and so on
    """
    height, width = (side + -side % 2 ** len(channels) for side in shape[1:])
    return [(count, height // 2**i, width // 2**i) for i, count in enumerate(channels, start=1)]


def level_shapes(
    shape: Sequence[int], channels: Sequence[int], levels: Sequence[int], latents: Sequence[int]
) -> list[Shape]:
    """The shapes (latents, H, W) of the levels' codes, from the top.

    levels, latents: their number, and the channels of their codes, at each resolution. Raises ValueError for lists that
        are not as long as that of the channels, and for no level at the top, which leaves its features unused
    """
    if not len(levels) == len(latents) == len(channels):
        lists = ", ".join(f"{name}={list(each)}" for name, each in (("levels", levels), ("latents", latents)))
        raise ValueError(f"{lists} and channels={list(channels)} must be of one length, one number a resolution")
    if not levels or not levels[-1]:
        raise ValueError(f"levels={list(levels)} has none at the top: leave the last of the channels out")
    each = zip(maps(shape, channels), levels, latents, strict=True)
    return [(width, *size[1:]) for size, count, width in reversed(list(each)) for _ in range(count)]
