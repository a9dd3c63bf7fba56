"""The sizes of the layers of this project's networks, by their options alone: nothing is imported or made for them."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

MOST_OF_A_SIZE = 2000  # layers that are counted: more, which the ranges of their options refuse, would fill the memory


class Layers(NamedTuple):
    """What the options of a network tell about its layers, named from the image to the code.

    at_image: the weights of the layer whose number grows with the image's; between: those of the others
    outputs: the numbers that each layer gives for an image; the last of them are next to the code
    names: the options, as NAME=VALUE
    code: the numbers of the code next to them, where they are not `latent_dim`
    """

    at_image: int
    between: list[int]
    outputs: list[int]
    names: list[str]
    code: int | None = None


def layers_of(part: str, network: Any, shape: list[int]) -> Layers | None:
    """The layers of an encoder or a decoder, as far as they are known from its options; None if nothing is."""
    if isinstance(network, Mapping) and str(network.get("_target_")).endswith((".BottomUp", ".TopDown")):
        return levels_of(part, network, shape)
    hidden = network.get("hidden") if isinstance(network, Mapping) else None
    widths = hidden if isinstance(hidden, list) else [hidden]
    if not widths or not is_count(*widths):
        return None
    kind = str(network.get("_target_")).rpartition(".")[2].removesuffix("Encoder").removesuffix("Decoder")
    if isinstance(hidden, list):
        return linear_layers(part, kind, widths, shape)
    channels, depth = network.get("channels"), network.get("depth", 1)
    if kind not in ("Conv", "ResNet") or not isinstance(channels, list) or not channels:
        return Layers(0, [], widths, [option(part, "hidden", hidden)])
    if not is_count(*channels, depth):
        return Layers(0, [], widths, [option(part, "hidden", hidden)])
    names = [option(part, "channels", channels), *([option(part, "depth", depth)] if depth > 1 else [])]
    same_size = [2 * depth if kind == "ResNet" else depth - 1] * len(channels)
    if kind == "ResNet" and len(channels) > 1:
        same_size[0] = 0
    return convolutions(channels, same_size, hidden, shape, [*names, option(part, "hidden", hidden)])


def levels_of(part: str, network: Mapping[str, Any], shape: list[int]) -> Layers | None:
    """The layers of a hierarchy: convolutions, in the encoder as many of a size as its depth, in the decoder one for
    each level and one beside it in the posterior; and the hidden layers of the top level."""
    channels, levels = network.get("channels"), network.get("levels", [])
    depth, hidden = network.get("depth", 1), network.get("hidden", 0)
    if not (isinstance(channels, list) and channels and is_count(*channels, depth) and isinstance(levels, list)):
        return None
    if not all(count == 0 or is_count(count) for count in [*levels, hidden, network.get("top", 0)]):
        return None
    same_size = [2 * count for count in levels] if levels else [depth - 1] * len(channels)
    names = [option(part, "channels", channels), *([option(part, "levels", levels)] if levels else [])]
    names += [option(part, "hidden", hidden)] if hidden else []
    of_decoder = convolutions(channels, same_size, hidden, shape, names)
    # the posterior of the top level has a hidden layer of that size, too
    return of_decoder._replace(between=[*of_decoder.between, of_decoder.at_image], code=network.get("top", 0))


def linear_layers(part: str, kind: str, hidden: list[int], shape: list[int]) -> Layers:
    """Fully connected layers; with gates, each has two weights and outputs for one, in the encoder's order."""
    names, copies = [option(part, "hidden", hidden)], 2 if kind == "GatedMLP" else 1
    widths = hidden if part == "encoder" or kind == "GatedMLP" else hidden[::-1]
    at_image = math.prod(shape) * widths[0] * (copies if part == "encoder" else 1)
    return Layers(
        at_image, [copies * a * b for a, b in itertools.pairwise(widths)], [copies * w for w in widths], names
    )


def convolutions(channels: list[int], same_size: list[int], hidden: int, shape: list[int], names: list[str]) -> Layers:
    """For each of the channels a convolution that halves the image and some that keep its size; a hidden layer."""
    strides = len(channels)
    height, width = (-(-side // 2**strides) for side in shape[1:])  # after all strides
    maps, kernels = [], []
    counts = [min(count, MOST_OF_A_SIZE) for count in same_size]
    for i, (c_in, c_out, count) in enumerate(zip([shape[0], *channels], channels, counts, strict=False), start=1):
        maps += (1 + count) * [c_out * height * width * 4 ** (strides - i)]
        kernels += [16 * c_in * c_out, *count * [9 * c_out * c_out]]
    return Layers(maps[-1] * hidden, kernels, [*maps, hidden], names)


def option(part: str, name: str, value: Any) -> str:
    """An option of a network, as NAME=VALUE."""
    return f"model.{part}.{name}={value}".replace(" ", "")


def is_count(*values: Any) -> bool:
    """Whether all of these values are whole numbers above zero."""
    return all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
