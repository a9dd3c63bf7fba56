"""Divergences between posterior and prior: KL(q, p), the KL of each dimension, and the MMD of their samples."""

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from src.models.bounds import clamp_location
from src.models.distributions import CodeDistribution

# Scales of the MMD's kernels, relative to the mean squared distance between two codes of N(0, I).
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kl(q: CodeDistribution, p: CodeDistribution) -> Tensor | None:
    """KL(q(z|x), p(z)) in nats, (B,); None where no closed form is known, as for a flow prior, whose KL `Draws.kl`
    estimates from samples."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def kl_per_dim(q: CodeDistribution, p: CodeDistribution) -> Tensor:
    """The KL of each latent dimension in nats, (B, D); its sum over D is KL(q, p).

    Raises TypeError where q or p does not factorise over the dimensions, or no closed form is known.
    """
    try:
        return kl_divergence(*factors(q, p))
    except NotImplementedError as error:
        names = f"{q.name} and {p.name}"
        raise TypeError(f"no closed form of the KL of {names} is known: take samples, objective.kl=sample") from error


def sampled_kl_per_dim(q: CodeDistribution, p: CodeDistribution, z: Tensor) -> Tensor:
    """log q(z_d|x) - log p(z_d) in nats for z (K, B, D), of that shape: unbiased for the KL of each dimension.

    Raises TypeError where q or p does not factorise over the dimensions.
    """
    q_of_dim, p_of_dim = factors(q, p)
    return q_of_dim.log_prob(z) - p_of_dim.log_prob(z)


def factors(q: CodeDistribution, p: CodeDistribution) -> tuple[Distribution, Distribution]:
    """The distributions of single dimensions whose products q and p are. Raises TypeError if they are not products."""
    q_of_dim, p_of_dim = q.factors(), p.factors()
    if q_of_dim is None or p_of_dim is None:
        raise TypeError(f"KL per dimension needs a posterior and a prior that factorise, not {q.name} and {p.name}")
    return q_of_dim, p_of_dim


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of the distributions that a (N, D) and b (N, D) are samples of, a scalar.

    Unbiased, so it may fall below zero: E k(a, a') + E k(b, b') - 2 E k(a, b) over pairs of different samples, with
    k(u, v) = mean_s C / (C + |u - v|^2), C = 2 D s, for s in SCALES (Tolstikhin et al., 2018). Needs N >= 2.
    """
    n = len(a)
    both = clamp_location(torch.cat([a, b]))
    squares = both.square().sum(1)
    with torch.autocast(both.device.type, enabled=False):
        distances = (squares[:, None] + squares - 2 * both @ both.T).clamp(min=0)
    sizes = [2 * a.shape[1] * scale for scale in SCALES]
    kernel = torch.zeros_like(distances)
    for size in sizes:
        kernel = kernel + size / (size + distances)
    kernel = kernel / len(sizes)
    within = sum(block.sum() - block.diagonal().sum() for block in (kernel[:n, :n], kernel[n:, n:]))
    return within / (n * (n - 1)) - 2 * kernel[:n, n:].mean()
