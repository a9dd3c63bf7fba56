"""Fixtures of the tests of images."""

import numpy as np
import pytest


@pytest.fixture
def ramp() -> np.ndarray:
    """An image (28, 28) of all levels, from black to white."""
    return np.linspace(0, 255, 28 * 28).round().astype(np.uint8).reshape(28, 28)
