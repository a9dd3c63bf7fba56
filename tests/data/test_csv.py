"""data=images of CSV tables, in the habits of those who write them."""

import re

import numpy as np
import pytest

from tests.helpers.own_images import CSV, HEADER, X, Y, images, refusal, write

ROWS = [row.split(",", 1) for row in CSV]  # label, pixels
FACES = ["emotion,pixels,Usage", *(f"{label},{pixels.replace(',', ' ')},Training" for label, pixels in ROWS)]
VARIED = np.random.default_rng(0).integers(0, 256, (60, 64))  # no pixel is the same in most images
VARIED_ROWS = [",".join(map(str, row)) for row in VARIED]


def table(*lines: str):
    return write("a.csv", "\n".join(lines))


SAME = {
    "rows numbered as Kaggle does": table("ImageId," + HEADER, *(f"{i},{row}" for i, row in enumerate(CSV))),
    "names of files": table("filename," + HEADER, *(f"{i}.png,{row}" for i, row in enumerate(CSV))),
    "a column of labels of another name": table(HEADER.replace("label", "letter"), *CSV),
    "rows and columns as names": table("label," + ",".join(f"{i}x{j}" for i in range(1, 9) for j in range(1, 9)), *CSV),
    "numbers as names": table("label," + ",".join(map(str, range(64))), *CSV),
    "all names are numbers": table(",".join(map(str, range(65))), *CSV),
    "labels last": table(HEADER.removeprefix("label,") + ",label", *(f"{pixels},{label}" for label, pixels in ROWS)),
    "labels last, without names": table(*(f"{pixels},{label}" for label, pixels in ROWS)),
    "blanks and quotes": table(HEADER, *('"' + row.replace(",", '" , "') + '"' for row in CSV)),
    "one column of pixels": table(*FACES),
    "whole numbers with a point": table(HEADER, *(f"{label}.0,{pixels}" for label, pixels in ROWS)),
    "tabs": table(HEADER.replace(",", "\t"), *(row.replace(",", "\t") for row in CSV)),
    "a blank line at the end": table(HEADER, *CSV, "", ""),
}


@pytest.mark.parametrize("form", SAME)
def test_images_and_labels_are_the_same_in_each_form(form, tmp_path):
    (tmp_path / "plain").mkdir()
    wanted, found = images(table(HEADER, *CSV)(tmp_path / "plain")), images(SAME[form](tmp_path))
    assert found.classes == wanted.classes == ("0", "1", "2")
    for split in ("train", "val", "test"):
        for one, other in zip(getattr(found, split), getattr(wanted, split), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(("lines", "note"), [
    ([f"{label},{row}" for label, row in zip(Y, VARIED_ROWS, strict=True)], "labels are in the first column"),
    ([f"{row},{label}" for label, row in zip(Y, VARIED_ROWS, strict=True)], "labels are in the last column"),
])  # fmt: skip
def test_labels_are_told_from_pixels_that_vary(lines, note, tmp_path):
    found = images(table(*lines)(tmp_path))
    assert note in found.notes
    every = np.concatenate([found.train.images, found.val.images, found.test.images]).reshape(60, 64)
    assert {row.tobytes() for row in every} == {row.astype(np.uint8).tobytes() for row in VARIED}
    assert found.classes == ("0", "1", "2")


def test_the_first_row_of_a_table_without_names_is_an_image(tmp_path):
    names = ["cat" if i % 2 else "dog" for i in range(60)]
    for lines in (
        [f"{name},{pixels}" for name, (_, pixels) in zip(names, ROWS, strict=True)],
        [f"{pixels},{name}" for name, (_, pixels) in zip(names, ROWS, strict=True)],
    ):
        found = images(table(*lines)(tmp_path))
        assert sum(len(getattr(found, split).images) for split in ("train", "val", "test")) == 60
        assert found.classes == ("cat", "dog")


def test_a_column_of_labels_may_be_given_by_its_number(tmp_path):
    path = table(*(f"{pixels},{label}" for label, pixels in ROWS))(tmp_path)
    assert images(path, labels="64").classes == ("0", "1", "2")


def test_splits_of_a_column_are_kept(tmp_path):
    lines = [row.replace("Training", "PrivateTest" if i % 3 == 0 else "Training") for i, row in enumerate(FACES)]
    found = images(table(*lines)(tmp_path))
    assert np.array_equal(found.test.images[:, 0], X[2::3])
    assert len(found.train.images) + len(found.val.images) == 40


def test_columns_that_are_left_out_are_named(tmp_path):
    found = images(table("ImageId," + HEADER, *(f"{i},{row}" for i, row in enumerate(CSV)))(tmp_path))
    assert "columns left out: ImageId" in found.notes


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (",".join(["0"] * 64), "Expected 65 fields in line 3, saw 64|line 3, column .* is empty"),
        (",".join(["0"] * 66), "Expected 65 fields in line 3, saw 66"),
        ("0," + ",".join(["0"] * 63) + ",", r"line 3, column pixel63 is empty"),
        ("0," + ",".join(["0"] * 63) + ",x", r"line 3, column pixel63 holds 'x', which is no number"),
        ("0," + ",".join(["0"] * 63) + ",nan", r"line 3, column pixel63 is empty"),
        ("0.5," + ",".join(["0"] * 64), r"line 3 has the label 0.5, and labels are whole numbers or names"),
        ("," + ",".join(["0"] * 64), r"line 3 has no label in column label"),
    ],
)
def test_a_fault_is_named_by_its_line(row, text, tmp_path):
    assert re.search(text, refusal(table(HEADER, CSV[0], row, *CSV[2:])(tmp_path)))


def test_large_labels_are_not_merged(tmp_path):
    found = images(table(HEADER, *(f"{16777216 + int(label)},{pixels}" for label, pixels in ROWS))(tmp_path))
    assert found.classes == ("16777216", "16777217", "16777218")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("\n".join([HEADER, *CSV]).encode("utf-16"), "is text in UTF-16, .* save it in UTF-8"),
        ("\n".join([HEADER, *CSV]).replace("label", "Größe").encode("latin-1"), "not in UTF-8, .* save it in UTF-8"),
        (b"filename,label\na.png,cat\nb.png,dog\n", "names of image files, .* a folder of its name"),
    ],
)
def test_other_text_is_refused_with_its_remedy(content, text, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    assert re.search(text, refusal(tmp_path / "a.csv"))


def test_labels_in_their_order_are_not_taken_for_a_border(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 16))
    pixels[:, -1] = np.arange(1500) % 300 == 0  # the corner of images, nearly always black
    lines = [",".join(map(str, [label, *row])) for label, row in zip(np.arange(1500) // 1200, pixels, strict=True)]
    assert "data.labels=0 or data.labels=16" in refusal(table(*lines)(tmp_path))
    assert images(tmp_path / "a.csv", labels="0").classes == ("0", "1")


def test_a_table_whose_labels_can_not_be_told_is_refused(tmp_path):
    binary = (X > 127).astype(int).reshape(60, 64)
    binary[:, 0], label = np.arange(60) % 2, np.arange(60) // 30
    lines = [",".join(map(str, [*row, one])) for row, one in zip(binary, label, strict=True)]
    assert "data.labels=0 or data.labels=64" in refusal(table(*lines)(tmp_path))
