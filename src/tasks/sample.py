"""New images: codes from the prior, decoded."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.build import Run
from src.data import as_bytes
from src.errors import UserError
from src.figures.animation import write_still
from src.figures.grids import sheet
from src.files import whole


def sample(run: Run, folder: Path, count: int) -> dict[str, Any]:
    """samples.png and samples.npz: the means of p(x|z) at `count` codes from the prior."""
    if count < 1:
        raise UserError(f"task.count must be at least 1, got {count}")
    with torch.no_grad():
        z = run.vae.prior().sample((count,))
        means = as_bytes(run.vae.decode(z).mean)
    rows = [("", row) for row in np.array_split(means, -(-count // 12))]
    write_still(sheet(run.config.title, f"{count} samples", rows), folder / "samples.png", scale=1)
    with whole(folder / "samples.npz") as partial:
        np.savez(partial, images=means, z=z.cpu().numpy())
    return {"count": count}
