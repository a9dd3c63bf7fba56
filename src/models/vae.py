"""The VAE: three distributions, and nothing about how they are trained."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

ROUNDING = 1e-3  # by which images may leave [0, 1]


class VAE(nn.Module):
    """q(z|x), p(x|z) and p(z), each a torch distribution whose log_prob sums over pixels or latents.

    shape: of an image, (C, H, W)
    encoder: called with (shape, out_features), gives a module (B, C, H, W) -> (B, out_features)
    decoder: called with (in_features, shape), gives a module (B, in_features) -> (B, *shape)
    posterior, prior, likelihood: modules of posteriors.py, priors.py, likelihoods.py, which fix the networks' widths
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent_dim: int,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        posterior: nn.Module,
        prior: nn.Module,
        likelihood: nn.Module,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.posterior, self.prior_head, self.likelihood = posterior, prior, likelihood
        channels, height, width = shape
        self.encoder = encoder((channels, height, width), posterior.in_features)
        self.decoder = decoder(latent_dim, (likelihood.channels * channels, height, width))

    def encode(self, x: Tensor) -> Distribution:
        """q(z|x) for images x (B, C, H, W), floats in [0, 1], unchecked; a distribution over codes (B, D)."""
        return self.posterior(at_least_float32(self.encoder(x)))

    def prior(self) -> Distribution:
        """p(z); a distribution over codes (D,)."""
        return self.prior_head(self.encode)

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z) for codes z (..., D); a distribution over images (..., C, H, W)."""
        raw = at_least_float32(self.decoder(z.flatten(0, -2)))
        return self.likelihood(raw.unflatten(0, z.shape[:-1]))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n images (n, C, H, W): the means of p(x|z) at codes from the prior."""
        return self.decode(self.prior().sample((n,))).mean

    @torch.no_grad()
    def embed(self, x: Tensor) -> Tensor:
        """The codes (B, D) of images x (B, C, H, W): the means of q(z|x).

        x: floats from 0 (black) to 1 (white); bytes must be divided by 255, and the means of a density on greys, which
        may lie a little beyond, clamped. Raises ValueError for other types and ranges.
        """
        check_images(x)
        return self.encode(x).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images x (B, C, H, W), floats in [0, 1] as for `embed`, as the mean of p(x|z) at their codes, of that shape.

        The mean of a density on greys may lie a little beyond that range.
        """
        return self.decode(self.embed(x)).mean


def check_images(x: Tensor) -> None:
    """Raises ValueError for images that are not floats in [0, 1], and says what makes them so."""
    if not x.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1], got {x.dtype}: divide levels of 0 to 255 by 255")
    if not x.numel():
        return
    low, high = (float(level) for level in torch.aminmax(x))
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        if low >= 0 and high <= 255:
            remedy = "x / 255" if high > 128 else f"x / {high:.4g}, if that is white"
        else:
            remedy = "(x + 1) / 2" if low >= -1 and high <= 1 else "scale them; means of a density, use x.clamp(0, 1)"
        raise ValueError(f"images must be floats in [0, 1], got levels from {low:.4g} to {high:.4g}: {remedy}")


def at_least_float32(raw: Tensor) -> Tensor:
    """What a network gives under autocast, in float32: a KL of 25 nats has steps of 1/8 in bf16."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))
