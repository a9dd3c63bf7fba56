"""Numbers that describe a VAE."""

from torch import Tensor

ACTIVE = 0.01  # variance of the posterior mean over images, above which a dimension counts (Burda et al., 2016)


def active_units(means: Tensor) -> int:
    """How many latent dimensions vary with the image: Var_x(E_q[z_d | x]) > 0.01, from posterior means (N, D)."""
    return int((means.double().var(0, correction=0) > ACTIVE).sum())
