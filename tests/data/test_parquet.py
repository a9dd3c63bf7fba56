"""data=images of Parquet files, as Hugging Face's datasets writes them."""

import json

import pytest

from tests.helpers.own_images import X_TEST, Y_TEST, X, Y, images, png, refusal

pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
NAMES = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["zero", "one", "two"]}}}})}
CELLS = [{"bytes": png(image), "path": None} for image in X]
TEST_CELLS = [{"bytes": png(image), "path": None} for image in X_TEST]


def save(path, cells, labels=None, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": cells} | ({} if labels is None else {"label": labels})
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), path)


def sizes(found):
    return [len(getattr(found, split).images) for split in ("train", "val", "test")]


@pytest.mark.parametrize("metadata", [NAMES, None])
@pytest.mark.parametrize("label", [-1, None])
def test_an_unlabelled_split_is_left_out(label, metadata, tmp_path):
    save(tmp_path / "train-0.parquet", CELLS, Y.tolist(), metadata)
    save(tmp_path / "test-0.parquet", TEST_CELLS, pyarrow.array([label] * len(X_TEST), pyarrow.int64()), metadata)
    found = images(tmp_path)
    assert "the images of test, which have no labels, left out" in found.notes
    assert len(found.classes) == 3 and sum(sizes(found)) == 60


def test_images_whose_labels_all_mean_none_have_no_classes(tmp_path):
    save(tmp_path / "a.parquet", CELLS, [-1] * 60, NAMES)
    assert images(tmp_path / "a.parquet").classes == ("all",)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([None, *Y.tolist()[1:]], "row 1 has the label None, which means none"),
        ([*Y.tolist()[:-1], -1], "row 60 has the label -1, which means none"),
        ([[int(label)] for label in Y], "several labels for an image"),
    ],
)
@pytest.mark.parametrize("metadata", [NAMES, None])
def test_labels_that_can_not_be_used_are_refused(labels, text, metadata, tmp_path):
    save(tmp_path / "a.parquet", CELLS, labels, metadata)
    assert text in refusal(tmp_path / "a.parquet")


def test_files_of_splits_are_known_by_their_folder_or_their_name(tmp_path):
    for train, test in (
        ("train/0000", "test/0000"),
        ("default/train/0", "default/test/0"),
        ("data/train-0", "data/test-0"),
    ):
        top = tmp_path / train.replace("/", "_")
        save(top / f"{train}.parquet", CELLS, Y.tolist())
        save(top / f"{test}.parquet", TEST_CELLS, Y_TEST.tolist())
        found = images(top)
        assert {each.tobytes() for each in found.test.images} == {each.tobytes() for each in X_TEST}
        assert sizes(found)[0] + sizes(found)[1] == 60


def test_no_image_of_several_files_is_lost_without_a_word(tmp_path):
    save(tmp_path / "one" / "train-0.parquet", CELLS, Y.tolist())
    save(tmp_path / "one" / "extra.parquet", TEST_CELLS, Y_TEST.tolist())
    found = images(tmp_path / "one")
    assert sum(sizes(found)) == 60 and "files outside the splits left out: extra.parquet" in found.notes
    save(tmp_path / "one" / "test-0.parquet", TEST_CELLS[:5], Y_TEST.tolist()[:5])
    found = images(tmp_path / "one")
    assert sizes(found)[2] == 5 and sum(sizes(found)) == 65
    assert "files outside the splits left out: extra.parquet" in found.notes
    save(tmp_path / "two" / "data.parquet", CELLS, Y.tolist())
    save(tmp_path / "two" / "test.parquet", TEST_CELLS, Y_TEST.tolist())
    assert sizes(images(tmp_path / "two"))[2] == len(X_TEST)


def test_rows_without_images_are_named(tmp_path):
    save(tmp_path / "a.parquet", [{"bytes": None, "path": "cat/1.png"}] * 60, Y.tolist())
    assert "holds paths such as cat/1.png, not the images" in refusal(tmp_path / "a.parquet")
    save(tmp_path / "b.parquet", [None, *CELLS[1:]], Y.tolist())
    message = refusal(tmp_path / "b.parquet")
    assert "b.parquet[0]" in message and "data.skip_broken=true" in message and "BytesIO" not in message
    assert sum(sizes(images(tmp_path / "b.parquet", skip_broken=True))) == 59
    save(tmp_path / "c.parquet", ["a.png"] * 60, Y.tolist())
    assert "holds text such as 'a.png', and must hold images" in refusal(tmp_path / "c.parquet")


def test_names_of_labels_that_are_text_or_numbers(tmp_path):
    save(tmp_path / "a.parquet", CELLS, ["cat" if label else "dog" for label in Y])
    assert images(tmp_path / "a.parquet").classes == ("cat", "dog")
