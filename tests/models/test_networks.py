"""Shapes, widths and refusals of the networks."""

import itertools

import pytest
import torch

from src.models.networks import (
    ConvDecoder,
    ConvEncoder,
    GatedMLPDecoder,
    GatedMLPEncoder,
    MLPDecoder,
    MLPEncoder,
    ResNetDecoder,
    ResNetEncoder,
)
from src.models.networks.gated import gated_mlp
from src.models.networks.layers import ACTIVATIONS, DoublingConvTranspose2d, Skip
from src.models.networks.mlp import mlp
from src.models.networks.resnet import block
from tests.helpers.runs import identical

KINDS = ("weight", "bias")
PAIRS = [
    (lambda s, f, **o: MLPEncoder(s, f, [30, 20], **o), lambda f, s, **o: MLPDecoder(f, s, [20, 30], **o)),
    (
        lambda s, f, **o: MLPEncoder(s, f, [20, 20], residual=True, **o),
        lambda f, s, **o: MLPDecoder(f, s, [20, 20, 30], residual=True, **o),
    ),
    (lambda s, f, **o: MLPEncoder(s, f, [], **o), lambda f, s, **o: MLPDecoder(f, s, [], **o)),
    (lambda s, f, **o: ConvEncoder(s, f, [4, 8], 16, **o), lambda f, s, **o: ConvDecoder(f, s, [4, 8], 16, **o)),
    (lambda s, f, **o: ConvEncoder(s, f, [4, 8, 6], 16, **o), lambda f, s, **o: ConvDecoder(f, s, [4, 8, 6], 16, **o)),
    (
        lambda s, f, **o: ConvEncoder(s, f, [4, 8], 16, depth=3, **o),
        lambda f, s, **o: ConvDecoder(f, s, [4, 8], 16, depth=3, **o),
    ),
    (
        lambda s, f, **o: ResNetEncoder(s, f, [4, 8], 1, 16, **o),
        lambda f, s, **o: ResNetDecoder(f, s, [4, 8], 1, 16, **o),
    ),
    (
        lambda s, f, **o: ResNetEncoder(s, f, [4, 8, 6], 3, 16, **o),
        lambda f, s, **o: ResNetDecoder(f, s, [4, 8, 6], 3, 16, **o),
    ),
    (
        lambda s, f, activation: GatedMLPEncoder(s, f, [20, 30]),
        lambda f, s, activation: GatedMLPDecoder(f, s, [20, 30]),
    ),
    (lambda s, f, activation: GatedMLPEncoder(s, f, []), lambda f, s, activation: GatedMLPDecoder(f, s, [])),
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


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_convolutions_take_images_of_any_size(strides):
    """Gradients reach every layer; of a weight that no pixel depends on, in the decoder of a small image, it is 0."""
    torch.manual_seed(0)
    options = {"channels": [2] * strides, "hidden": 4, "activation": "tanh"}
    for height, width in [*itertools.product(range(1, 10), repeat=2), (300, 200)]:
        encoder, decoder = ConvEncoder((1, height, width), 3, **options), ConvDecoder(3, (2, height, width), **options)
        features, images = encoder(torch.rand(2, 1, height, width)), decoder(torch.randn(2, 3))
        assert features.shape == (2, 3)
        assert images.shape == (2, 2, height, width)
        (features.square().sum() + images.square().sum()).backward()
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            assert torch.isfinite(parameter.grad).all()
            assert parameter.grad.any()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [((1, 1), 3, (3, 4, 3, 4)), ((28, 28), 3, (2, 2, 2, 2)), ((5, 7), 2, (0, 1, 1, 2)), ((8, 6), 2, (1, 1, 0, 0))],
)
def test_a_padded_network_is_that_of_the_padded_image(size, strides, padding, channels):
    left, right, top, bottom = padding
    height, width = size
    larger = (height + top + bottom, width + left + right)
    options = {"channels": [3] * strides, "hidden": 5, "activation": "silu"}
    encoders = [ConvEncoder((channels, *shape), 4, **options) for shape in (size, larger)]
    decoders = [ConvDecoder(4, (channels, *shape), **options) for shape in (size, larger)]
    for (ours, padded), x in ((encoders, torch.rand(6, channels, *size)), (decoders, torch.randn(6, 4))):
        padded.load_state_dict(ours.state_dict())  # the same names and shapes
        surrounded = torch.zeros(6, channels, *larger)
        if x.dim() == 4:
            surrounded[..., top : top + height, left : left + width] = x
            torch.testing.assert_close(ours(x), padded(surrounded))
        else:
            torch.testing.assert_close(ours(x), padded(x)[..., top : top + height, left : left + width])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 4)])
def test_sizes_that_the_strides_divide_are_not_padded(shape, monkeypatch):
    monkeypatch.delattr(torch.nn.functional, "pad")
    options = {"channels": [4, 8], "hidden": 16, "activation": "silu"}
    encoder, decoder = ConvEncoder(shape, 3, **options), ConvDecoder(3, shape, **options)
    x, z = torch.rand(2, *shape), torch.randn(2, 3)
    assert torch.equal(encoder(x), encoder.head(encoder.convolutions(x).flatten(1)))
    assert torch.equal(decoder(z), decoder.convolutions(decoder.head(z).unflatten(1, decoder.start)))


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


def test_a_gated_layer_is_a_product():
    torch.manual_seed(0)
    layer, gate, last = gated_mlp([5, 4, 3])
    (w, v), (b, c) = layer.weight.split(4), layer.bias.split(4)
    x = torch.randn(6, 5)
    torch.testing.assert_close(gate(layer(x)), (x @ w.T + b) * torch.sigmoid(x @ v.T + c))
    assert last.weight.shape == (3, 4)


def test_the_gated_decoder_has_the_widths_of_the_encoder_in_reverse():
    encoder, decoder = GatedMLPEncoder((1, 4, 5), 2, [7, 6]), GatedMLPDecoder(2, (1, 4, 5), [7, 6])
    for network, inputs in ((encoder, [20, 7, 6]), (decoder, [2, 6, 7])):
        assert [layer.in_features for layer in network.layers[::2]] == inputs


@pytest.mark.parametrize(("channels", "groups"), [(8, 2), (6, 1), (1, 0)])
def test_a_residual_block_adds_two_convolutions_of_normalised_activations(channels, groups):
    torch.manual_seed(0)
    made, x = block(channels, "silu"), torch.randn(2, channels, 5, 4)
    h = x
    for layer in made:
        if isinstance(layer, torch.nn.GroupNorm):
            of_group = h.unflatten(1, (groups, -1)).flatten(2)
            of_group = of_group - of_group.mean(2, keepdim=True)
            h = (of_group / (of_group.square().mean(2, keepdim=True) + 1e-5).sqrt()).reshape(h.shape)
        else:
            h = torch.nn.functional.silu(h) if isinstance(layer, torch.nn.SiLU) else layer(h)
    kinds = [type(layer).__name__ for layer in made]
    assert kinds == 2 * [*["GroupNorm"] * (groups > 0), "SiLU", "Conv2d"]
    torch.testing.assert_close(made(x), x + h)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("channels", "maps"), [([2, 3, 4], [(3, 4, 2), (4, 2, 1)]), ([5], [(5, 8, 4)]), ([2, 3], [(3, 4, 2)])]
)
def test_a_resnet_has_blocks_at_all_sizes_but_the_largest_in_both_networks(depth, channels, maps):
    sizes = {"encoder": [], "decoder": []}
    options = {"channels": channels, "depth": depth, "hidden": 5, "activation": "relu"}
    networks = {"encoder": ResNetEncoder((1, 16, 8), 5, **options), "decoder": ResNetDecoder(5, (1, 16, 8), **options)}
    for name, network in networks.items():
        for layer in network.modules():
            if isinstance(layer, Skip):
                layer.register_forward_hook(lambda _, given, x, name=name: sizes[name].append(tuple(x.shape[1:])))
    networks["decoder"](networks["encoder"](torch.rand(1, 1, 16, 8)))
    assert sizes["encoder"] == [size for size in maps for _ in range(depth)]
    assert sizes["decoder"] == sizes["encoder"][::-1]


def test_convolutions_of_depth_one_are_those_of_before():
    """Runs of versions without the option have the same weights, from the same random numbers."""
    networks = []
    for options in ({}, {"depth": 1}):
        torch.manual_seed(0)
        networks.append([ConvEncoder((1, 9, 8), 4, [2, 3], 5, "silu", **options)])
        networks[-1].append(ConvDecoder(4, (1, 9, 8), [2, 3], 5, "silu", **options))
    for before, now in zip(*networks, strict=True):
        assert identical(before.state_dict(), now.state_dict())
    names = [f"{name}.{kind}" for name in ("convolutions.0", "convolutions.2", "head.0", "head.2") for kind in KINDS]
    assert list(networks[1][0].state_dict()) == names


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    assert torch.isfinite(MLPEncoder((1, 4, 4), 3, [8], activation=name)(torch.randn(2, 1, 4, 4))).all()


def test_refusals_say_what_to_do():
    with pytest.raises(ValueError, match=r"activation must be relu or .* or tanh, got swish"):
        MLPEncoder((1, 4, 4), 3, [8], activation="swish")
    with pytest.raises(ValueError, match=r"hidden must be a list, each element a whole number, 1 or more, got .0."):
        MLPDecoder(3, (1, 4, 4), [0], "relu")
    with pytest.raises(ValueError, match=r"depth must be a whole number from 1 to 1000, got 0"):
        ResNetEncoder((1, 4, 4), 3, [2], 0, 4, "relu")
