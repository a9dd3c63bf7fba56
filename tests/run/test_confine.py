"""What a configuration from a file may decide of places."""

import pytest
from omegaconf import OmegaConf

from src.run.confine import confine
from tests.helpers.official_files import shrink, write_files


@pytest.mark.parametrize(("split", "stays"), [("letters", True), ("digits", False), ("everything", False)])
def test_images_are_read_in_the_folder_of_the_file_only_where_they_are(split, stays, monkeypatch, tmp_path):
    root = str(tmp_path / "theirs")
    write_files(tmp_path / "theirs" / "EMNIST" / "raw", shrink(monkeypatch, "emnist_letters"))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "here"))
    source = {"_target_": "src.data.official.emnist", "root": root, "split": split}
    cfg = OmegaConf.create({"data": {"root": root, "source": source}})
    confine(cfg)
    assert cfg.data.root == cfg.data.source.root == (root if stays else str(tmp_path / "here"))
