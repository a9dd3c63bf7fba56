"""Shapes, widths and refusals of the networks."""

import pytest
import torch

from src.models.networks import (
    ACTIVATIONS,
    ConvDecoder,
    ConvEncoder,
    DoublingConvTranspose2d,
    MLPDecoder,
    MLPEncoder,
    mlp,
)

PAIRS = [
    (lambda s, f, **o: MLPEncoder(s, f, [30, 20], **o), lambda f, s, **o: MLPDecoder(f, s, [20, 30], **o)),
    (
        lambda s, f, **o: MLPEncoder(s, f, [20, 20], residual=True, **o),
        lambda f, s, **o: MLPDecoder(f, s, [20, 20, 30], residual=True, **o),
    ),
    (lambda s, f, **o: MLPEncoder(s, f, [], **o), lambda f, s, **o: MLPDecoder(f, s, [], **o)),
    (lambda s, f, **o: ConvEncoder(s, f, [4, 8], 16, **o), lambda f, s, **o: ConvDecoder(f, s, [4, 8], 16, **o)),
    (lambda s, f, **o: ConvEncoder(s, f, [4, 8, 6], 16, **o), lambda f, s, **o: ConvDecoder(f, s, [4, 8, 6], 16, **o)),
]


@pytest.mark.parametrize("shape", [(1, 32, 16), (3, 8, 8)])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_shapes_and_gradients(encoder, decoder, shape):
    torch.manual_seed(0)
    down, up = encoder(shape, 10, activation="tanh"), decoder(5, (2, *shape[1:]), activation="tanh")
    x, z = torch.randn(4, *shape), torch.randn(4, 5)
    assert down(x).shape == (4, 10)
    assert up(z).shape == (4, 2, *shape[1:])
    (down(x).square().sum() + up(z).square().sum()).backward()
    assert all(p.grad.abs().sum() > 0 for net in (down, up) for p in net.parameters())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("c_out", [1, 2])
def test_doubling_is_the_transposed_convolution(c_out):
    ours = DoublingConvTranspose2d(3, c_out)
    torchs = torch.nn.ConvTranspose2d(3, c_out, kernel_size=4, stride=2, padding=1)
    torchs.load_state_dict(ours.state_dict())
    inputs = [torch.randn(5, 3, 4, 6).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    images = [layer(x) for layer, x in zip((ours, torchs), inputs, strict=True)]
    torch.testing.assert_close(*images)
    for image in images:
        image.square().sum().backward()
    for mine, theirs in [inputs, (ours.weight, torchs.weight), (ours.bias, torchs.bias)]:
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_residual_layer_adds_to_what_it_is_given():
    torch.manual_seed(0)
    network = mlp([5, 4, 4, 4, 3, 2], "tanh", residual=True)
    first, second, third, *narrower = network
    x = torch.randn(6, 5)
    hidden = first(x)
    hidden = hidden + second[1](torch.tanh(hidden))
    hidden = hidden + third[1](torch.tanh(hidden))
    assert len(narrower) == 4  # where the width changes there is nothing to add to
    torch.testing.assert_close(network(x), torch.nn.Sequential(*narrower)(hidden))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    assert torch.isfinite(MLPEncoder((1, 4, 4), 3, [8], activation=name)(torch.randn(2, 1, 4, 4))).all()


def test_refusals_say_what_to_do():
    with pytest.raises(ValueError, match=r"activation must be relu or .* or tanh, got swish"):
        MLPEncoder((1, 4, 4), 3, [8], activation="swish")
    with pytest.raises(ValueError, match="divisible by 8, images are 28 x 28: pad them, or choose model=mlp"):
        ConvEncoder((1, 28, 28), 3, [4, 4, 4], 8, "relu")
    with pytest.raises(ValueError, match=r"hidden must be a list, each element a whole number, 1 or more, got .0."):
        MLPDecoder(3, (1, 4, 4), [0], "relu")
