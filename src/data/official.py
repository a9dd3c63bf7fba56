"""The official data sets: what was published, and the sources that `source._target_` of conf/data/NAME.yaml names."""

from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Literal, get_args

import numpy as np

from src.data.folders import absolute_path
from src.data.official_files import Archive, File, Published, are_on_disk, first_column, read
from src.data.sources import DIGITS, Images, Split
from src.support.errors import UserError

EmnistSplit = Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"]
QmnistSplit = Literal["test10k", "test50k", "test60k"]
QMNIST_TEST = {"test10k": slice(10_000), "test50k": slice(10_000, None), "test60k": slice(None)}
GARMENTS = (
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# A letter whose two cases look alike has one class in MERGED, which its upper case names.
CHARACTERS, MERGED = (*DIGITS, *ascii_uppercase, *ascii_lowercase), (*DIGITS, *ascii_uppercase, *"abdefghnqrt")
HELD_OUT = 10_000  # validation images, unless the authors say otherwise
AT_ONCE = 10_000  # images that are transposed in one step
OF_MNIST = {"train": 60_000, "t10k": 10_000}  # how names of files begin, and their numbers of images


def idx_files(parts: Mapping[str, int], labels: tuple[int, int] = (0, 9)) -> tuple[File, File, File, File]:
    """The files of images and of labels of two parts, training and test, of so many images of 28 x 28 pixels."""
    (train, many), (test, few) = parts.items()
    return (
        File(f"{train}-images-idx3-ubyte", (many, 28, 28)),
        File(f"{train}-labels-idx1-ubyte", (many,), labels),
        File(f"{test}-images-idx3-ubyte", (few, 28, 28)),
        File(f"{test}-labels-idx1-ubyte", (few,), labels),
    )


def with_md5(
    files: tuple[File, File, File, File], *checksums: str, packed: bool = False
) -> tuple[File, File, File, File]:
    """The files with the MD5 of each, or with that of each .gz file."""
    a, b, c, d = (
        file._replace(**{"packed_md5" if packed else "md5": checksum})
        for file, checksum in zip(files, checksums, strict=True)
    )
    return a, b, c, d


def emnist_files(split: str, train: int, test: int, classes: tuple[str, ...], lowest: int = 0) -> Published:
    """What was published of a split of EMNIST, whose labels begin at `lowest`."""
    parts = {f"emnist-{split}-train": train, f"emnist-{split}-test": test}
    return Published(
        "EMNIST",
        idx_files(parts, (lowest, lowest + len(classes) - 1)),
        classes,
        held_out=test,
        archive=Archive("gzip.zip", "gzip", "58c8d27c78d21e728a6bc7b3cc06412e"),
        transposed=True,
    )


PUBLISHED = {
    "mnist": Published(
        "MNIST",
        with_md5(
            idx_files(OF_MNIST),
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        DIGITS,
        HELD_OUT,
    ),
    "fashion_mnist": Published(
        "FashionMNIST",
        with_md5(
            idx_files(OF_MNIST),
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        GARMENTS,
        HELD_OUT,
        elsewhere=(Path("/usr/share/datasets/fashion-mnist"),),
        package="apt install dataset-fashion-mnist",  # Debian's, compressed otherwise than the published files
    ),
    "kmnist": Published(
        "KMNIST",
        with_md5(
            idx_files(OF_MNIST),
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
            packed=True,
        ),
        HIRAGANA,
        HELD_OUT,
    ),
    "qmnist": Published(
        "QMNIST",
        with_md5(
            (
                File("qmnist-train-images-idx3-ubyte", (60_000, 28, 28)),
                File("qmnist-train-labels-idx2-int", (60_000, 8), (0, 9), ">i4"),
                File("qmnist-test-images-idx3-ubyte", (60_000, 28, 28)),
                File("qmnist-test-labels-idx2-int", (60_000, 8), (0, 9), ">i4"),
            ),
            "ed72d4157d28c017586c42bc6afe6370",
            "0058f8dd561b90ffdd0f734c6a30e5e4",
            "1394631089c404de565df7b7aeaf9412",
            "5b5b05890a5e13444e108efe57b788aa",
            packed=True,
        ),
        DIGITS,
        HELD_OUT,
    ),
    "emnist_balanced": emnist_files("balanced", 112_800, 18_800, MERGED),
    "emnist_byclass": emnist_files("byclass", 697_932, 116_323, CHARACTERS),
    "emnist_bymerge": emnist_files("bymerge", 697_932, 116_323, MERGED),
    "emnist_letters": emnist_files("letters", 124_800, 20_800, tuple(ascii_uppercase), lowest=1),
    "emnist_digits": emnist_files("digits", 240_000, 40_000, DIGITS),
    "emnist_mnist": emnist_files("mnist", 60_000, 10_000, DIGITS),
}


def mnist(root: str) -> Images:
    """MNIST: 50,000 / 10,000 (the last of the official training set) / 10,000 (the official test set).

    Read from `root`/MNIST/raw, or downloaded to that folder. Raises UserError where a file is missing and can't be
    downloaded, or is not the official one; such a file is not changed.
    """
    return load("mnist", root)


def fashion_mnist(root: str) -> Images:
    """Fashion-MNIST, split like MNIST: 50,000 / 10,000 / 10,000.

    Read from `root`/FashionMNIST/raw, otherwise from Debian's folder, otherwise downloaded. UserError as for `mnist`.
    """
    return load("fashion_mnist", root)


def kmnist(root: str) -> Images:
    """Kuzushiji-MNIST, ten hiragana in cursive hand (Clanuwat et al., 2018), split like MNIST.

    Read from `root`/KMNIST/raw, or downloaded to that folder as .gz files, whose MD5 were published. Of files that are
    there without their .gz, the header, the size and the range of the labels are verified. UserError as for `mnist`.
    """
    return load("kmnist", root)


def emnist(root: str, split: EmnistSplit) -> Images:
    """EMNIST, handwritten digits and letters, in one of its official splits (Cohen et al., 2017).

    The images, which were published transposed, are upright. As its authors suggest, the last of the training images
    validate, as many as there are test images. The classes are those of the authors' mappings: `balanced`, `bymerge`
    (47) have one for both cases of c, i, j, k, l, m, o, p, s, u, v, w, x, y, z; `letters` (26) has one for both cases
    of each letter, and no numbers of labels are accepted for it, since the authors count from 1.

    Read from the archive gzip.zip in `root`/EMNIST/raw, otherwise from single files there, which torchvision unpacks,
    otherwise the archive is downloaded (535 MB). The archive's MD5 was published; of single files, the header, the size
    and the range of the labels are verified. UserError as for `mnist`.
    """
    check_split(split, get_args(EmnistSplit))
    return load(f"emnist_{split}", root)


def qmnist(root: str, split: QmnistSplit) -> Images:
    """QMNIST, MNIST made anew from NIST's digits, with the test images that MNIST lacks (Yadav and Bottou, 2019).

    It is split like MNIST, 50,000 / 10,000 / 10,000, where `split` is test10k, whose images are those of MNIST's test
    set; test50k are the 50,000 others, test60k both. Files and UserError as for `kmnist`, in `root`/QMNIST/raw.
    """
    check_split(split, get_args(QmnistSplit))
    images = load("qmnist", root)
    return images._replace(name=f"qmnist_{split}", test=images.test.take(QMNIST_TEST[split]))


def check_split(split: str, splits: tuple[str, ...]) -> None:
    """Raise UserError for a split that does not exist; a run's file may name any."""
    if split not in splits:
        raise UserError(f"data.split must be {' | '.join(splits)}, got {split}")


def load(name: str, root: str) -> Images:
    """The images of a data set in PUBLISHED, upright, their labels from 0."""
    published = PUBLISHED[name]
    (images, labels, test_images, test_labels), origin = read(published, absolute_path(root, "data.root"))
    if published.transposed:
        transpose_images(images)
        transpose_images(test_images)
    lowest, _ = published.files[1].labels or (0, 0)
    labels, test_labels = (first_column(each).astype(np.int64) - lowest for each in (labels, test_labels))
    count = len(images) - published.held_out
    train = Split(images[:count, None], labels[:count])
    val = Split(images[count:, None], labels[count:])
    return Images(
        name, origin, published.classes, train, val, Split(test_images[:, None], test_labels), numbered=lowest == 0
    )


def transpose_images(images: np.ndarray) -> None:
    """Exchange the rows and the columns of images (N, H, H) in place: a copy of EMNIST takes half a gigabyte."""
    for start in range(0, len(images), AT_ONCE):
        part = images[start : start + AT_ONCE]
        part[:] = part.transpose(0, 2, 1).copy()


def can_read(target: str, root: str, split: str | None = None) -> bool:
    """Whether a source of this module, given by its dotted path, needs no download with these options."""
    published = published_set(target, split)
    return published is not None and are_on_disk(published, absolute_path(root, "data.root"))


def class_names(target: str, split: str | None = None) -> tuple[str, ...] | None:
    """The names of the classes of a source of this module, given by its dotted path; None for any other source."""
    published = published_set(target, split) if target.startswith(f"{__name__}.") else None
    return published and published.classes


def published_set(target: str, split: str | None) -> Published | None:
    """The data set in PUBLISHED that a source reads, given by its dotted path; None where there is none of its name."""
    name = target.rpartition(".")[2]
    return PUBLISHED.get(f"{name}_{split}" if name == "emnist" else name)
