"""Which kind of pixels a likelihood asks for."""

import pytest

from src.data.pixels import Pixels, required_pixels
from src.models import likelihoods
from src.support.errors import UserError

KINDS = {
    likelihoods.Bernoulli: Pixels.BINARY,
    likelihoods.ContinuousBernoulli: Pixels.DEQUANTIZED,
    likelihoods.Gaussian: Pixels.DEQUANTIZED,
    likelihoods.Logistic256: Pixels.LEVELS,
}


@pytest.mark.parametrize(("likelihood", "kind"), KINDS.items())
def test_a_likelihoods_support_asks_for_a_kind_of_pixels(likelihood, kind):
    fits, contradicts = ("dynamic", "none") if kind == Pixels.BINARY else ("none", "dynamic")
    assert required_pixels(likelihood(), "auto") == required_pixels(likelihood(), fits) == kind
    with pytest.raises(UserError, match=f"data.binarize={contradicts}: the likelihood {likelihood.__name__} is a"):
        required_pixels(likelihood(), contradicts)


def test_kinds_of_pixels_are_written_by_their_names():
    assert [f"{kind}" for kind in Pixels] == ["binary", "dequantized", "levels"]


def test_each_kind_of_pixels_says_what_the_model_sees():
    words = [kind.description for kind in Pixels]
    assert len(set(words)) == len(Pixels) and [("binary" in each) for each in words] == [True, False, False]
