"""Numbers that describe a VAE."""

import numpy as np

ACTIVE = 0.01  # variance of the posterior mean over images, above which a dimension counts (Burda et al., 2016)


def active_units(means: np.ndarray) -> int:
    """How many latent dimensions vary with the image: Var_x(E_q[z_d | x]) > 0.01, from posterior means (N, D)."""
    return int((means.var(0, dtype=np.float64) > ACTIVE).sum())
