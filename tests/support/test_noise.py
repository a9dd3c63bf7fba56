"""Noise depends on its address alone."""

import torch

from src.support import noise


def test_an_image_meets_the_same_noise_however_it_is_batched():
    whole = noise.normal(3, torch.arange(250), (2, 5))
    assert whole.shape == (250, 2, 5)
    assert torch.equal(noise.normal(3, torch.tensor([249, 7, 100, 7]), (2, 5)), whole[[249, 7, 100, 7]])


def test_seeds_and_images_differ():
    a, b = noise.normal(0, torch.arange(300), (4,)), noise.normal(1, torch.arange(300), (4,))
    assert len(torch.cat([a, b]).unique(dim=0)) == 600


def test_noise_is_standard_normal():
    drawn = noise.normal(0, torch.arange(50_000), (4,)).double()
    assert abs(drawn.mean()) < 4 / drawn.numel() ** 0.5
    assert abs(drawn.var() - 1) < 4 * (2 / drawn.numel()) ** 0.5


def test_addresses_do_not_collide():
    addresses = [(s, name, e) for s in range(20) for name in ("a", "b") for e in range(20)]
    addresses += [(s,) for s in range(20)] + [(s, 0) for s in range(20)]
    assert len({noise.seed_of(*address) for address in addresses}) == len(addresses)
