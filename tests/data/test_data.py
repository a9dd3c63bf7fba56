"""Order, binarisation and shares of the images."""

import hashlib
import os

import numpy as np
import pytest
import torch

from src.data.module import TRAINING_SUBSET
from src.data.official import fashion_mnist, mnist
from src.data.pixels import binarize_as_published
from src.data.sources import Images, Split
from src.support.errors import UserError
from tests.helpers.images import epoch_of, image_data

needs_data = pytest.mark.skipif("DATA_ROOT" not in os.environ, reason="DATA_ROOT does not name the full data sets")


def test_order_and_pixels_depend_on_seed_and_epoch_alone(images):
    x, _y, index = epoch_of(image_data(images, epoch=3))
    torch.rand(7)  # the process's own random state has no say
    again = epoch_of(image_data(images, epoch=3))
    assert torch.equal(x, again[0])
    assert torch.equal(index, again[2])
    for other in (image_data(images, epoch=4), image_data(images, epoch=3, seed=1)):
        x_other, _, index_other = epoch_of(other)
        assert not torch.equal(index, index_other)
        assert not torch.equal(x[index.argsort()][:280], x_other[index_other.argsort()][:280])


def test_an_epoch_shows_each_image_once_in_whole_batches(images):
    data = image_data(images)
    _x, y, index = epoch_of(data)
    assert len(data.train_dataloader()) == 300 // 32
    assert len(index) == len(index.unique()) == 32 * (300 // 32)
    assert torch.equal(y, torch.from_numpy(images.train.labels)[index])


def test_processes_share_what_one_process_would_see(images):
    one = epoch_of(image_data(images, batch_size=64))
    shares = [epoch_of(image_data(images, rank=rank, world=2)) for rank in (0, 1)]
    for part in range(3):
        steps = zip(*(share[part].split(32) for share in shares), strict=True)
        assert torch.equal(torch.cat([half for step in steps for half in step]), one[part])


def test_training_pixels_are_drawn_with_their_intensity(images):
    drawn = torch.zeros(300, 1, 28, 28, dtype=torch.float64)
    counts = torch.zeros(300)
    for epoch in range(300):
        x, _, index = epoch_of(image_data(images, epoch=epoch))
        assert x.unique().tolist() == [0, 1]
        drawn[index] += x
        counts[index] += 1
    p = torch.from_numpy(images.train.images).double() / 255
    spread = (p * (1 - p) / counts[:, None, None, None]).sqrt()
    z = ((drawn / counts[:, None, None, None] - p) / spread.clamp(min=1e-9))[spread > 0.01]
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    assert (drawn[p == 0] == 0).all()


def test_intensity_255_is_always_one(images):
    white = images._replace(train=images.train._replace(images=np.full_like(images.train.images, 255)))
    assert epoch_of(image_data(white))[0].min() == 1


def test_greys_are_the_intensities(images):
    x, _, index = epoch_of(image_data(images, pixels="levels"))
    assert torch.equal(x, torch.from_numpy(images.train.images)[index].float() / 255)


def test_dequantised_greys_fill_their_level_evenly(images):
    x, _, index = epoch_of(image_data(images, pixels="dequantized"))
    within = x.double() * 256 - torch.from_numpy(images.train.images)[index]
    assert within.min() >= 0 and within.max() <= 1
    assert x.max() < 1
    counts = torch.histc(within, 10, 0, 1) / within.numel()
    torch.testing.assert_close(counts, torch.full((10,), 0.1, dtype=counts.dtype), atol=0.004, rtol=0)
    again = epoch_of(image_data(images, pixels="dequantized", epoch=1))
    assert not torch.equal(x[index.argsort()][:280], again[0][again[2].argsort()][:280])
    for batch in image_data(images, pixels="dequantized").val_dataloader()[0]:
        assert torch.equal((batch.x * 256).floor(), torch.from_numpy(images.val.images)[batch.index].float())


@pytest.mark.parametrize("pixels", ["binary", "dequantized", "levels"])
def test_evaluation_images_are_always_the_same(images, pixels):
    data, again = image_data(images, pixels=pixels), image_data(images, pixels=pixels, seed=5, epoch=9, batch_size=7)
    for a, b in zip(*(each.val_dataloader() + each.test_dataloader() for each in (data, again)), strict=True):
        for left, right in zip(a, b, strict=True):
            assert torch.equal(left.x, right.x)
            assert (pixels == "binary") == (set(left.x.unique().tolist()) <= {0.0, 1.0})
    sizes = [sum(len(b.x) for b in batches) for batches in data.val_dataloader() + data.test_dataloader()]
    assert sizes == [60, 300, 50, 60]


@pytest.mark.parametrize("pixels", ["binary", "dequantized", "levels"])
def test_the_training_images_that_are_measured_stand_for_all(pixels):
    """The first half of them is black and the second half white."""
    white = np.arange(3 * TRAINING_SUBSET) >= 1.5 * TRAINING_SUBSET
    train = Split(np.where(white[:, None, None, None], np.uint8(255), np.uint8(0)), white.astype(np.int64))
    few = Split(train.images[::3000], train.labels[::3000])
    data = image_data(Images("halves", "made here", ("black", "white"), train, few, few), pixels=pixels)
    batches = list(data.val_dataloader()[1])
    x, y = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("x", "y"))
    assert len(y) == TRAINING_SUBSET
    assert y.float().mean() == 0.5
    assert torch.equal(x[:, 0, 0, 0].round().long(), y)


def test_batch_size_is_checked(images):
    with pytest.raises(UserError, match=r"a step takes 600 images, but there are 300: reduce data.batch_size"):
        image_data(images, batch_size=400, world=2).train_dataloader()
    with pytest.raises(ValueError, match="whole number, 1 or more"):
        image_data(images, batch_size=0)


@needs_data
@pytest.mark.parametrize(
    ("source", "val_hash", "test_hash"),
    [
        (mnist, "bf03dc576557652d", "a700b0d972959b58"),
        (fashion_mnist, "b0087ff633317072", "33bc86729d1a5fab"),
    ],
)
def test_published_draw_is_pinned(source, val_hash, test_hash):
    """The draw of the VampPrior line, so that numbers compare with the papers."""
    images = source(os.environ["DATA_ROOT"])
    published = binarize_as_published(images.val.images, images.test.images)
    for drawn, expected in zip(published, (val_hash, test_hash), strict=True):
        assert hashlib.sha256((drawn // 255).reshape(-1, 784).tobytes()).hexdigest().startswith(expected)
