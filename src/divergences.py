"""KL(q, p) between the posterior and the prior: in closed form where there is one, else from one sample."""

from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence


def kl(q: Distribution, p: Distribution, z: Tensor, log_q: Tensor) -> Tensor:
    """KL(q(z|x), p(z)) in nats, (B,), or where torch knows no closed form its one-sample estimate log q - log p at z.

    z (K, B, D) and log_q (K, B) are samples of q and their density; the estimate has shape (K, B).
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return sampled_kl(p, z, log_q)


def sampled_kl(p: Distribution, z: Tensor, log_q: Tensor) -> Tensor:
    """log q(z|x) - log p(z) in nats, (K, B): unbiased for KL(q, p) when z is drawn from q."""
    return log_q - p.log_prob(z)


def factorises(q: Distribution, p: Distribution) -> bool:
    """Whether KL(q, p) is a sum over latent dimensions."""
    return isinstance(q, Independent) and isinstance(p, Independent)


def kl_per_dim(q: Distribution, p: Distribution) -> Tensor:
    """KL of each latent dimension in nats, (B, D); its sum over D is KL(q, p).

    Raises TypeError, naming both, where q or p does not factorise over the dimensions.
    """
    if not factorises(q, p):
        names = f"{type(q).__name__} and {type(p).__name__}"
        raise TypeError(f"KL per dimension needs a posterior and a prior that factorise, not {names}")
    return kl_divergence(q.base_dist, p.base_dist)
