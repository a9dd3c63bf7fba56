"""Objectives against each other and against a model whose log p(x) is known, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from src.models import priors
from src.models.divergences import mmd
from src.models.draws import Draws
from src.models.images import BatchFittedNormal, BinaryImage
from src.models.likelihoods import Bernoulli
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.posteriors import Full, Gaussian
from src.models.vae import VAE
from src.support.errors import UserError
from src.training.objectives import ELBO, IWAE, MMD, BetaTC, Capacity, FreeBits, Terms, decompose
from src.training.trial import try_out
from tests.helpers.models import POSTERIORS, SIGMA, linear_gaussian, small

pytestmark = pytest.mark.usefixtures("float64")


def binary_vae(latents: int = 3) -> tuple[VAE, Tensor, Tensor]:
    """A small VAE, a batch of 12 binary images and noise (1, 12, D) for it."""
    vae = small(Gaussian(latents), priors.Standard(latents), Bernoulli(), latents)
    return vae, (torch.rand(12, 1, 4, 4) < 0.5).double(), torch.randn(1, 12, latents)


@pytest.mark.parametrize(
    "objective",
    [
        IWAE(samples=1),
        IWAE(samples=1, estimator="stl"),
        IWAE(samples=1, estimator="dreg"),
        BetaTC(beta=1.0),
        FreeBits(floor=0.0, kl="sample"),
        FreeBits(floor=0.0, per="total", kl="sample"),
        MMD(penalty=0.0, kl="sample"),
    ],
    ids=lambda o: "-".join([type(o).__name__, *(str(v) for v in vars(o).values())][:3]),
)
@pytest.mark.parametrize("model", ["binary", "linear"])
def test_it_is_the_one_sample_elbo_where_it_must_be(objective, model):
    if model == "binary":
        vae, x, noise = binary_vae()
    else:
        vae, px = linear_gaussian(error=0.3)
        x, noise = px.sample((12,)).view(-1, 1, 1, 6), torch.randn(1, 12, 3)
    elbo = ELBO(kl="sample")(vae, x, noise)
    terms = objective(vae, x, torch.cat([noise, noise])[: objective.samples])
    for name in ("loss", "recon", "kl"):
        torch.testing.assert_close(getattr(terms, name), getattr(elbo, name), atol=1e-10, rtol=0)


def test_capacity_of_none_at_weight_one_is_the_elbo():
    vae, x, noise = binary_vae()
    torch.testing.assert_close(Capacity(0, gamma=1)(vae, x, noise).loss, ELBO()(vae, x, noise).loss, atol=1e-12, rtol=0)


def test_capacity_grows_with_its_schedule_and_charges_both_sides():
    vae, x, noise = binary_vae()
    for weight in (0.0, 0.5, 1.0):
        terms = Capacity(4, gamma=7)(vae, x, noise, weight)
        charged = 7 * (terms.kl - 4 * weight).abs()
        torch.testing.assert_close(terms.loss, terms.recon + charged, atol=1e-12, rtol=0)


def test_the_capacity_of_a_batch_is_that_of_its_mean_and_of_an_image_its_own():
    vae, x, noise = binary_vae()
    kl = ELBO()(vae, x, noise).kl
    capacity = kl.mean().item()  # some above, some below
    image, batch = (Capacity(capacity, gamma=7, per=per)(vae, x, noise) for per in ("image", "batch"))
    torch.testing.assert_close(image.loss - image.recon, 7 * (kl - capacity).abs(), atol=1e-10, rtol=0)
    torch.testing.assert_close(batch.loss, batch.recon, atol=1e-10, rtol=0)
    for c, charged in ((0, 7 * capacity), (capacity + 1, 7.0)):
        batch = Capacity(c, gamma=7, per="batch")(vae, x, noise)
        torch.testing.assert_close(batch.loss - batch.recon, torch.full((12,), charged), atol=1e-9, rtol=0)
        torch.testing.assert_close(batch.kl, kl)


def test_the_total_correlation_of_a_batch_reads_too_high():
    """Of 16 independent dimensions: what the docstring of BetaTC says."""
    found = {}
    for size in (128, 500):
        z = []
        for _ in range(20):
            q = Gaussian(16)(
                torch.cat([math.sqrt(0.91) * torch.randn(size, 16), torch.full((size, 16), math.log(0.09))], 1)
            )
            drawn = q.rsample_and_log_prob(torch.randn(1, size, 16))
            p, px = priors.Standard(16)(None), BinaryImage(torch.zeros(1, 1, 1))
            z.append(decompose(Draws(q, p, px, *drawn, drawn[1]))[1].mean())
        found[size] = torch.stack(z).mean().item()
    assert found == pytest.approx({128: 14.1, 500: 13.0}, abs=0.2)


def test_a_penalty_of_500_is_one_of_500_sevenths_of_the_sum_of_kernels():
    vae, x, _ = binary_vae()
    noise = torch.randn(2, 12, 3)
    a, b = vae.draw(x, noise[:1]).z[0], noise[1]

    def kernels(u: Tensor, v: Tensor) -> Tensor:
        squares = (u[:, None] - v).square().sum(-1)
        return sum(6 * s / (6 * s + squares) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    within = sum(k.sum() - k.diagonal().sum() for k in (kernels(a, a), kernels(b, b))) / (12 * 11)
    added = (500 / 7 * (within - 2 * kernels(a, b).mean())).expand(12)
    terms = MMD(beta=0.0)(vae, x, noise)
    torch.testing.assert_close(terms.loss - terms.recon, added, atol=1e-9, rtol=0)


def test_free_bits_charge_the_mean_kl_of_each_dimension_above_its_floor():
    vae, x, noise = binary_vae()
    q = vae.encode(x).detached()
    per_dim = 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).mean(0)
    floor = float(per_dim.median())
    terms = FreeBits(beta=3.0, floor=floor)(vae, x, noise, 0.5)
    charged = 1.5 * per_dim.clamp(min=floor).sum()
    torch.testing.assert_close((terms.loss - terms.recon).mean(), charged, atol=1e-12, rtol=0)
    terms = FreeBits(floor=float(per_dim.sum()) + 1, per="total")(vae, x, noise)
    torch.testing.assert_close((terms.loss - terms.recon).mean(), per_dim.sum() + 1, atol=1e-12, rtol=0)
    assert not torch.autograd.grad((terms.loss - terms.recon).mean(), vae.encoder[1].weight, allow_unused=True)[0].any()


def test_iwae_is_never_below_the_elbo_of_the_same_samples():
    vae, x, _ = binary_vae()
    noise = torch.randn(20, 12, 3)
    terms = IWAE(20)(vae, x, noise)
    assert (-terms.loss >= -(terms.recon + terms.kl)).all()
    elbo = ELBO(samples=20, kl="sample")(vae, x, noise)
    torch.testing.assert_close(terms.recon, elbo.recon)
    torch.testing.assert_close(terms.kl, elbo.kl)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_bounds_rise_to_log_p(posterior):
    """ELBO <= IWAE_5 <= IWAE_50 <= log p(x), each step by more than its standard error; K = 4000 is nearer still."""
    vae, px = linear_gaussian(error=0.02, posterior=posterior, correlated=True)
    x = px.sample((40,))
    draws = 4000
    with torch.no_grad():
        images, noise = x.view(-1, 1, 1, 6), torch.randn(draws, 40, 3)
        drawn = vae.draw(images, noise)
        log_w = drawn.log_px - drawn.log_ratio()
        bounds = {k: log_w.view(-1, k, 40).logsumexp(1) - math.log(k) for k in (1, 5, 50)}
        bounds = {k: bound.mean(1) for k, bound in bounds.items()}
        terms = IWAE(50)(vae, images, noise[:50])
    torch.testing.assert_close(-terms.loss, log_w[:50].logsumexp(0) - math.log(50), atol=1e-12, rtol=0)
    exact, errors = px.log_prob(x).mean(), {k: b.std() / math.sqrt(len(b)) for k, b in bounds.items()}
    elbo, iwae_5, iwae_50 = (bounds[k].mean() for k in (1, 5, 50))
    assert elbo + 3 * (errors[1] + errors[5]) < iwae_5
    assert iwae_5 + 3 * (errors[5] + errors[50]) < iwae_50
    assert iwae_50 < exact + 3 * errors[50]
    converged = (log_w.logsumexp(0) - math.log(draws)).mean()
    assert abs(exact - converged) < 0.6 * (exact - iwae_50)


def test_a_full_posterior_reaches_log_p_where_a_diagonal_one_cannot():
    torch.manual_seed(3)
    full, px = linear_gaussian(posterior="full", correlated=True)
    torch.manual_seed(3)
    diagonal, _ = linear_gaussian(posterior="gaussian", correlated=True)
    x = px.sample((10,))
    images, noise = x.view(-1, 1, 1, 6), torch.randn(1, 10, 3)
    torch.testing.assert_close(-ELBO(kl="sample")(full, images, noise).loss, px.log_prob(x), atol=1e-9, rtol=0)
    # the best diagonal Gaussian is short by its KL from the true posterior
    w = full.decoder[0].weight
    true = MultivariateNormal(full.encode(images).mean, precision_matrix=torch.eye(3) + w.T @ w / SIGMA**2)
    q = diagonal.encode(images)
    gap = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), true)
    assert gap.min() > 0.3
    found = ELBO(samples=100_000)(diagonal, images, torch.randn(100_000, 10, 3))
    torch.testing.assert_close(px.log_prob(x) + found.loss, gap, atol=0.03, rtol=0)


def gradients(estimator: str, k: int, repeats: int) -> tuple[Tensor, Tensor]:
    """Gradients of the K-sample bound of one image at a wrong posterior: of the encoder (repeats, P), the decoder."""
    torch.manual_seed(1)
    vae, px = linear_gaussian(error=0.03)
    x = px.sample((1,)).view(1, 1, 1, 6)
    noise = torch.randn(repeats, k, 1, 3)
    encoder, decoder = [], []
    for each in noise:
        loss = IWAE(k, estimator)(vae, x, each).loss.sum()
        found = torch.autograd.grad(loss, [vae.encoder[1].weight, vae.decoder[0].weight])
        encoder.append(found[0].flatten())
        decoder.append(found[1].flatten())
    return torch.stack(encoder), torch.stack(decoder)


def test_dreg_has_the_gradient_of_iwae_on_average_and_less_noise():
    (iwae, iwae_decoder), (dreg, dreg_decoder) = (gradients(e, 8, 2000) for e in ("iwae", "dreg"))
    torch.testing.assert_close(iwae_decoder, dreg_decoder, atol=1e-9, rtol=0)  # of the decoder it is the same
    error = ((iwae.var(0) + dreg.var(0)) / len(iwae)).sqrt()
    z = (iwae.mean(0) - dreg.mean(0)) / error
    assert z.abs().max() < 4.5
    assert z.square().mean() < 2
    assert dreg.var(0).sum() < iwae.var(0).sum()


def test_the_signal_of_dreg_grows_with_k_and_that_of_iwae_shrinks():
    """Signal-to-noise of the encoder's gradient (Rainforth et al., 2018; Tucker et al., 2019)."""

    def snr(estimator: str, k: int) -> float:
        found, _ = gradients(estimator, k, 1000)
        return float(found.mean(0).norm() / found.var(0).sum().sqrt())

    assert snr("dreg", 64) > 1.5 * snr("dreg", 4)
    assert snr("iwae", 64) < snr("iwae", 4)


def test_stl_has_no_noise_at_the_exact_posterior():
    vae, px = linear_gaussian()
    x = px.sample((5,)).view(-1, 1, 1, 6)
    found = {}
    for estimator in ("iwae", "stl", "dreg"):
        loss = IWAE(4, estimator)(vae, x, torch.randn(4, 5, 3)).loss.mean()
        found[estimator] = torch.autograd.grad(loss, vae.encoder[1].weight)[0].abs().max()
    assert found["stl"] < 1e-10
    assert found["dreg"] < 1e-10
    assert found["iwae"] > 1e-3


def test_estimators_have_one_value():
    vae, x, _ = binary_vae()
    noise = torch.randn(7, 12, 3)
    losses = [IWAE(7, estimator)(vae, x, noise).loss for estimator in ("iwae", "stl", "dreg")]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("posterior", [Gaussian, Full])
def test_beta_tc_slopes_by_the_total_correlation_alone(posterior):
    vae = small(posterior(3), priors.Standard(3), Bernoulli())
    x, noise = (torch.rand(12, 1, 4, 4) < 0.5).double(), torch.randn(2, 12, 3)
    information, correlation, rest = decompose(vae.draw(x, noise))
    one, six = (BetaTC(beta, samples=2)(vae, x, noise, 0.5).loss for beta in (1.0, 6.0))
    torch.testing.assert_close(six - one, 0.5 * 5 * correlation, atol=1e-10, rtol=0)
    sampled = ELBO(samples=2, kl="sample")(vae, x, noise).kl
    torch.testing.assert_close(information + correlation + rest, sampled, atol=1e-10, rtol=0)


def test_beta_tc_of_a_whole_data_set_finds_its_total_correlation():
    """Two images with codes at opposite corners: q(z) has one bit of total correlation, and one of information."""
    vae, _, _ = binary_vae(latents=2)

    def encode(x: Tensor) -> torch.distributions.Distribution:
        corners = torch.where(x.mean((1, 2, 3))[:, None] > 0.5, 8.0, -8.0).expand(-1, 2)
        return Gaussian(2)(torch.cat([corners, torch.full_like(corners, -2.0)], 1))

    vae.encode = encode
    x = torch.tensor([0.0, 1.0]).repeat(8)[:, None, None, None].expand(-1, 1, 4, 4)
    information, correlation, _ = decompose(vae.draw(x, torch.randn(1, 16, 2)))
    torch.testing.assert_close(information.mean().item(), math.log(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(correlation.mean().item(), math.log(2), atol=1e-6, rtol=0)


def test_mmd_charges_codes_that_miss_the_prior():
    vae, x, _ = binary_vae()
    noise = torch.randn(2, 12, 3)
    plain, charged = MMD(penalty=0.0)(vae, x, noise), MMD(penalty=10.0)(vae, x, noise)
    added = (10 * mmd(vae.draw(x, noise[:1]).z[0], noise[1])).expand(12)
    torch.testing.assert_close(charged.loss - plain.loss, added, atol=1e-10, rtol=0)
    wae = MMD(beta=0.0, penalty=10.0)(vae, x, noise)
    torch.testing.assert_close(wae.loss, wae.recon + added, atol=1e-12, rtol=0)


def test_the_optimal_sigma_has_the_gradient_of_its_closed_form():
    """-log p at the best common sigma of a batch is N/2 log(mean squared error) but for a constant."""
    head = GaussianLikelihood("optimal").double().train()
    raw, x = torch.randn(5, 1, 4, 4, requires_grad=True), torch.rand(5, 1, 4, 4)
    ours = -head(raw).log_prob(x).sum()
    closed = 0.5 * x.numel() * (2 * math.pi * math.e * (x - raw).square().mean()).log()
    torch.testing.assert_close(ours, closed, atol=1e-9, rtol=0)
    (a,), (b,) = (torch.autograd.grad(loss, raw) for loss in (ours, closed))
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "objective",
    [
        ELBO(samples=3),
        ELBO(samples=3, kl="sample"),
        FreeBits(floor=0.3, samples=3),
        FreeBits(floor=0.3, per="total", samples=3),
        Capacity(4, samples=3),
        Capacity(4, per="batch", samples=3),
        BetaTC(samples=3),
        MMD(samples=3),
        *(IWAE(1, estimator) for estimator in ("iwae", "stl", "dreg")),
    ],
    ids=lambda o: "-".join([type(o).__name__, *(str(v) for v in vars(o).values())][:5]),
)
def test_the_gradient_without_that_through_the_optimal_sigma_is_exact(objective, monkeypatch):
    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double().train()
    x, noise = torch.rand(5, 1, 4, 4), torch.randn(objective.samples, 5, 3)
    weights = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    without = torch.autograd.grad(objective(vae, x, noise).loss.mean(), weights)

    def log_prob(px: BatchFittedNormal, x: Tensor) -> Tensor:
        return Normal(px.loc, (x - px.loc).square().mean().sqrt()).log_prob(x)

    monkeypatch.setattr(BatchFittedNormal, "log_prob", log_prob)
    through = torch.autograd.grad(objective(vae, x, noise).loss.mean(), weights)
    for ours, exact in zip(without, through, strict=True):
        torch.testing.assert_close(ours, exact, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("estimator", ["iwae", "stl", "dreg"])
def test_samples_of_different_weight_and_the_optimal_sigma_are_refused(estimator):
    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double().train()
    for samples in (2, 10):
        with pytest.raises(ValueError, match=r"likelihood\.sigma=optimal .* objective=iwae .*: use likelihood\.sigma="):
            IWAE(samples, estimator)(vae, torch.rand(5, 1, 4, 4), torch.randn(samples, 5, 3))


def test_the_optimal_sigma_is_remembered_and_fixed_in_evaluation():
    head, x = GaussianLikelihood("optimal").double(), 0.1 * torch.randn(1000, 1, 4, 4)
    for _ in range(200):
        px = head.train()(torch.zeros_like(x))
        px.log_prob(x)
        head.update(px, x)
    before = head.eval().variance.clone()
    assert before.sqrt().item() == pytest.approx(0.1, rel=0.02)
    assert head(torch.zeros(1, 4, 4)).stddev.unique().item() == pytest.approx(before.sqrt().item())
    head(torch.zeros_like(x)).log_prob(3 * x)
    assert torch.equal(head.variance, before)


@pytest.mark.parametrize("objective", [MMD(), BetaTC()])
def test_a_batch_of_one_image_has_no_penalty_and_is_refused(objective):
    vae, x, _ = binary_vae()
    with pytest.raises(ValueError, match="two images or more in a batch"):
        objective(vae, x[:1], torch.randn(objective.samples, 1, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: IWAE(0),
        lambda: IWAE(estimator="best"),
        lambda: FreeBits(floor=-1),
        lambda: FreeBits(per="pixel"),
        lambda: Capacity(-1),
        lambda: Capacity(per="pixel"),
        lambda: MMD(penalty=-1),
        lambda: BetaTC(samples=0),
        lambda: ELBO(kl="exact"),
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        wrong()


def test_an_objective_that_withholds_px_is_refused_beside_the_optimal_sigma():
    """Its running mean would never move, and evaluation would take a scale that no image has been fitted to."""

    class Bare(ELBO):
        def __call__(self, *arguments: object) -> Terms:
            return super().__call__(*arguments)._replace(px=None)

    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double()
    with pytest.raises(UserError, match=r"sigma=optimal needs an objective whose Terms have px"):
        try_out(vae, Bare(), [5, 1, 4, 4])
    try_out(vae, ELBO(), [5, 1, 4, 4])
    try_out(small(Gaussian(3), priors.Standard(3), Bernoulli()).double(), Bare(), [5, 1, 4, 4])
