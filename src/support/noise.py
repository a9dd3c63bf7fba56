"""Random numbers with an address: what is drawn depends on where it belongs, never on what was drawn before."""

import zlib

import numpy as np
import torch
from torch import Tensor

BLOCK = 100  # images that share a generator: seeding one an image would cost more than the draws


def seed_of(*address: int | str) -> int:
    """A 64-bit seed for an address such as (seed, "order", epoch); addresses that differ give independent streams."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in address]
    # with its length, since to NumPy trailing zeros are the same as none
    return int(np.random.SeedSequence([len(words), *words]).generate_state(1, np.uint64)[0])


def generator(*address: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by its address."""
    return torch.Generator(device).manual_seed(seed_of(*address))


def normal(seed: int, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise (B, *shape) for the images `index` (B,), a function of (seed, image index) alone.

    However the images are cut into batches or shared among processes, an image always meets the same noise.
    """
    index = index.cpu()
    blocks, position = torch.unique(index // BLOCK, return_inverse=True)
    noise = torch.stack([torch.randn(BLOCK, *shape, generator=generator(seed, b)) for b in blocks.tolist()])
    return noise[position, index % BLOCK]
