"""A user's images in a task are read as the run read its own: names of arrays, the white level, polarity."""

import json

import numpy as np
import pytest
from PIL import Image

from src import build
from src.tasks.own_images import read_own_images
from tests.helpers.own_images import X, Y, png, write_folder

TINY = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "trainer.max_epochs=1", "data.shape=auto"]


@pytest.fixture
def trained(run, tmp_path):
    """trained(arrays, "data.white=16"): a run on a file of arrays, and the path of the file."""

    def train(arrays: dict, *options: str):
        np.savez(tmp_path / "own.npz", **arrays)
        own = tmp_path / "own.npz"
        return build.open_run(run("data=images", f"data.path={own}", *options, *TINY)), str(own)

    return train


def are_known(opened, own) -> bool:
    """Whether a user's images are those that the run knows, pixel by pixel."""
    known = {image.tobytes() for split in opened.data.source[3:6] for image in split.images}
    return {image.tobytes() for image in own.images} == known


def test_gray_images_are_inverted_as_the_run_inverted_its_own(trained):
    opened, path = trained({"images": 100 + X // 5}, "data.invert=true", "data.white=255")
    assert are_known(opened, read_own_images(opened, path, "auto", "auto"))


def test_white_is_that_of_the_run_where_no_level_is_above_it(trained, tmp_path):
    opened, path = trained({"images": X // 16}, "data.white=16")
    assert are_known(opened, read_own_images(opened, path, "auto", "auto"))
    np.savez(tmp_path / "dim.npz", images=X[:5] // 32)
    assert read_own_images(opened, str(tmp_path / "dim.npz"), False, "auto").images.max() == round(7 * 255 / 16)
    own = read_own_images(opened, str(write_folder(tmp_path / "bright")), False, "auto")
    assert {image.tobytes() for image in own.images} == {image.tobytes() for image in X}


def test_arrays_are_named_as_in_the_file_of_the_run(trained):
    opened, path = trained({"pix": X, "kind": Y}, "data.images=pix", "data.labels=kind", "data.invert=false")
    own = read_own_images(opened, path, False, "auto")
    assert are_known(opened, own) and own.classes == ("0", "1", "2")


def test_a_folder_of_parquet_files_is_read_and_what_was_fitted_is_said(trained, tmp_path, caplog):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    caplog.set_level("INFO")
    opened, _ = trained({"images": X})
    names = {"info": {"features": {"label": {"names": ["good", "bad"], "_type": "ClassLabel"}}}}
    table = pyarrow.table({"image": [{"bytes": png(x), "path": None} for x in X], "label": (Y % 2).tolist()})
    (tmp_path / "hf").mkdir()
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(names)}), tmp_path / "hf" / "test-0.parquet"
    )
    own = read_own_images(opened, str(tmp_path / "hf"), False, "auto")
    assert len(own.images) == 60 and own.classes == ("good", "bad")
    for i in range(3):
        (tmp_path / "test" / "bad").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (255, 0, 40 * i)).save(tmp_path / "test" / "bad" / f"{i}.png")
    assert read_own_images(opened, str(tmp_path / "test"), False, "auto").classes == ("bad",)
    assert "3 images in color made gray" in caplog.text and "10 x 20, fitted to 8 x 8" in caplog.text
