"""Commands that run in this process, on small images in place of the data sets."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from hydra.core.global_hydra import GlobalHydra

from src import figures
from src.data import official, sources
from src.data.sources import Images

OFFICIAL = ("mnist", "fashion_mnist", "kmnist", "emnist", "qmnist")
CLASSES = {"fashion_mnist": ("Trouser", "Dress", "Coat", "Bag")}  # of the four in the small images


def replace_sources(monkeypatch: pytest.MonkeyPatch, images: Images) -> None:
    """Replace MNIST and the data sets like it by small images, and draw no figures of a training."""
    for module, name in [(sources, "mnist5k"), *((official, each) for each in OFFICIAL)]:
        small = images._replace(name=name, classes=CLASSES.get(name, ("1", "4", "7", "9")))
        monkeypatch.setattr(module, name, lambda root=None, split=None, small=small: small)
    monkeypatch.setattr(figures, "draw_final", lambda trace, folder: [])
    monkeypatch.setattr(figures, "draw_latest", lambda trace, folder: [])


def make_command(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Callable[..., None]:
    """make_command(monkeypatch, train)("model=conv", ...) is python -m src.train model=conv ... in this process."""

    def run(*words: str) -> None:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", *words])
        module.main()

    return run
