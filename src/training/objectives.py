"""What is minimised. An objective is an equation: it holds no state and draws no random numbers.

    objective(vae, x, noise, weight) -> Terms    x (B, C, H, W); noise (K, B, D), standard normal, K = objective.samples

All terms are nats per image, (B,). Handing the noise in (rather than drawing it inside) lets the caller give noise its
address, share it between objectives, and cut it for several processes. `weight` is the schedule's value; the dict
`scheduled` has what it multiplies, by name, and an objective for which that is nothing refuses schedules. What an
objective needs of its distributions and does not find is a TypeError or ValueError that says so: build.py tries each.
A penalty of the whole batch is added to the loss of each image, so that the mean over the batch holds it once.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from src.models.divergences import kl, kl_per_dim, mmd, sampled_kl, sampled_kl_per_dim
from src.models.vae import VAE
from src.support.ranges import Count, NonNegative, check_arguments

Estimate = Literal["closed", "sample"]


class Terms(NamedTuple):
    """loss, recon, kl: (B,) in nats per image; q, p: the posterior and the prior they were computed with."""

    loss: Tensor
    recon: Tensor
    kl: Tensor
    q: Distribution
    p: Distribution


class Draws(NamedTuple):
    """Posterior, prior, samples z (K, B, D) of the posterior, and log q(z|x) and log p(x|z) at them, (K, B)."""

    q: Distribution
    p: Distribution
    z: Tensor
    log_q: Tensor
    log_px: Tensor

    def recon(self) -> Tensor:
        """E_q[-log p(x|z)], (B,)."""
        return -self.log_px.mean(0)

    def kl(self, estimate: Estimate) -> Tensor:
        """KL(q(z|x), p(z)), (B,): in closed form where there is one, or from the samples."""
        found = kl(self.q, self.p, self.z, self.log_q) if estimate == "closed" else self.log_ratio()
        return found.mean(0) if found.dim() == 2 else found

    def log_ratio(self) -> Tensor:
        """log q(z|x) - log p(z), (K, B)."""
        return sampled_kl(self.p, self.z, self.log_q)


def draw(vae: VAE, x: Tensor, noise: Tensor) -> Draws:
    """The samples of q(z|x) for given noise (K, B, D), and the densities there."""
    q, p = vae.encode(x), vae.prior()
    z, log_q = q.rsample_and_log_prob(noise)
    return Draws(q, p, z, log_q, vae.decode(z).log_prob(x))


@check_arguments
class ELBO:
    """loss = E_q[-log p(x|z)] + beta KL(q(z|x), p(z)): the negative ELBO at beta = 1 (Kingma & Welling, 2014),
    the beta-VAE (Higgins et al., 2017) otherwise.

    samples: K draws of z an image, over which the reconstruction is averaged
    kl: `closed` form where there is one, or always from the `sample`
    """

    def __init__(self, beta: NonNegative = 1.0, samples: Count = 1, kl: Estimate = "closed"):
        self.beta, self.samples, self.kl = beta, samples, kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        drawn = draw(vae, x, noise)
        recon, divergence = drawn.recon(), drawn.kl(self.kl)
        return Terms(recon + self.beta * weight * divergence, recon, divergence, drawn.q, drawn.p)


@check_arguments
class FreeBits:
    """loss = E_q[-log p(x|z)] + beta sum_d max(floor, KL_d), KL_d the batch's mean KL of a dimension, or of all
    together: up to `floor` nats are free, and no gradient takes them away (Kingma et al., 2016).

    floor: nats, for each dimension or for the total; per: `dimension` (posterior and prior must factorise) or `total`
    """

    def __init__(
        self,
        beta: NonNegative = 1.0,
        floor: NonNegative = 0.25,
        per: Literal["dimension", "total"] = "dimension",
        samples: Count = 1,
        kl: Estimate = "closed",
    ):
        self.beta, self.floor, self.per, self.samples, self.kl = beta, floor, per, samples, kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        drawn = draw(vae, x, noise)
        if self.per == "total":
            parts = drawn.kl(self.kl)[:, None]
        elif self.kl == "closed":
            parts = kl_per_dim(drawn.q, drawn.p)
        else:
            parts = sampled_kl_per_dim(drawn.q, drawn.p, drawn.z).mean(0)
        # no KL is below a floor of zero, though its estimate may be
        charged = torch.where(parts.mean(0) < self.floor, self.floor, parts) if self.floor else parts
        recon = drawn.recon()
        return Terms(recon + self.beta * weight * charged.sum(1), recon, parts.sum(1), drawn.q, drawn.p)


@check_arguments
class Capacity:
    """loss = E_q[-log p(x|z)] + gamma |KL(q(z|x), p(z)) - C|: a code of C nats, which the schedule grows from none
    (Burgess et al., 2018).

    capacity: C in nats
    gamma: the weight of leaving it. It must be above what one more nat of code is worth at C in nats of reconstruction;
        far above, keeping each image at C drowns the reconstruction's gradient
    per: `image`, each image's code has C nats; `batch`, the mean over the batch has, and images that are hard to
        describe may take more than others: so the public code (annealed_vae of disentanglement_lib)
    """

    def __init__(
        self,
        capacity: NonNegative = 25.0,
        gamma: NonNegative = 10.0,
        per: Literal["image", "batch"] = "image",
        samples: Count = 1,
        kl: Estimate = "closed",
    ):
        self.capacity, self.gamma, self.per, self.samples, self.kl = capacity, gamma, per, samples, kl
        self.scheduled = {"capacity": capacity}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        drawn = draw(vae, x, noise)
        recon, divergence = drawn.recon(), drawn.kl(self.kl)
        held = divergence if self.per == "image" else divergence.mean()
        return Terms(recon + self.gamma * (held - weight * self.capacity).abs(), recon, divergence, drawn.q, drawn.p)


@check_arguments
class IWAE:
    """loss = -log 1/K sum_k w_k, w_k = p(x|z_k) p(z_k) / q(z_k|x): the importance-weighted bound (Burda et al., 2016).
    recon and kl are means over the K samples.

    samples: K
    estimator: of the gradient, the loss is the same. `iwae` differentiates it; `stl` leaves out the score of q (Roeder
        et al., 2017), which for K > 1 biases it; `dreg` turns that score into a second path derivative, unbiased and
        with a signal that grows with K (Tucker et al., 2019)

    Raises ValueError for K > 1 and a likelihood that fits its scale to each batch: the samples' weights differ, so that
    scale is at no optimum of this bound, and its gradient, left out, is missing.
    """

    def __init__(self, samples: Count = 10, estimator: Literal["iwae", "stl", "dreg"] = "iwae"):
        self.samples, self.estimator, self.scheduled = samples, estimator, {}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        if self.samples > 1 and vae.likelihood.fits_each_batch:
            raise ValueError(
                "likelihood.sigma=optimal needs an objective that weighs all samples alike; objective=iwae does not: "
                "use likelihood.sigma=learned, or another objective"
            )
        drawn = draw(vae, x, noise)
        log_w = drawn.log_px - drawn.log_ratio()
        if self.estimator != "iwae":
            if not hasattr(drawn.q, "detached"):
                raise TypeError(f"estimator={self.estimator} needs a posterior whose density is known for any code")
            log_w = log_w + drawn.log_q - drawn.q.detached().log_prob(drawn.z)  # the same number, no score
        loss = math.log(len(log_w)) - log_w.logsumexp(0)
        if self.estimator == "dreg" and drawn.z.requires_grad:
            share = log_w.softmax(0).detach()
            # what reaches the encoder through z is weighted once more: by share^2, all else by share
            drawn.z.register_hook(lambda gradient: gradient * share[..., None])
            surrogate = -(share * log_w).sum(0)
            loss = surrogate + (loss - surrogate).detach()
        return Terms(loss, drawn.recon(), drawn.log_ratio().mean(0), drawn.q, drawn.p)


@check_arguments
class BetaTC:
    """loss = E_q[-log p(x|z)] + I(x; z) + beta TC(q(z)) + sum_d KL(q(z_d), p(z_d)), the KL taken apart with the total
    correlation weighted by beta (Chen et al., 2018).

    q(z) is that of the batch, 1/B sum_j q(z|x_j): the paper's minibatch-weighted estimate without its constant log N,
    which has no gradient. At beta = 1 the three add up to the sampled KL, whatever the estimate.

    As a number the estimate is biased upwards, since each code meets its own posterior among the B: of 16 independent
    dimensions (true: 0) with posteriors of scale 0.3 it reads 14.1 nats at B = 128 and 13.0 at B = 500, of scale 0.1
    nearly 31. `loss` holds beta - 1 times that. It compares between epochs of a run, and between runs of the same beta,
    latent_dim and batch sizes; recon, kl and elbo are free of it and compare between all.
    """

    def __init__(self, beta: NonNegative = 6.0, samples: Count = 1):
        self.beta, self.samples = beta, samples
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        drawn = draw(vae, x, noise)
        information, correlation, rest = decomposed(drawn)
        recon, divergence = drawn.recon(), drawn.log_ratio().mean(0)
        loss = recon + information + self.beta * weight * correlation + rest
        return Terms(loss, recon, divergence, drawn.q, drawn.p)


def decomposed(drawn: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """Index-code mutual information, total correlation and the dimensions' KL, (B,) each; their sum is the sampled KL.

    Raises TypeError for a posterior without marginals, or whose density is known for its own samples only, ValueError
    for a batch of one image.
    """
    q, z = drawn.q, drawn.z
    if z.shape[1] < 2:
        raise ValueError("the total correlation needs two images or more in a batch")
    if not hasattr(q, "marginals"):
        raise TypeError("the total correlation needs a posterior whose density and marginals are known for any code")
    across, size = z[:, :, None], math.log(z.shape[1])  # each code under the posterior of each image: (K, B, B, ...)
    log_qz = q.log_prob(across).logsumexp(2) - size
    log_marginals = (q.marginals.log_prob(across).logsumexp(2) - size).sum(-1)
    parts = (drawn.log_q - log_qz, log_qz - log_marginals, log_marginals - drawn.p.log_prob(z))
    return tuple(part.mean(0) for part in parts)


@check_arguments
class MMD:
    """loss = E_q[-log p(x|z)] + beta KL(q(z|x), p(z)) + penalty MMD^2(q(z), p(z)): InfoVAE (Zhao et al., 2019); with
    beta = 0 the MMD-VAE, which is the Wasserstein autoencoder of Tolstikhin et al. (2018) with a noisy encoder.

    penalty: nats an image for a unit of the batch's MMD^2, which lies between 0 and 2. The kernel is the mean of seven
        inverse multiquadrics; the code of Tolstikhin et al. has their sum, of which a unit costs 500 / 7 = 71.4 at a
        penalty of 500. Both sum the reconstruction over pixels and take the batch's mean, but theirs is 0.05 |x - y|^2
        where a Gaussian's is |x - y|^2 / (2 sigma^2): 500 beside the latter is a lambda of 7.1 sigma^2 in that code
    samples: K draws of z. The noise has one more an image, for the codes from the prior: the attribute is K + 1
    """

    def __init__(
        self, beta: NonNegative = 1.0, penalty: NonNegative = 500.0, samples: Count = 1, kl: Estimate = "closed"
    ):
        self.beta, self.penalty, self.samples, self.kl = beta, penalty, samples + 1, kl
        self.scheduled = {"beta": beta}

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        drawn = draw(vae, x, noise[:-1])
        if not hasattr(drawn.p, "rsample_and_log_prob"):
            raise TypeError("objective=mmd needs a prior that turns given noise into codes")
        if x.shape[0] < 2:
            raise ValueError("objective=mmd needs two images or more in a batch")
        prior, _ = drawn.p.rsample_and_log_prob(noise[-1])
        distance = sum(mmd(z, prior) for z in drawn.z) / len(drawn.z)
        recon, divergence = drawn.recon(), drawn.kl(self.kl)
        return Terms(
            recon + self.beta * weight * divergence + self.penalty * distance, recon, divergence, drawn.q, drawn.p
        )
