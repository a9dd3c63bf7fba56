"""Thumbnails of a run's samples, reconstructions and latent space, small enough for hundreds on a page."""

import base64
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from src.reporting.runs import UNREADABLE, Run
from src.support.arrays import open_arrays
from src.support.folders import RunFolder

MAX_TOTAL_BYTES = 9_000_000  # of all thumbnails on a page
MAX_BYTES = 24_000  # of one thumbnail
WIDTH = 224  # pixels, at most
# of a figure of the latent space at scale 1: its width, and left, top and side of the panel without the text
PANELS = {"latent_tsne": (870, 28, 90, 560), "latent": (904, 62, 90, 560)}


def thumbnails(run: Run, limit: int) -> dict[str, tuple[str, str]]:
    """By kind (samples, reconstructions, latent) a data URI of about `limit` bytes at most, and the path, within the
    run's folder, of the figure that shows more.

    A figure that can't be read is left out, and added to the run's problems.
    """
    folder = RunFolder(run.folder)
    makers: dict[str, tuple[Callable[[Path], Image.Image], Path, str]] = {
        "samples": (samples, folder.trace, "samples"),
        "reconstructions": (reconstructions, folder.trace, "reconstructions"),
    }
    for name in PANELS:
        if "latent" not in makers and (path := folder.figures / f"{name}.png").is_file():
            makers["latent"] = (panel, path, name)
    made = {}
    for kind, (make, source, name) in makers.items():
        if source.is_file():
            larger = (folder.figures / f"{name}.{suffix}" for suffix in ("gif", "png"))
            try:
                more = next((path for path in larger if path.is_file()), source)
                made[kind] = encode(make(source), limit), str(more.relative_to(run.folder))
            except (*UNREADABLE, IndexError, Image.DecompressionBombError) as error:
                reason = str(error)[:120] or type(error).__name__
                problem = f"{source.relative_to(run.folder)} can't be read: {reason}"
                run.problems.extend([problem] if problem not in run.problems else [])
    return made


def samples(path: Path) -> Image.Image:
    """The means of p(x given z) at z from the prior, of the last frame of a trace."""
    with open_arrays(path) as arrays:
        images = arrays["frames/samples_mean"][-1]
    return sheet(images, math.ceil(math.sqrt(len(images))))


def reconstructions(path: Path) -> Image.Image:
    """Rows of images and, below each, of their reconstructions in the last frame of a trace.

    Above the binary pixels of a Bernoulli model are the gray images that they were drawn from, if the trace has them.
    """
    with open_arrays(path) as arrays:
        means = arrays["frames/recon_mean"][-1][:16]
        pixels = arrays["fixed/pixels"][: len(means)]
        gray = arrays["fixed/originals"][: len(means)] if "fixed/originals" in arrays else pixels
    images = [pixels] if np.array_equal(gray, pixels) else [gray, pixels]
    columns = min(8, len(means))
    count = len(means) // columns * columns
    rows = [each[i : i + columns] for i in range(0, count, columns) for each in (*images, means)]
    return sheet(np.concatenate(rows), columns)


def sheet(images: np.ndarray, columns: int) -> Image.Image:
    """Images (N, C, H, W) uint8 side by side, a pixel between them; grayscale unless they have three channels."""
    images = images if images.shape[1] == 3 else images[:, :1].repeat(3, 1)
    count, _, height, width = images.shape
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 90, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return Image.fromarray(canvas)


def panel(path: Path) -> Image.Image:
    """The panel of a figure of the latent space, without its text."""
    page_width, left, top, side = PANELS[path.stem]
    with Image.open(path) as image:
        scale = image.width / page_width
        corners = (left + 1, top + 1, left + side - 1, top + side - 1)
        return image.convert("RGB").resize((WIDTH, WIDTH), Image.Resampling.LANCZOS, [scale * c for c in corners])


def decode(thumbnails: dict[str, tuple[str, str]]) -> dict[str, Image.Image]:
    """The images of the thumbnails, by kind."""
    return {
        kind: Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for kind, (uri, _) in thumbnails.items()
    }


def encode(image: Image.Image, limit: int) -> str:
    """A data URI of `image` as WebP of at most `limit` bytes, as small and coarse as that requires."""
    image.thumbnail((WIDTH, WIDTH))
    for share, quality in ((1, 75), (1, 50), (0.75, 50), (0.5, 40), (0.35, 30), (0.25, 20)):
        file = io.BytesIO()
        image.resize([max(1, round(share * side)) for side in image.size]).save(file, "WEBP", quality=quality)
        if file.tell() <= limit:
            break
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
