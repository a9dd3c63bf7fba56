"""What the levels of a hierarchy add to an image."""

import torch
from matplotlib.figure import Figure

from src.build import Run
from src.data.pixels import as_bytes
from src.evaluation.samplers import of_dimensions
from src.figures.grids import sheet
from src.support.noise import Noise
from src.tasks.captions import means_of
from src.tasks.sample.pictures import COLUMNS


@torch.no_grad()
def top_levels(run: Run) -> Figure:
    """Draw images of COLUMNS codes from the prior: in row l the top l levels are drawn, and those below at their means,
    given the levels above."""
    levels, y = run.vae.levels, torch.arange(COLUMNS, device=run.device) % max(1, len(run.data.source.classes))
    vae = run.vae.given(y)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        torch.manual_seed(Noise(run.seed).at("top levels").seed)
        z = vae.sample_codes(COLUMNS)
    rows = []
    for count in range(1, len(levels) + 1):
        kept = of_dimensions(run, [float(level < count) for level in range(len(levels))])
        rows.append((f"levels 1 to {count}" if count > 1 else "level 1", as_bytes(vae.decode(z * kept).mean)))
    caption = f"{means_of(vae)} p(x | z), z from the prior: the named levels are drawn, those below are at their means"
    return sheet(run.config.title, caption, rows)
