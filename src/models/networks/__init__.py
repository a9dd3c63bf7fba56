"""Encoders (B, C, H, W) -> (B, features) and decoders (B, features) -> (B, C, H, W).

An encoder is constructed with (shape, out_features), a decoder with (in_features, shape), which VAE fills in; the other
arguments are options of conf/model.
"""

from src.models.networks.conv import ConvDecoder, ConvEncoder
from src.models.networks.gated import GatedMLPDecoder, GatedMLPEncoder
from src.models.networks.mlp import MLPDecoder, MLPEncoder
from src.models.networks.resnet import ResNetDecoder, ResNetEncoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "GatedMLPDecoder",
    "GatedMLPEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "ResNetDecoder",
    "ResNetEncoder",
]
