"""Random numbers with an address: each depends on its address alone, never on what was drawn before."""

import zlib

import numpy as np
import torch
from torch import Tensor

BLOCK = 100  # images that share a generator: seeding one for each image would take longer than drawing its numbers


def seed_of(*address: int | str) -> int:
    """A 64-bit seed for an address such as (seed, "order", epoch); different addresses give independent streams."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in address]
    # the length is included because NumPy ignores trailing zeros
    return int(np.random.SeedSequence([len(words), *words]).generate_state(1, np.uint64)[0])


def generator(*address: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by its address."""
    return torch.Generator(device).manual_seed(seed_of(*address))


class Noise:
    """Standard normal noise, a function of (seed, address, index of the image) alone.

    However images are divided into batches or shared among processes, an image always meets the same noise.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def at(self, *address: int | str) -> "Noise":
        """The noise of an address within this one, independent of that of others."""
        return Noise(seed_of(self.seed, *address))

    def normal(self, index: Tensor, *shape: int, like: Tensor) -> Tensor:
        """Noise for the images `index` (B,): (K, B, D) for the shape K, D; the images come before the last dimension.

        like: a tensor with the dtype and device of the noise
        """
        index = index.cpu()
        blocks, position = torch.unique(index // BLOCK, return_inverse=True)
        noise = torch.stack([torch.randn(BLOCK, *shape, generator=generator(self.seed, b)) for b in blocks.tolist()])
        return noise[position, index % BLOCK].movedim(0, -2 if len(shape) > 1 else 0).to(like)
