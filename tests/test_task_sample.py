"""task=sample."""

import numpy as np


def test_samples_are_written(applied, finished):
    numbers, folder = applied(finished, "task=sample", "task.count=5")
    assert {path.name for path in folder.iterdir()} == {"samples.png", "samples.npz", "metrics.json", "task.yaml"}
    with np.load(folder / "samples.npz") as arrays:
        assert arrays["images"].shape == (5, 1, 28, 28)
        assert arrays["z"].shape == (5, 3)
