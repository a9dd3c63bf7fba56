"""Folders of runs as src.report reads them, made without a training, and the reports on them."""

import csv
import os
import re
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from src import report
from src.reporting import conclude, groups
from src.run import record
from src.run.places import find


def configuration(**options: Any) -> dict[str, Any]:
    """A resolved configuration such as src.train writes."""
    latent_dim, beta, model = options.get("latent_dim", 2), options.get("beta", 1.0), options.get("model", "mlp")
    hidden = {"mlp": [400, 400], "conv": [32, 64]}.get(model, [8])
    likelihood = options.get("likelihood", "Bernoulli")
    return {
        "latent_dim": latent_dim,
        "beta": beta,
        "seed": options.get("seed", 0),
        "title": options.get("title", f"{model} d={latent_dim} beta={beta}"),
        "data": {
            "name": "mnist",
            "source": {"_target_": "src.data.sources.mnist", "root": "/data"},
            "shape": [1, 28, 28],
        },
        "model": {"name": model, "encoder": {"_target_": f"src.models.networks.{model}", "hidden": hidden}},
        "posterior": {"_target_": "src.models.posteriors.Gaussian", "latent_dim": latent_dim},
        "likelihood": {"_target_": f"src.models.likelihoods.{likelihood}"},
        "objective": {"_target_": "src.training.objectives.ELBO", "beta": beta},
        "trainer": {"max_epochs": 3},
        "logger": {"wandb": {"mode": options.get("mode", "offline")}},
    }


def fake_run(
    folder: Path,
    elbo: float = -100.0,
    kl: float = 20.0,
    terms: np.ndarray | None = None,
    losses=(500, 200, 150, 100),
    **options: Any,
) -> Path:
    """The folder of a finished run with that validation ELBO; `terms` are those of its images."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(**options), sort_keys=False))
    rows = [
        {
            "epoch": e,
            "images_seen": 1000 * e,
            "seconds": 2,
            "val/loss": x,
            "val/elbo": -x,
            "val/recon": x - kl,
            "val/kl": kl,
        }
        for e, x in enumerate(losses)
    ]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    numbers = {"elbo": elbo, "recon": -elbo - kl, "kl": kl, "loss": -elbo, "active_units": 2}
    metrics = {f"val/{name}": value for name, value in numbers.items()} | {"val/kl_per_dim": [kl, 1e-9]}
    metrics |= {f"test/{name}": value - 7.125 for name, value in numbers.items()} | {
        "training_seconds": 6.0,
        "pixels": "binary",
    }
    record.write_json(folder / "metrics.json", metrics)
    if terms is not None:
        arrays = {"index": np.arange(len(terms)), "recon": -terms - kl, "kl": np.full_like(terms, kl), "loss": -terms}
        np.savez(folder / "val_terms.npz", **arrays)
    return folder


def add_figures(folder: Path, count: int = 36) -> Path:
    """Add figures to a run; they show noise, which makes the largest files."""
    random, figures = np.random.default_rng(0), folder / "figures"
    figures.mkdir()
    images = random.integers(0, 256, (2, count, 1, 28, 28), dtype=np.uint8)
    arrays = {"frames/samples_mean": images, "frames/recon_mean": images[:, :16], "fixed/pixels": images[0]}
    np.savez(figures / "trace.npz", **arrays)
    Image.fromarray(random.integers(0, 256, (339, 435, 3), dtype=np.uint8)).save(figures / "latent_tsne.png")
    return folder


def write_status(folder: Path, state: str, **others: Any) -> Path:
    """Give a run a status.json."""
    known = {"state": state, "reason": None, "started": datetime.now().isoformat(), "host": socket.gethostname()}
    record.write_json(folder / "status.json", known | {"pid": os.getpid()} | others)
    return folder


def only_group(runs: Path) -> groups.Group:
    """The one group of the runs in a folder."""
    (found,), ungrouped = groups.group_runs(conclude.read_runs(find([runs])))
    assert not ungrouped
    return found


def make_report(folder: Path, *words: str) -> tuple[str, list[dict[str, str]]]:
    """Make the report on the runs in a folder, and return its page and its table."""
    table = folder / "table.csv"
    assert report.main([str(folder), "--csv", str(table), *words]) == 0
    with table.open(newline="") as file:
        return (folder / "report.html").read_text(), list(csv.DictReader(file))


def without_plotly(page: str) -> str:
    """The page without the source of plotly."""
    return re.sub(r'<script type="text/plain" id="plotly">.*?</script>', "", page, flags=re.DOTALL)
