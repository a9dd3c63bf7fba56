"""A user's own images, and what the configurations name."""

import subprocess
import sys

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src.data.official import PUBLISHED
from src.data.user_images import images as images_of
from tests.helpers.official_files import digest, refusal, shrink, write_files
from tests.helpers.project import ROOT


def grey(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(100, 8, 9), (100, 1, 8, 9), (100, 3, 8, 9)])
def test_npz(shape, tmp_path):
    pixels, labels = grey(*shape), np.repeat([3, 7], 50)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    images = images_of(str(tmp_path / "mine.npz"))
    assert images[:3] == ("mine", str(tmp_path / "mine.npz"), ("3", "7"))
    assert [np.bincount(split.labels).tolist() for split in images[3:6]] == [[40, 40], [5, 5], [5, 5]]
    known = {pixels[i].tobytes(): labels[i] for i in range(100)}
    seen = {image.tobytes(): label for split in images[3:6] for image, label in zip(*split, strict=True)}
    assert {image: (3, 7)[label] for image, label in seen.items()} == known
    assert all(
        split.images.shape[1:] == (pixels[:, None] if pixels.ndim == 3 else pixels).shape[1:] for split in images[3:6]
    )
    assert digest(images_of(str(tmp_path / "mine.npz"))) == digest(images)


def test_npz_without_labels(tmp_path):
    np.savez_compressed(tmp_path / "mine.npz", images=grey(10, 8, 8))
    images = images_of(str(tmp_path / "mine.npz"))
    assert images.classes == ("all",)
    assert [split.labels.tolist() for split in images[3:6]] == [[0] * 8, [0], [0]]
    assert images.train.labels.dtype == np.int64


def test_npz_splits_every_class_alike(tmp_path):
    """Classes of 3 to 95 images: each part has a tenth of each, to within one image."""
    sizes = np.array([3, 12, 27, 95])
    labels = np.repeat(["a", "b", "c", "d"], sizes)
    np.savez(tmp_path / "mine.npz", images=grey(len(labels), 4, 4), labels=labels)
    images = images_of(str(tmp_path / "mine.npz"))
    assert images.classes == ("a", "b", "c", "d")
    for split, share in zip(images[3:6], (0.8, 0.1, 0.1), strict=True):
        assert (abs(np.bincount(split.labels, minlength=4) - share * sizes) < 1 + 1e-9).all()


@pytest.mark.parametrize("content", [None, b"", b"hello", "cut"])
def test_npz_that_is_none(content, tmp_path):
    path = tmp_path / "mine.npz"
    if content == "cut":
        np.savez(path, images=grey(20, 8, 8))
        path.write_bytes(path.read_bytes()[:-30])
    elif content is not None:
        path.write_bytes(content)
    assert str(path) in refusal(images_of, str(path))


@pytest.mark.parametrize("name", ["mnist5k", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist", "npz"])
def test_configured_source(name, cache, tmp_path, monkeypatch):
    """conf/data/NAME.yaml calls the source of that name with the options it shows, and names the data as it does."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    published = {"emnist": "emnist_balanced"}.get(name, name)
    if published in PUBLISHED:
        write_files(tmp_path / PUBLISHED[published].name / "raw", shrink(monkeypatch, published))
    np.savez(tmp_path / "mine.npz", images=grey(20, 28, 28))
    data = OmegaConf.create({"data": OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")}).data
    if name == "npz":
        data.path = str(tmp_path / "mine.npz")
    images = instantiate(data.source)
    assert images.name == ("mine" if name == "npz" else data.name)
    assert images.train.images.shape[1:] == ((1, 28, 28) if name == "npz" else tuple(data.shape))


def test_import_is_light():
    """Reading images starts no torch, no torchvision and no mlxtend."""
    heavy = "{'torch', 'torchvision', 'mlxtend', 'pandas'}"
    code = f"import sys, src.data.sources, src.data.official; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
