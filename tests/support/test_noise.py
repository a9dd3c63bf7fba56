"""Noise depends on its address alone."""

import torch

from src.support import noise
from src.support.noise import Noise


def test_an_image_meets_the_same_noise_however_it_is_batched():
    like = torch.empty(0)
    whole = Noise(3).normal(torch.arange(250), 2, 5, like=like)
    assert whole.shape == (2, 250, 5)
    assert torch.equal(Noise(3).normal(torch.tensor([249, 7, 100, 7]), 2, 5, like=like), whole[:, [249, 7, 100, 7]])


def test_images_come_before_the_last_dimension():
    index, like = torch.arange(7), torch.empty(0, dtype=torch.float64)
    flat, plain = Noise(1).normal(index, 24, like=like), Noise(1).normal(index, 2, 3, 4, like=like)
    assert flat.shape == (7, 24) and plain.shape == (2, 3, 7, 4)
    assert plain.dtype == torch.float64
    assert torch.equal(plain.movedim(-2, 0).flatten(1), flat)


def test_an_address_within_another_is_hashed_at_once():
    assert Noise(5).at("scores", 3).seed == noise.seed_of(5, "scores", 3)
    assert Noise(5).at("a").at("b").seed == noise.seed_of(noise.seed_of(5, "a"), "b")


def test_seeds_and_images_differ():
    a, b = (Noise(seed).normal(torch.arange(300), 4, like=torch.empty(0)) for seed in (0, 1))
    assert len(torch.cat([a, b]).unique(dim=0)) == 600


def test_noise_is_standard_normal():
    drawn = Noise(0).normal(torch.arange(50_000), 4, like=torch.empty(0)).double()
    assert abs(drawn.mean()) < 4 / drawn.numel() ** 0.5
    assert abs(drawn.var() - 1) < 4 * (2 / drawn.numel()) ** 0.5


def test_addresses_do_not_collide():
    addresses = [(s, name, e) for s in range(20) for name in ("a", "b") for e in range(20)]
    addresses += [(s,) for s in range(20)] + [(s, 0) for s in range(20)]
    assert len({noise.seed_of(*address) for address in addresses}) == len(addresses)
