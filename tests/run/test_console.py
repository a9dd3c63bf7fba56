"""What the console says of a run and of a task."""

import pytest

from src.config import trust
from src.run import console


def test_what_a_task_leaves_is_named_by_its_kind(tmp_path, caplog):
    for name in ("encoder.onnx", "decoder.onnx", "metrics.json", "task.yaml"):
        (tmp_path / name).touch()
    with caplog.at_level("INFO", "src"):
        console.log_files(tmp_path)
        for name in ("a.png", "b.svg", "c.gif"):
            (tmp_path / name).touch()
        console.log_files(tmp_path)
    exported, drawn = (line.rpartition("(")[2] for line in caplog.messages)
    assert exported == "decoder.onnx, encoder.onnx, metrics.json)"
    assert drawn == f"2 images, 1 animation, {exported}"


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        ({}, "", ""),
        ({"model.encoder": "mine.Net"}, "", " trust=mine"),
        ({"model.encoder": "mine.Net"}, "mine", ""),
        ({"model.encoder": "mine.Net", "prior": "a.b.Prior"}, "", " 'trust=[mine,a.b]'"),
        ({"callbacks.mine": "mine.Callback"}, "", ""),
    ],
)
def test_the_next_command_trusts_the_parts_of_ones_own(composed, monkeypatch, caplog, tmp_path, names, known, expected):
    """Without it the command was refused."""
    monkeypatch.setenv(trust.VARIABLE, known)
    config = composed(*(f"++{option}._target_={target}" for option, target in names.items()))
    with caplog.at_level("INFO", "src"):
        console.log_next(tmp_path / "run", {"data": {"test": 10}}, False, trust.option_for(config))
    first, second = caplog.messages
    assert first.endswith(f"task=evaluate{expected}")
    assert second.endswith(f"task=sample{expected}")
