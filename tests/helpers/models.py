"""Small VAEs, among them one whose p(x) and p(z|x) are known exactly."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from src.models import priors
from src.models.autoregressive import Autoregressive
from src.models.conditions import Label
from src.models.likelihoods import Bernoulli, ContinuousBernoulli, Logistic256
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.posteriors import Flow, Full, Gaussian
from src.models.vae import VAE

SIGMA = 0.4
# the density of each part listed here is tested, by itself and in combination with all other parts
POSTERIORS = {"gaussian": Gaussian, "full": Full, "flow": Flow}
PRIORS = {
    "standard": lambda latent_dim: priors.Standard(latent_dim),
    "mixture": lambda latent_dim: priors.Mixture(latent_dim, 4),
    "vamp": lambda latent_dim: priors.Vamp((1, 4, 4), 5),
    "coupling": lambda latent_dim: priors.Flow(latent_dim, "coupling", 3, (8,)),
    "autoregressive": lambda latent_dim: priors.Flow(latent_dim, "autoregressive", 2, (8,)),
}
FACTORISED = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    **{f"gaussian_{s}": lambda s=s: GaussianLikelihood(s) for s in ("learned", "per_pixel", "optimal", 0.002)},
    "logistic256": Logistic256,
}
LIKELIHOODS = {
    **FACTORISED,
    **{
        f"autoregressive_{p}": lambda p=p: Autoregressive(p, (1, 4, 4), features=3, field=3, samples=2)
        for p in ("bernoulli", "logistic256")
    },
}

# the options that make each network of conf/model small
TINY_NETWORKS = {
    "conv": ["model.encoder.channels=[3,4]", "model.encoder.hidden=5", "model.encoder.depth=2"],
    "gated_mlp": ["model.encoder.hidden=[6,5]"],
    "mlp": ["model.encoder.hidden=[6,6]", "model.decoder.hidden=[6,6]"],
    "ladder": [
        "model.encoder.channels=[3,4]",
        "model.decoder.top=6",
        "model.decoder.hidden=5",
        "model.decoder.latents=[1,2]",
    ],
    "resnet": ["model.encoder.channels=[3,4]", "model.encoder.hidden=5", "model.encoder.depth=1"],
}


def linear_gaussian(
    pixels: int = 6,
    latents: int = 3,
    error: float = 0.0,
    posterior: Literal["gaussian", "full", "flow"] = "gaussian",
    correlated: bool = False,
) -> tuple[VAE, MultivariateNormal]:
    """Probabilistic PCA as a VAE, and its p(x).

    x = W z + b + sigma e; p(x) = N(b, W W' + sigma^2 I); p(z|x) = N(S W'(x - b) / sigma^2, S)
    with S = (I + W'W / sigma^2)^-1. The loadings W are orthogonal, so that S is diagonal, unless `correlated`; the
    encoder gives p(z|x), or what of it its posterior can hold (of `gaussian` the best: the precision's diagonal), with
    random numbers of the size `error` added to its weights.
    """
    w = torch.linalg.qr(torch.randn(pixels, latents))[0] * torch.tensor([2.0, 1.0, 0.5])[:latents]
    if correlated:
        w = w @ (torch.eye(latents) + 0.8 * torch.ones(latents, latents))
    b = torch.randn(pixels)
    precision = torch.eye(latents) + w.T @ w / SIGMA**2
    s = precision.inverse()
    below = torch.tril_indices(latents, latents, -1)

    def spread(head: nn.Module) -> Tensor:
        """The encoder's output for the covariance."""
        if isinstance(head, Full):
            scale = torch.linalg.cholesky(s)
            return torch.cat([2 * scale.diagonal().log(), (scale / scale.diagonal()[:, None])[*below]])
        return torch.cat([-precision.diagonal().log(), torch.zeros(head.in_features - 2 * latents)])

    def encoder(shape: tuple, out_features: int) -> nn.Module:
        layer = nn.Linear(pixels, out_features)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[:latents] = s @ w.T / SIGMA**2
            layer.bias[:latents] = -layer.weight[:latents] @ b
            layer.bias[latents:] = spread(head)
            layer.weight += error * torch.randn_like(layer.weight)
        return nn.Sequential(nn.Flatten(), layer)

    def decoder(in_features: int, shape: tuple) -> nn.Module:
        layer = nn.Linear(latents, pixels)
        with torch.no_grad():
            layer.weight.copy_(w)
            layer.bias.copy_(b)
        return nn.Sequential(layer, nn.Unflatten(1, shape))

    head = POSTERIORS[posterior](latents)
    vae = VAE((1, 1, pixels), latents, encoder, decoder, head, priors.Standard(latents), GaussianLikelihood(SIGMA))
    return vae, MultivariateNormal(b, w @ w.T + SIGMA**2 * torch.eye(pixels))


def conditional(
    posterior: nn.Module | None = None,
    prior: nn.Module | None = None,
    likelihood: nn.Module | None = None,
    own_prior: str = "none",
) -> VAE:
    """A VAE of 3 latents and 4 x 4 pixels that is conditional on four labels, perhaps in its prior too."""
    condition = Label((1, 4, 4), 3, list("abcd"), own_prior)
    with torch.no_grad():
        for weight in [] if condition.codes is None else condition.codes.parameters():
            weight.normal_(0, 0.3)
    parts = (posterior or Gaussian(3), prior or priors.Standard(3), likelihood or Bernoulli())
    return small(*parts, condition=condition)


def small(
    posterior: nn.Module,
    prior: nn.Module,
    likelihood: nn.Module,
    latents: int = 3,
    condition: Label | None = None,
) -> VAE:
    """A VAE of 4 x 4 pixels with a hidden layer in encoder and decoder."""

    def encoder(shape: tuple, out_features: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16 * shape[0], 8), nn.Tanh(), nn.Linear(8, out_features))

    def decoder(in_features: int, shape: tuple) -> nn.Module:
        size = shape[0] * 16
        return nn.Sequential(nn.Linear(in_features, 8), nn.Tanh(), nn.Linear(8, size), nn.Unflatten(1, shape))

    return VAE((1, 4, 4), latents, encoder, decoder, posterior, prior, likelihood, condition=condition)


def binary_vae(latents: int = 3) -> tuple[VAE, Tensor, Tensor]:
    """A small VAE, a batch of 12 binary images and noise (1, 12, D) for it."""
    vae = small(Gaussian(latents), priors.Standard(latents), Bernoulli(), latents)
    return vae, (torch.rand(12, 1, 4, 4) < 0.5).double(), torch.randn(1, 12, latents)
