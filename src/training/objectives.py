"""Objectives, the losses that training minimises. An objective is an equation, without state or random numbers.

    objective(vae, x, noise, weight) -> Terms    x (B, C, H, W); noise (K, B, D), standard normal, K = objective.samples

All terms are nats per image, (B,). `vae` is already the model given the labels of x. The caller draws the noise, so
that it can tie it to an image and a purpose (support/noise.py), use the same for several objectives, and divide it
among processes. `weight` is the value of the schedule. `scheduled` maps the name of each option that the schedule
multiplies to its full value, as {"beta": 4.0}; logs, the trace and the loss plot use that name, and where it is empty
a schedule is an error. If a distribution lacks what an objective needs, the objective raises a TypeError or
ValueError that says so; trial.py runs each objective on noise, so that the error is raised before any training. A
penalty of the whole batch is added to the loss of each image, so that the mean over the batch contains it once.
"""

import math
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.divergences import mmd
from src.models.draws import Draws, Estimator
from src.models.vae import VAE
from src.support.ranges import Count, NonNegative, check_arguments


class Terms(NamedTuple):
    """The terms of a batch.

    loss, recon, kl: (B,) in nats per image
    q, p: the posterior and the prior that they were computed with
    px: p(x|z) of the samples, with which a likelihood that fits each batch is updated
    draws: the samples themselves, of which evaluation takes the KL of each level of a hierarchy
    """

    loss: Tensor
    recon: Tensor
    kl: Tensor
    q: CodeDistribution
    p: CodeDistribution
    px: ImageDistribution | None = None
    draws: Draws | None = None

    @classmethod
    def of(cls, draws: Draws, loss: Tensor, recon: Tensor, kl: Tensor) -> "Terms":
        """The terms of samples, with the distributions that these were computed with."""
        return cls(loss, recon, kl, draws.q, draws.p, draws.px, draws)


class Objective(Protocol):
    """The interface of an objective.

    samples: K, the samples of noise for each image
    scheduled: what the schedule multiplies, by name
    """

    samples: int
    scheduled: dict[str, float]

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        """The terms of images x (B, C, H, W), from standard normal noise (K, B, D)."""
        ...


@check_arguments
class ELBO:
    """loss = E_q[-log p(x|z)] + beta KL(q(z|x), p(z)): the negative ELBO at beta = 1 (Kingma & Welling, 2014),
    the beta-VAE (Higgins et al., 2017) otherwise.

    samples: K, the number of samples z for each image, over which the reconstruction is averaged
    kl: `closed`, in closed form where there is one, or `sample`, always from the samples
    """

    def __init__(self, beta: NonNegative = 1.0, samples: Count = 1, kl: Estimator = "closed") -> None:
        self.beta, self.samples = beta, samples
        self.kl: Estimator = kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise)
        recon, divergence = draws.recon(), draws.kl(self.kl)
        return Terms.of(draws, recon + self.beta * weight * divergence, recon, divergence)


@check_arguments
class FreeBits:
    """loss = E_q[-log p(x|z)] + beta sum_d max(floor, KL_d), KL_d the batch's mean KL of a dimension, or of all
    dimensions together: below `floor` nats the KL costs nothing and has no gradient (Kingma et al., 2016).

    floor: nats, for each dimension or for the total; per: `dimension` (posterior and prior must factorise) or `total`
    """

    def __init__(
        self,
        beta: NonNegative = 1.0,
        floor: NonNegative = 0.25,
        per: Literal["dimension", "total"] = "dimension",
        samples: Count = 1,
        kl: Estimator = "closed",
    ) -> None:
        self.beta, self.floor, self.per, self.samples = beta, floor, per, samples
        self.kl: Estimator = kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise)
        parts = draws.kl(self.kl)[:, None] if self.per == "total" else draws.kl_per_dim(self.kl)
        # a floor of zero is no floor: an estimate of a KL may be negative, and cutting it would bias the loss
        charged = torch.where(parts.mean(0) < self.floor, self.floor, parts) if self.floor else parts
        recon = draws.recon()
        return Terms.of(draws, recon + self.beta * weight * charged.sum(1), recon, parts.sum(1))


@check_arguments
class Capacity:
    """loss = E_q[-log p(x|z)] + gamma |KL(q(z|x), p(z)) - C|: a code of C nats, which a schedule increases from zero
    (Burgess et al., 2018).

    capacity: C in nats
    gamma: the weight of the deviation. It must exceed the nats of reconstruction that one more nat of code saves at C;
        if it is far larger, keeping each image at C dominates the gradient of the reconstruction
    per: `image`, the code of each image has C nats; `batch`, the mean over the batch has, so that images that are hard
        to describe may use more than others, as in the public code (annealed_vae of disentanglement_lib)
    """

    def __init__(
        self,
        capacity: NonNegative = 25.0,
        gamma: NonNegative = 10.0,
        per: Literal["image", "batch"] = "image",
        samples: Count = 1,
        kl: Estimator = "closed",
    ) -> None:
        self.capacity, self.gamma, self.per, self.samples = capacity, gamma, per, samples
        self.kl: Estimator = kl
        self.scheduled = {"capacity": capacity}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise)
        recon, divergence = draws.recon(), draws.kl(self.kl)
        used = divergence if self.per == "image" else divergence.mean()
        loss = recon + self.gamma * (used - weight * self.capacity).abs()
        return Terms.of(draws, loss, recon, divergence)


@check_arguments
class IWAE:
    """loss = -log 1/K sum_k w_k, w_k = p(x|z_k) p(z_k) / q(z_k|x): the importance-weighted bound (Burda et al., 2016).
    recon and kl are means over the K samples.

    samples: K
    estimator: of the gradient; the loss is the same for all. `iwae` differentiates it; `stl` omits the score of q
        (Roeder et al., 2017), which biases it for K > 1; `dreg` replaces that score by a second path derivative, which
        is unbiased and whose signal-to-noise ratio grows with K (Tucker et al., 2019)

    Raises ValueError for K > 1 and a likelihood that fits its scale to each batch: with unequal weights of the samples
    that scale is no optimum of this bound, so its gradient must not be omitted.
    """

    def __init__(self, samples: Count = 10, estimator: Literal["iwae", "stl", "dreg"] = "iwae") -> None:
        self.samples, self.estimator, self.scheduled = samples, estimator, {}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise)
        if self.samples > 1 and draws.px.fits_batch:
            raise ValueError(
                "likelihood.sigma=optimal needs an objective that weighs all samples alike; objective=iwae does not: "
                "use likelihood.sigma=learned, or another objective"
            )
        log_w = draws.log_px - draws.log_ratio()
        if self.estimator != "iwae":
            without_score = draws.q.detached()
            if without_score is None:
                raise TypeError(f"estimator={self.estimator} needs a posterior whose density is known for any code")
            log_w = log_w + draws.log_q - without_score.log_prob(draws.z)  # the same number with another gradient
        loss = math.log(len(log_w)) - log_w.logsumexp(0)
        if self.estimator == "dreg" and draws.z.requires_grad:
            share = log_w.softmax(0).detach()
            # the gradient that reaches the encoder through z is weighted by share^2, every other by share
            draws.z.register_hook(lambda gradient: gradient * share[..., None])
            surrogate = -(share * log_w).sum(0)
            loss = surrogate + (loss - surrogate).detach()
        return Terms.of(draws, loss, draws.recon(), draws.log_ratio().mean(0))


@check_arguments
class BetaTC:
    """loss = E_q[-log p(x|z)] + I(x; z) + beta TC(q(z)) + sum_d KL(q(z_d), p(z_d)): the KL decomposed, with the total
    correlation weighted by beta (Chen et al., 2018).

    q(z) is that of the batch, 1/B sum_j q(z|x_j): the minibatch-weighted estimate of the paper without its constant
    log N, which has no gradient. At beta = 1 the three terms add up to the sampled KL, whatever the estimate.

    The estimate is biased upwards, since each code meets its own posterior among the B: for 16 independent dimensions
    (true value 0) with posteriors of scale 0.3 it is 14.1 nats at B = 128 and 13.0 at B = 500, and for scale 0.1 nearly
    31. `loss` contains beta - 1 times that bias, so it is comparable only between epochs of a run and between runs of
    the same beta, latent_dim and batch size. recon, kl and elbo are free of it and comparable between all runs.
    """

    def __init__(self, beta: NonNegative, samples: Count = 1) -> None:
        self.beta, self.samples = beta, samples
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise)
        information, correlation, rest = decompose(draws)
        recon, divergence = draws.recon(), draws.log_ratio().mean(0)
        loss = recon + information + self.beta * weight * correlation + rest
        return Terms.of(draws, loss, recon, divergence)


def decompose(draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Index-code mutual information, total correlation and the KL of the dimensions, (B,) each, nats, from samples.

    Their sum is the sampled KL. Raises TypeError for a posterior without marginals, or whose density is known for its
    own samples only, and ValueError for a batch of one image.
    """
    q, z, marginals = draws.q, draws.z, draws.q.marginals()
    if z.shape[1] < 2:
        raise ValueError("the total correlation needs two images or more in a batch")
    if marginals is None or not q.evaluates_any_code:
        raise TypeError("the total correlation needs a posterior whose density and marginals are known for any code")
    across, size = z[:, :, None], math.log(z.shape[1])  # each code under the posterior of each image: (K, B, B, ...)
    log_qz = q.log_prob(across).logsumexp(2) - size
    log_marginals = (marginals.log_prob(across).logsumexp(2) - size).sum(-1)
    information, correlation = draws.log_q - log_qz, log_qz - log_marginals
    return information.mean(0), correlation.mean(0), (log_marginals - draws.log_pz).mean(0)


@check_arguments
class MMD:
    """loss = E_q[-log p(x|z)] + beta KL(q(z|x), p(z)) + penalty MMD^2(q(z), p(z)): InfoVAE (Zhao et al., 2019); with
    beta = 0 the MMD-VAE, which is the Wasserstein autoencoder of Tolstikhin et al. (2018) with a noisy encoder.

    penalty: nats per image for a unit of the batch's MMD^2, which is between 0 and 2. The kernel is the mean of seven
        inverse multiquadrics; the code of Tolstikhin et al. uses their sum, of which a unit costs 500 / 7 = 71.4 at a
        penalty of 500. Both sum the reconstruction over pixels and take the batch's mean, but theirs is 0.05 |x - y|^2
        and that of a Gaussian is |x - y|^2 / (2 sigma^2): 500 with the latter equals their lambda = 7.1 sigma^2
    samples: K, the number of samples z. The codes from the prior need one more: the attribute `samples` is K + 1
    """

    def __init__(
        self, beta: NonNegative = 1.0, penalty: NonNegative = 500.0, samples: Count = 1, kl: Estimator = "closed"
    ) -> None:
        self.beta, self.penalty, self.samples = beta, penalty, samples + 1
        self.kl: Estimator = kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        draws = vae.draw(x, noise[:-1])
        if not draws.p.has_rsample:
            raise TypeError("objective=mmd needs a prior that turns given noise into codes")
        if x.shape[0] < 2:
            raise ValueError("objective=mmd needs two images or more in a batch")
        prior, _ = draws.p.rsample_and_log_prob(noise[-1])
        distance = sum(mmd(z, prior) for z in draws.z) / len(draws.z)
        recon, divergence = draws.recon(), draws.kl(self.kl)
        loss = recon + self.beta * weight * divergence + self.penalty * distance
        return Terms.of(draws, loss, recon, divergence)
