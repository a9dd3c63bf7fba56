"""Samplers of codes for new images: the prior, or a density fitted after training to the codes of the training images.

A sampler draws codes (n, D) for the labels y (n,) of the images to come, from torch's global generator; `generate`
seeds that generator, draws the labels and decodes. Densities are fitted to draws from the aggregate posterior q(z) =
mean_x q(z|x), not to posterior means: the decoder was trained at draws, and in a dimension that carries no information
on the image the means are all alike, while the draws are as wide as the prior.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import EVALUATION_BATCH
from src.data.pixels import as_bytes, as_input
from src.models import priors
from src.models.distributions import CodeDistribution
from src.models.gaussians import FullGaussian, GaussianMixture
from src.support import noise
from src.support.errors import UserError
from src.support.noise import Noise

Sampler = Callable[[Tensor], Tensor]
NAMES = ("prior", "gmm", "flow", "aggregate")
CODES = 50_000  # the fewest codes that a density is fitted to; with fewer training images, several draws of each
COMPONENTS = 10  # number of Gaussians in the mixture
TINY = 1e-6  # added to the scales of codes, which are zero where a label has one image
STEPS, BATCH, PEAK = 2000, 512, 5e-3  # training of the flow: steps, codes per step, highest learning rate


class Generated(NamedTuple):
    """Codes z (N, D), the means of p(x|z) and draws from it, (N, C, H, W) uint8, and the labels (N,) that a conditional
    model was given."""

    z: np.ndarray
    means: np.ndarray
    draws: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Generated":
        """Those in these rows."""
        return Generated(*(array[rows] for array in self))


Temperature = float | Sequence[float]


def check_samplers(run: Run, names: Sequence[str], temperature: Temperature) -> None:
    """Raise UserError for a sampler that is named twice, or has no noise that a temperature could scale, and for
    temperatures that are not as many as the levels of a hierarchy."""
    if len(set(names)) < len(names):
        raise UserError(f"task.samplers must name each sampler once, got {list(names)}")
    with torch.no_grad():
        has_noise = run.vae.given(draw_labels(run, 1)).prior().has_rsample
    scalable = (["prior"] if has_noise else []) + ([] if run.vae.levels else ["flow"])
    if isinstance(temperature, Sequence) and len(temperature) != len(run.vae.levels):
        has = f"has {len(run.vae.levels)} levels" if run.vae.levels else "has codes of one level"
        raise UserError(f"task.temperature={list(temperature)}: this run {has}; give a number for each, or one")
    if temperature != 1 and (others := [name for name in names if name not in scalable]):
        if not scalable:
            raise UserError(f"task.temperature={temperature}: this run's prior has no noise to scale; leave it out")
        advice = f"leave out {', '.join(others)}, which have no noise to scale: task.samplers=[{','.join(scalable)}]"
        raise UserError(f"task.temperature={temperature}: {advice}")


def make_samplers(run: Run, names: Sequence[str], temperature: Temperature = 1.0) -> dict[str, Sampler]:
    """Make the samplers of these names, fitting those that need it.

    `prior` and `flow` scale their noise by the temperature; of a hierarchy `prior` that of each level by its own.
    """
    data, of_label = codes(run) if {"gmm", "flow"} & set(names) else None, None
    if data is not None and run.vae.condition is not None:
        data, of_label = standardise_each_label(run, data)
    makers: dict[str, Callable[[], Sampler]] = {
        "prior": lambda: prior(run, of_dimensions(run, temperature)),
        "gmm": lambda: from_density(gmm(data, run.seed)),
        "flow": lambda: flow(data, run.seed, temperature),
        "aggregate": lambda: partial(aggregate, run),
    }
    fitted = {"gmm", "flow"} if of_label else set()
    return {name: of_label(makers[name]()) if name in fitted else makers[name]() for name in names}


@torch.no_grad()
def codes(run: Run, count: int = CODES) -> Tensor:
    """Draws from q(z|x) of all training images (N, D), equally many of each and at least `count` in all."""
    address, each = Noise(run.seed).at("codes"), -(-count // len(run.train.images))
    draws = []
    for batch in tqdm(run.batches(run.train), "codes", unit="batch", disable=None, leave=False, delay=1):
        eps = address.normal(batch.index, each, run.vae.latent_dim, like=batch.x)
        draws.append(run.vae.given(batch.y).encode(batch.x).rsample_and_log_prob(eps)[0].flatten(0, 1))
    return torch.cat(draws)


def standardise_each_label(run: Run, codes: Tensor) -> tuple[Tensor, Callable[[Sampler], Sampler]]:
    """Codes (N, D) of `codes` with mean 0 and variance 1 for each label, and what makes a sampler of such codes one of
    codes of the labels y: of q(z|y), a density of one form for all labels, and not of q(z)."""
    y = torch.cat([batch.y.repeat(len(codes) // len(run.train.labels)) for batch in run.batches(run.train)])
    centre, spread = (codes.new_ones(len(run.data.source.classes), codes.shape[1]) for _ in range(2))
    for label in y.unique():
        centre[label], spread[label] = codes[y == label].mean(0), codes[y == label].std(0, correction=0) + TINY
    return (codes - centre[y]) / spread[y], lambda sampler: lambda y: centre[y] + spread[y] * sampler(y)


def draw_labels(run: Run, n: int, *address: int | str) -> Tensor:
    """Labels (n,) of training images chosen at random, from which a conditional model makes new images.

    They are a function of the run's seed and the address.
    """
    labels = torch.from_numpy(run.data.source.train.labels)
    chosen = torch.randint(len(labels), (n,), generator=noise.generator(run.seed, "labels", *address))
    return labels[chosen].to(run.device)


def of_dimensions(run: Run, temperature: Temperature) -> float | Tensor:
    """A temperature, or that of each dimension (D,) from those of the levels."""
    if not isinstance(temperature, Sequence):
        return temperature
    counts = torch.tensor(run.vae.levels)
    return torch.tensor(list(temperature), dtype=torch.float32).repeat_interleave(counts).to(run.device)


def prior(run: Run, temperature: float | Tensor = 1.0) -> Sampler:
    """A sampler of p(z)."""
    is_plain = not isinstance(temperature, Tensor) and temperature == 1

    @torch.no_grad()
    def sample(y: Tensor) -> Tensor:
        vae = run.vae.given(y)
        return vae.sample_codes(len(y)) if is_plain else from_noise(vae.prior(), temperature)(y)

    return sample


def from_density(p: CodeDistribution) -> Sampler:
    """A sampler that draws from p, a density of codes (D,), and ignores the labels."""
    return lambda y: p.sample(y.shape)


def from_noise(p: CodeDistribution, temperature: float | Tensor) -> Sampler:
    """A sampler that transforms noise as p does, with the temperature as the standard deviation of the noise."""
    return lambda y: p.rsample_and_log_prob(temperature * torch.randn(*y.shape, *p.event_shape, device=y.device))[0]


def gmm(codes: Tensor, seed: int) -> GaussianMixture:
    """A mixture of ten Gaussians with full covariance, fitted to codes (N, D) by EM (Ghosh et al., 2020)."""
    from sklearn.mixture import GaussianMixture as Fit

    start = noise.seed_of(seed, "gmm") % 2**32
    fit = Fit(COMPONENTS, max_iter=200, random_state=start).fit(codes.double().cpu().numpy())
    logits, means, covariances = (torch.from_numpy(a) for a in (np.log(fit.weights_), fit.means_, fit.covariances_))
    parameters = (logits, means, torch.linalg.cholesky(covariances))
    logits, means, scales = (each.to(codes) for each in parameters)
    return priors.mixture(logits, FullGaussian(means, scales))


def flow(codes: Tensor, seed: int, temperature: float = 1.0, steps: int = STEPS, size: int = BATCH) -> Sampler:
    """An autoregressive flow, that of prior=flow, fitted to codes (N, D) by maximum likelihood, `size` codes a step.

    The temperature is the standard deviation of the noise that it transforms.
    """
    centre, spread = codes.mean(0), codes.std(0)
    standardised = (codes - centre) / spread
    with torch.random.fork_rng(devices=[codes.device] if codes.is_cuda else []):
        torch.manual_seed(noise.seed_of(seed, "flow"))
        model = priors.Flow(codes.shape[1], "autoregressive").to(codes.device)
        optimizer = torch.optim.Adam(model.parameters())
        curve = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
        for _ in tqdm(range(steps), "flow", unit="step", disable=None, leave=False, delay=1):
            rows = torch.randint(len(codes), (size,), device=codes.device)
            loss = -model(None).log_prob(standardised[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.step()
    sample = from_noise(model.requires_grad_(False)(None), temperature)
    return lambda y: centre + spread * sample(y)


def aggregate(run: Run, y: Tensor) -> Tensor:
    """Draws from q(z|x) of as many training images, chosen at random: what the decoder was trained on, not new images.

    The images of a conditional model have the labels y.
    """
    if run.vae.condition is None:
        chosen = torch.randint(len(run.train.images), y.shape).numpy()
    else:
        own, order = y.cpu().numpy(), np.argsort(run.train.labels, kind="stable")
        counts = np.bincount(run.train.labels)
        chosen = order[(np.cumsum(counts) - counts)[own] + (torch.rand(y.shape).numpy() * counts[own]).astype(np.int64)]
    images, labels = (torch.from_numpy(array[chosen]).to(run.device) for array in run.train)
    eps = torch.randn(*y.shape, run.vae.latent_dim, device=run.device)
    return run.vae.given(labels).encode(as_input(images)).rsample_and_log_prob(eps)[0]


@torch.no_grad()
def generate(run: Run, sampler: Sampler, n: int, name: str, labels: np.ndarray | None = None) -> Generated:
    """Make n new images with a sampler, whose `name` is part of the seed. The first ones do not depend on n.

    A conditional model makes images of these labels (n,), or of those of training images chosen at random, the same for
    every sampler.
    """
    given = None if labels is None else torch.from_numpy(np.resize(labels, n + EVALUATION_BATCH)).to(run.device)
    blocks = []
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        for i in tqdm(range(0, n, EVALUATION_BATCH), name, unit="batch", disable=None, leave=False, delay=1):
            torch.manual_seed(noise.seed_of(run.seed, "sampler", name, i))
            y = draw_labels(run, EVALUATION_BATCH, i) if given is None else given[i : i + EVALUATION_BATCH]
            z = sampler(y)
            px = run.vae.given(y).decode(z)
            blocks.append((z.cpu().numpy(), as_bytes(px.mean), as_bytes(px.sample()), y.cpu().numpy()))
    return Generated(*(np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True)))
