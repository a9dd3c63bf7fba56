"""What tells the posterior from the prior: KL(q, p), one dimension's share of it, and the distance of their samples."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from src.models.bounds import bounded

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the MMD's kernels, around the distance of two codes of N(0, I)


def kl(q: Distribution, p: Distribution, z: Tensor, log_q: Tensor) -> Tensor:
    """KL(q(z|x), p(z)) in nats, (B,), or where no closed form is known its one-sample estimate log q - log p at z.

    z (K, B, D) and log_q (K, B) are samples of q and their density; the estimate has shape (K, B).
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return sampled_kl(p, z, log_q)


def sampled_kl(p: Distribution, z: Tensor, log_q: Tensor) -> Tensor:
    """log q(z|x) - log p(z) in nats, (K, B): unbiased for KL(q, p) when z is drawn from q."""
    return log_q - p.log_prob(z)


def kl_per_dim(q: Distribution, p: Distribution) -> Tensor:
    """KL of each latent dimension in nats, (B, D); its sum over D is KL(q, p).

    Raises TypeError where q or p does not factorise over the dimensions, or no closed form is known.
    """
    try:
        return kl_divergence(*factors(q, p))
    except NotImplementedError as error:
        names = f"{type(q).__name__} and {type(p).__name__}"
        raise TypeError(f"no closed form of the KL of {names} is known: take samples, objective.kl=sample") from error


def sampled_kl_per_dim(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """log q(z_d|x) - log p(z_d) in nats for z (K, B, D), of that shape: unbiased for each dimension's KL.

    Raises TypeError where q or p does not factorise over the dimensions.
    """
    q, p = factors(q, p)
    return q.log_prob(z) - p.log_prob(z)


def factors(q: Distribution, p: Distribution) -> tuple[Distribution, Distribution]:
    """The distributions of single dimensions that q and p are the products of. Raises TypeError if they are not."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        names = f"{type(q).__name__} and {type(p).__name__}"
        raise TypeError(f"KL per dimension needs a posterior and a prior that factorise, not {names}")
    return q.base_dist, p.base_dist


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of the distributions that a (N, D) and b (N, D) are samples of, a scalar.

    Unbiased, so it may fall below zero: E k(a, a') + E k(b, b') - 2 E k(a, b) over pairs of different samples, with
    k(u, v) = mean_s C / (C + |u - v|^2), C = 2 D s, for s in SCALES (Tolstikhin et al., 2018). Needs N >= 2.
    """
    n = len(a)
    both = bounded(torch.cat([a, b]))
    squares = both.square().sum(1)
    with torch.autocast(both.device.type, enabled=False):
        distances = (squares[:, None] + squares - 2 * both @ both.T).clamp(min=0)
    sizes = [2 * a.shape[1] * scale for scale in SCALES]
    kernel = sum(size / (size + distances) for size in sizes) / len(sizes)
    within = sum(block.sum() - block.diagonal().sum() for block in (kernel[:n, :n], kernel[n:, n:]))
    return within / (n * (n - 1)) - 2 * kernel[:n, n:].mean()
