"""Source code of parts as a user would write them, a string for each module."""

OWN_ENCODER = """
from torch import nn

class Encoder(nn.Sequential):
    def __init__(self, shape, out_features, hidden, activation, residual):
        assert type(hidden) is list
        super().__init__(nn.Flatten(), nn.Dropout(0.4), nn.BatchNorm1d(784), nn.Linear(784, out_features))
"""

OWN_PARTS = '''
import math
import sys

import torch
from torch import nn
from torch.distributions import Independent, Normal, constraints

from src.models.gaussians import DiagonalGaussian
from src.training.objectives import Terms

NUMBER = 3


class Net(nn.Sequential):
    def __init__(self, shape, out_features):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), out_features))


class Wide(nn.Sequential):
    def __init__(self, shape, out_features, *, width: int = 8):
        self.width = width
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), width), nn.Linear(width, out_features))


class Anything(nn.Sequential):
    def __init__(self, shape, out_features, **options):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), out_features))
        self.options = options


class Decoder(nn.Sequential):
    def __init__(self, in_features, shape, end=None):
        layers = [nn.Linear(in_features, math.prod(shape)), nn.Unflatten(1, shape)]
        super().__init__(*layers, *([getattr(nn, end)()] if end else []))


class Returns(Net):
    """What it returns is changed as `how` says."""

    def __init__(self, shape, out_features, how):
        super().__init__(shape, out_features)
        self.how = how

    def forward(self, x):
        raw = super().forward(x)
        return {
            "narrow": lambda: raw[:, :5],
            "tuple": lambda: raw.chunk(2, 1),
            "dict": lambda: {"mu": raw},
            "none": lambda: None,
            "double": lambda: raw.double(),
            "integer": lambda: raw.long(),
            "infinite": lambda: raw / 0,
            "square": lambda: raw[:, :, None],
            "batchless": lambda: raw[0],
            "detached": lambda: raw.detach(),
            "raises": lambda: {}["key"],
            "inplace": lambda: torch.exp(raw).add_(1).sigmoid_() * raw.exp_(),
        }[self.how]()


class ReturnsImages(Decoder):
    def __init__(self, in_features, shape, how):
        super().__init__(in_features, shape)
        self.how = how

    def forward(self, z):
        raw = super().forward(z)
        return raw.permute(0, 2, 3, 1) if self.how == "last" else raw.flatten(1)


class Normalised(nn.Sequential):
    def __init__(self, shape, out_features):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), nn.Linear(8, out_features))


class Broken(nn.Module):
    def __init__(self, shape, out_features):
        super().__init__()
        self.table = {}[out_features]


class Bare(nn.Module):
    def __init__(self):
        super().__init__()


def nothing(shape, out_features):
    return None


class Posterior(nn.Module):
    """Without what it must say of itself."""


class Loose(nn.Module):
    """Its log_prob does not sum over the codes."""

    def __init__(self, latent_dim):
        super().__init__()
        self.in_features = 2 * latent_dim

    def forward(self, raw):
        mu, logvar = raw.chunk(2, -1)
        q = Normal(mu, torch.exp(0.5 * logvar))
        q.rsample_and_log_prob = lambda noise: (mu + q.scale * noise, q.log_prob(mu + q.scale * noise))
        return q


class Prior(nn.Module):
    """Without a latent_dim."""

    def forward(self, encode):
        return DiagonalGaussian(torch.zeros(3), torch.ones(3))


class Likelihood(nn.Module):
    channels, support = 1, constraints.boolean

    def forward(self, raw):
        return Normal(raw, 1.0)


class Objective:
    samples, scheduled = 1, {}

    def __call__(self, vae, x, noise, weight=1.0):
        return self.loss(vae, x)

    def loss(self, vae, x):
        return x.mean()


class Mean(Objective):
    def loss(self, vae, x):
        return Terms(x.mean(), x.mean(), x.mean(), None, None)


class Unnamed:
    def __call__(self, vae, x, noise, weight=1.0):
        return None


def schedule():
    return lambda epoch, step: {}[epoch]


def endless():
    return lambda epoch, step: epoch


def rate():
    return lambda done: None


def optimizer(params, lr):
    raise RuntimeError("no optimizer today")


def callback():
    return object()
'''
