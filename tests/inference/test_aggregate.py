"""The aggregate posterior: bounds that say no less than what is known, and total correlations in closed form."""

import math

import numpy as np
import pytest
import torch

from src.inference import aggregate, metrics
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.support.statistics import flatten


def equicorrelated(dims: int, rho: float) -> np.ndarray:
    return np.full((dims, dims), rho) + (1 - rho) * np.eye(dims)


def gaussian_codes(correlation: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(correlation)), correlation, count)


@pytest.mark.parametrize("dims", [2, 16])
def test_independent_dimensions_have_no_total_correlation(dims):
    codes = [np.exp(gaussian_codes(np.eye(dims), count, seed)) for seed, count in enumerate((4000, 3000))]
    found = aggregate.dependence(*codes, seed=0)
    pairs = dims * (dims - 1) / 2
    assert 0 <= found.least.mean() < 0.01
    # half the sum of as many squared correlations, each of the variance 1 / 4000
    assert found.gaussian == pytest.approx(pairs / 2 / 4000, abs=4 * math.sqrt(2 * pairs) / 2 / 4000)


@pytest.mark.parametrize(("dims", "rho"), [(2, 0.8), (16, 0.5), (16, 0.1)])
def test_total_correlation_of_a_correlated_gaussian(dims, rho):
    """-1/2 log det R, whatever each dimension by itself is mapped to."""
    correlation = equicorrelated(dims, rho)
    known = -0.5 * np.linalg.slogdet(correlation)[1]
    train, codes = gaussian_codes(correlation, 4000, 0), gaussian_codes(correlation, 4000, 1)
    found = aggregate.dependence(np.sinh(train), np.sinh(codes), seed=0)
    assert found.least.mean() == pytest.approx(known, abs=0.03 + 4 * found.least.std() / math.sqrt(4000))
    assert found.gaussian == pytest.approx(known + dims * (dims - 1) / 4 / 4000, rel=0.05)


def test_dependence_without_correlation_is_found():
    """Half the codes with correlation 0.95, half with -0.95: none in all. TC by quadrature."""
    line = np.linspace(-6, 6, 601)
    density = sum(np.exp(-(line**2 + line[:, None] ** 2 - 2 * r * line * line[:, None]) / (2 * (1 - r**2)))
                  for r in (0.95, -0.95)) / (4 * math.pi * math.sqrt(1 - 0.95**2))  # fmt: skip
    single = np.exp(-(line**2) / 2) / math.sqrt(2 * math.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.nansum(density * np.log(density / np.outer(single, single))) * 0.02**2

    def codes(count: int, seed: int) -> np.ndarray:
        return np.concatenate([gaussian_codes(equicorrelated(2, r), count, seed) for r in (0.95, -0.95)])

    found = aggregate.dependence(codes(5000, 0), codes(2000, 1), seed=0)
    assert known > 0.5 and abs(found.gaussian) < 0.01
    assert 0.8 * known < found.least.mean() < known + 0.05


def posteriors(correlation: np.ndarray, spread: float, count: int) -> tuple[DiagonalGaussian, torch.Tensor]:
    """Posteriors of the scale `spread` whose aggregate is N(0, R), and a code of each."""
    means = gaussian_codes(correlation - spread**2 * np.eye(len(correlation)), count, 2)
    q = DiagonalGaussian(torch.from_numpy(means), torch.full(means.shape, spread, dtype=torch.float64))
    return q, q.rsample_and_log_prob(torch.randn(q.loc.shape, generator=torch.Generator().manual_seed(0)).double())[0]


def at_most(q: DiagonalGaussian | FullGaussian, z: torch.Tensor) -> float:
    return aggregate.dependence_at_most(q, z, metrics.aggregate_log_prob(q, z))


def test_the_bound_from_above_is_tight_where_posteriors_overlap():
    correlation = equicorrelated(2, 0.6)
    known = -0.5 * np.linalg.slogdet(correlation)[1]
    q, z = posteriors(correlation, 0.5, 2000)
    assert known < at_most(q, z) < known + 0.05
    full = FullGaussian(q.loc, torch.diag_embed(q.scale))
    assert at_most(full, z) == pytest.approx(at_most(q, z), abs=1e-9)
    assert at_most(*aggregate.shuffle_dimensions(q, z, 0)) < 0.05


def test_the_bound_from_above_says_how_loose_it_is():
    """16 independent dimensions, of which each image's code says far more than log N nats: a code is its own
    posterior's alone, and the truth, 0, can't be seen from N images."""
    q, z = posteriors(np.eye(16), 0.2, 1000)
    reads, floor = at_most(q, z), at_most(*aggregate.shuffle_dimensions(q, z, 0))
    assert reads > 5
    assert reads == pytest.approx(floor, abs=0.3)


def test_one_dimension_depends_on_nothing():
    q, z = posteriors(np.eye(1), 0.5, 50)
    assert at_most(q, z) == 0
    found = aggregate.dependence(z.numpy(), z.numpy(), 0)
    assert found.gaussian == 0 and not found.least.any()


def test_bounds_say_no_less_than_what_is_known():
    """Of a code that says nothing: I and KL(q(z), p(z)) lie between 0 and the KL, whatever chance estimates."""
    random = np.random.default_rng(0)
    kl = np.full(500, 2.4e-6)
    for shift in (-0.5, 0.0, 0.5):
        found = aggregate.information(kl, random.normal(shift, 1, 500), random.normal(shift, 0.01, 500))
        for name in ("mutual_information", "aggregate_kl"):
            assert 0 <= found[f"{name}_at_most"] <= kl.mean()
        assert 0 <= found["mutual_information"].mean <= found["mutual_information_at_most"]
        assert 0 <= found["aggregate_kl_at_least"].mean <= found["aggregate_kl_at_most"]
    assert aggregate.information(kl, np.full(500, -0.5), None)["aggregate_kl_at_least"].se == 0
    negative = aggregate.information(np.full(5, -1e-3), np.full(5, 1.0), np.full(5, 1.0))  # a KL estimated from samples
    assert all(value == 0 for name, value in flatten(negative).items() if name != "mutual_information_cap")


def test_bounds_that_say_more_are_left_as_they_are():
    found = aggregate.information(np.array([20.0, 22.0]), np.array([1.0, 2.0]), np.array([0.5, 0.7]))
    assert found["mutual_information"] == pytest.approx((0.6, 0.1))
    assert found["mutual_information_cap"] == pytest.approx(math.log(2))
    assert found["aggregate_kl_at_most"] == pytest.approx(20.4)
    assert found["aggregate_kl_at_least"] == pytest.approx((1.5, 0.5))
    assert found["mutual_information_at_most"] == pytest.approx(19.5)  # above log N, which caps the estimate alone
