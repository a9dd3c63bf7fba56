"""What the console says of a run and of a task."""

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
