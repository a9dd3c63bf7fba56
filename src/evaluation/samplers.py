"""Where the codes of new images come from: the prior, or a density fitted afterwards to the training images' codes.

A sampler is a function n -> codes (n, D) that draws from torch's generator; `generate` seeds that and decodes. What is
fitted is a sample of the aggregate posterior q(z) = mean_x q(z|x), draws rather than means: it is at draws that the
decoder was trained, and a dimension that says nothing of an image, whose means are all alike, is as wide as its prior.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution
from tqdm import tqdm

from src.build import Run
from src.data.batches import EVALUATION_BATCH
from src.data.pixels import as_bytes, as_input
from src.models import priors
from src.models.gaussians import FullGaussian, Mixture
from src.support import noise
from src.support.errors import UserError

Sampler = Callable[[int], Tensor]
NAMES = ("prior", "gmm", "flow", "aggregate")
CODES = 50_000  # to fit a density to: of fewer training images, several draws each
COMPONENTS = 10
STEPS, BATCH, PEAK = 2000, 512, 5e-3  # of the flow's training


class Generated(NamedTuple):
    """Codes z (N, D), the means of p(x|z) and draws from it, (N, C, H, W) uint8."""

    z: np.ndarray
    means: np.ndarray
    draws: np.ndarray


def check(run: Run, names: Sequence[str], temperature: float) -> None:
    """Raises UserError for a sampler that there is not, or that has no noise to scale by a temperature."""
    if len(set(names)) < len(names):
        raise UserError(f"task.samplers must be given each once, got {list(names)}")
    with torch.no_grad():
        scalable = ["prior", "flow"] if hasattr(run.vae.prior(), "rsample_and_log_prob") else ["flow"]
    if temperature != 1 and (others := [name for name in names if name not in scalable]):
        words = f"leave out {', '.join(others)}, which have no noise to scale: task.samplers=[{','.join(scalable)}]"
        raise UserError(f"task.temperature={temperature}: {words}")


def fitted(run: Run, names: Sequence[str], temperature: float = 1.0) -> dict[str, Sampler]:
    """The samplers of these names, fitted; the noise of `prior` and `flow` is scaled by the temperature."""
    data = codes(run) if {"gmm", "flow"} & set(names) else None
    made = {
        "prior": lambda: prior(run, temperature),
        "gmm": lambda: drawn(gmm(data, run.seed)),
        "flow": lambda: flow(data, run.seed, temperature),
        "aggregate": lambda: partial(aggregate, run),
    }
    return {name: made[name]() for name in names}


@torch.no_grad()
def codes(run: Run) -> Tensor:
    """Draws from q(z|x) of all training images (N, D), equally many of each and at least 50,000 in all."""
    shape = (-(-CODES // len(run.train.images)), run.vae.latent_dim)
    drawn = []
    for batch in tqdm(run.batches(run.train), "codes", unit="batch", disable=None, leave=False, delay=1):
        eps = noise.normal(noise.seed_of(run.seed, "codes"), batch.index, shape).transpose(0, 1)
        drawn.append(run.vae.encode(batch.x).rsample_and_log_prob(eps.to(run.device))[0].flatten(0, 1))
    return torch.cat(drawn)


@torch.no_grad()
def prior(run: Run, temperature: float = 1.0) -> Sampler:
    """p(z)."""
    p = run.vae.prior()
    return scaled(p, temperature, run.device) if temperature != 1 else drawn(p)


def drawn(p: Distribution) -> Sampler:
    """p as it is."""
    return lambda n: p.sample((n,))


def scaled(p: Distribution, temperature: float, device: torch.device) -> Sampler:
    """p, made from noise of that standard deviation."""
    return lambda n: p.rsample_and_log_prob(temperature * torch.randn(n, *p.event_shape, device=device))[0]


def gmm(codes: Tensor, seed: int) -> Mixture:
    """A mixture of ten Gaussians with full covariance, fitted to codes (N, D) by EM (Ghosh et al., 2020)."""
    from sklearn.mixture import GaussianMixture

    start = noise.seed_of(seed, "gmm") % 2**32
    fit = GaussianMixture(COMPONENTS, max_iter=200, random_state=start).fit(codes.double().cpu().numpy())
    logits, means, covariances = (torch.from_numpy(a) for a in (np.log(fit.weights_), fit.means_, fit.covariances_))
    parts = (logits, means, torch.linalg.cholesky(covariances))
    logits, means, scales = (part.to(codes) for part in parts)
    return priors.mixture(logits, FullGaussian(means, scales))


def flow(codes: Tensor, seed: int, temperature: float = 1.0) -> Sampler:
    """An autoregressive flow, that of prior=flow, fitted to codes (N, D) by maximum likelihood."""
    centre, spread = codes.mean(0), codes.std(0)
    standard = (codes - centre) / spread
    with torch.random.fork_rng(devices=[codes.device] if codes.is_cuda else []):
        torch.manual_seed(noise.seed_of(seed, "flow"))
        model = priors.Flow(codes.shape[1], "autoregressive").to(codes.device)
        optimizer = torch.optim.Adam(model.parameters())
        curve = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=STEPS)
        for _ in tqdm(range(STEPS), "flow", unit="step", disable=None, leave=False, delay=1):
            some = torch.randint(len(codes), (BATCH,), device=codes.device)
            loss = -model(None).log_prob(standard[some]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.step()
    draw = scaled(model.requires_grad_(False)(None), temperature, codes.device)
    return lambda n: centre + spread * draw(n)


def aggregate(run: Run, n: int) -> Tensor:
    """Draws from q(z|x) of n training images chosen at random: what the decoder was trained on, no new images."""
    chosen = torch.randint(len(run.train.images), (n,)).numpy()
    x = as_input(torch.from_numpy(run.train.images[chosen]).to(run.device))
    eps = torch.randn(n, run.vae.latent_dim, device=run.device)
    return run.vae.encode(x).rsample_and_log_prob(eps)[0]


@torch.no_grad()
def generate(run: Run, sampler: Sampler, n: int, name: str) -> Generated:
    """n new images by a sampler. The first do not depend on n."""
    blocks = []
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        for i in tqdm(range(0, n, EVALUATION_BATCH), name, unit="batch", disable=None, leave=False, delay=1):
            torch.manual_seed(noise.seed_of(run.seed, "sampler", name, i))
            z = sampler(EVALUATION_BATCH)
            px = run.vae.decode(z)
            blocks.append((z.cpu().numpy(), as_bytes(px.mean), as_bytes(px.sample())))
    return Generated(*(np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True)))
