"""Parts as a user would write them, the text of a module."""

OWN_ENCODER = """
from torch import nn

class Encoder(nn.Sequential):
    def __init__(self, shape, out_features, hidden, activation, residual):
        assert type(hidden) is list
        super().__init__(nn.Flatten(), nn.Dropout(0.4), nn.BatchNorm1d(784), nn.Linear(784, out_features))
"""
