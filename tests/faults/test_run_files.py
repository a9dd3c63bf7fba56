"""Files of a run with any bytes: a table of epochs, a status, a trace and a checkpoint are read as far as they hold."""

import io
import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.run import epochs, resume, status
from src.run.trace import Trace
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.training import checkpoints
from tests.helpers.damage import damage
from tests.helpers.traces import make_trace

TABLE = b"epoch,step,val/loss,val/kl,seconds\n" + b"".join(
    b"%d,%d,%d.5,,0.25\n" % (i, 10 * i, 99 - i) for i in range(4)
)
ROWS = [{"epoch": float(i), "step": 10.0 * i, "val/loss": 99.5 - i, "seconds": 0.25} for i in range(4)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder."""
    path = tmp_path_factory.mktemp("run")
    RunFolder(path).figures.mkdir()
    return path


@given(st.integers(0, len(TABLE)))
def test_a_table_of_epochs_that_was_cut_keeps_its_whole_rows(folder, size):
    RunFolder(folder).epochs.write_bytes(TABLE[:size])
    rows, problem, _ = epochs.read(folder)
    assert rows == ROWS[: len(rows)]
    assert len(rows) == max(0, TABLE[:size].count(b"\n") - 1)
    assert (problem is None) == (size > 0 and TABLE[:size].endswith(b"\n") and size > TABLE.index(b"\n") + 1)


@given(st.one_of(damage(TABLE), st.binary(max_size=200)))
@example(TABLE[:60] + bytes(40))  # what a power failure leaves
@example(TABLE.replace(b"2,20", b"nan,inf"))
@example(TABLE.replace(b"2,20", b"1e400,20"))
def test_any_bytes_as_a_table_of_epochs(folder, content):
    RunFolder(folder).epochs.write_bytes(content)
    found = epochs.read(folder)
    assert [row["epoch"] for row in found.rows] == sorted({row["epoch"] for row in found.rows})
    assert all(type(value) is float for row in found.rows for value in row.values())
    assert found.problem is None or found.problem.isprintable()
    epochs.read_until(folder, epochs.Position(2, 20))


STATUS = json.dumps(status.initial_status(["beta=4"]), indent=2).encode()
JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.lists(each), max_leaves=5)


@given(st.one_of(damage(STATUS), st.binary(max_size=50)))
def test_any_bytes_as_a_status(folder, content):
    RunFolder(folder).status.write_bytes(content)
    assert isinstance(status.read(folder), dict)


@given(st.sampled_from(list(json.loads(STATUS))), JSON)
def test_any_value_in_a_status(folder, name, value):
    RunFolder(folder).status.write_text(json.dumps(json.loads(STATUS) | {name: value}))
    assert isinstance(status.read(folder), dict)


@pytest.fixture(scope="session")
def trace(folder: Path) -> bytes:
    """The bytes of a small trace."""
    make_trace(points=8, dimensions=3, epochs=2).save(RunFolder(folder).trace)
    return RunFolder(folder).trace.read_bytes()


@given(data=st.data())
def test_a_damaged_trace_is_refused(folder, trace, data):
    RunFolder(folder).trace.write_bytes(data.draw(st.one_of(damage(trace), st.binary(max_size=100))))
    try:
        Trace.load(RunFolder(folder).trace)
    except UserError as error:
        assert str(error).isprintable()


@pytest.fixture(scope="session")
def checkpoint(finished: Path) -> bytes:
    """The bytes of a checkpoint, without the weights but some."""
    state = torch.load(RunFolder(finished).checkpoint("last"), weights_only=True)
    state["state_dict"] = {name: tensor for name, tensor in state["state_dict"].items() if tensor.numel() < 500}
    buffer = io.BytesIO()
    torch.save(state | {"optimizer_states": []}, buffer)
    return buffer.getvalue()


@settings(max_examples=settings().max_examples * 2)
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_whole(tmp_path_factory, checkpoint, data):
    """A change of the archive's own fields, such as a date, does no harm: what is read is what was written."""
    path = tmp_path_factory.getbasetemp() / "last.ckpt"
    path.write_bytes(data.draw(st.one_of(damage(checkpoint), st.binary(max_size=100))))
    for reader in (checkpoints.read, resume.read_run):
        try:
            found = reader(path)
        except UserError as error:
            assert str(error).isprintable()
            assert "weights_only" not in str(error)
            continue
        expected = torch.load(io.BytesIO(checkpoint), weights_only=True)
        if reader is checkpoints.read:
            assert found["epoch"] == expected["epoch"]
            for name, tensor in expected["state_dict"].items():
                assert torch.equal(found["state_dict"][name], tensor)
        else:
            assert found["config"] == expected["run"]["config"]
