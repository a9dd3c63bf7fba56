"""The images that a run is compared with where the user names none."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from src.tasks.anomaly.sets import default_sets
from tests.helpers.official_files import shrink, write_files

CORRUPTED = ["flip_vertical", "flip_horizontal", "noise"]


@pytest.mark.parametrize(
    ("name", "other", "folder"), [("kmnist", "mnist", "MNIST"), ("mnist5k", "fashion_mnist", "FashionMNIST")]
)
def test_another_data_set_is_compared_with_where_its_files_are(name, other, folder, monkeypatch, tmp_path):
    files = shrink(monkeypatch, other)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    run = SimpleNamespace(excluded_labels=[], config=OmegaConf.create({"data": {"name": name}}))
    assert default_sets(run) == CORRUPTED
    write_files(tmp_path / folder / "raw", files)
    assert default_sets(run) == [*CORRUPTED, other]


def test_a_run_without_a_counterpart_is_compared_with_corrupted_images():
    run = SimpleNamespace(excluded_labels=[], config=OmegaConf.create({"data": {"name": "mine"}}))
    assert default_sets(run) == CORRUPTED
