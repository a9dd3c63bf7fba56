"""An objective of one's own that schedules what no objective of ours does."""

import csv
import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.figures import curves
from src.run.trace import Trace

MINE = """
from src.training.objectives import Terms


class Tempered:
    \"\"\"loss = E_q[-log p(x|z)] / temperature + KL(q(z|x), p(z)).\"\"\"

    def __init__(self, temperature: float = 2.0, samples: int = 1):
        self.temperature, self.samples = temperature, samples
        self.scheduled = {"temperature": temperature}

    def __call__(self, vae, x, noise, weight=1.0):
        draws = vae.draw(x, noise)
        recon, kl = draws.recon(), draws.kl("closed")
        return Terms(recon / max(self.temperature * weight, 0.5) + kl, recon, kl, draws.q, draws.p, draws.px)
"""
OPTIONS = ["objective._target_=mine.Tempered", "+objective.temperature=4", "schedule=linear", "schedule.length=4"]
RECORDED = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "callbacks.recorder.images=40"]


@pytest.fixture(autouse=True)
def mine(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)


def test_it_is_logged_drawn_and_resumed_with_its_trace(run, resume, caplog):
    folder = run(*OPTIONS, *RECORDED)
    resume(folder, "trainer.max_epochs=3")
    assert "begin anew" not in caplog.text
    expected = [0, 0.9, 1.9, 2.9]  # of 4, at the last of an epoch's ten steps; the schedule takes 40
    trace = Trace.load(folder / "figures" / "trace.npz")
    assert trace.scheduled == ["temperature"]
    assert trace.epochs["temperature"].tolist() == pytest.approx(expected)
    rows = [row for row in csv.DictReader((folder / "metrics.csv").open()) if row["epoch"]]
    assert [float(row["temperature"]) for row in rows] == pytest.approx(expected)
    assert "temperature" in json.loads((folder / "metrics.json").read_text())
    assert "temperature" in texts(curves.loss(trace))


def test_three_scheduled_numbers_have_a_chart_each(run):
    trace = Trace.load(run(*OPTIONS, *RECORDED) / "figures" / "trace.npz")
    trace.epochs["beta"], trace.epochs["other"] = np.ones(3), np.arange(3.0)
    figure = curves.loss(trace)
    assert {"temperature", "β", "other", "learning rate"} <= texts(figure)
    right = [axes.get_position().x1 for axes in figure.axes[3:]]
    left = [axes.get_position().x0 for axes in figure.axes[3:]]
    assert all(a < b for a, b in zip(right, left[1:], strict=False)) and right[-1] < 1


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.texts}
