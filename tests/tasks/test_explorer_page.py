"""The page of task=explore in a browser: all of it is used, and what it computes is compared with PyTorch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import explorer as benchmark
from src import build
from src.support.errors import UserError
from src.tasks.explore.task import PAGE
from tests.helpers.explorer import Explorer, browser, drive, write_page
from tests.helpers.models import TINY_NETWORKS
from tests.helpers.project import ROOT
from tests.helpers.runs import train_run

RECORDED = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "callbacks.recorder.images=40"]
LARGE = {
    "conv": ["data=mnist", "model=conv"],
    "fashion": ["data=fashion_mnist", "model=conv"],
    "plane": ["data=mnist", "latent_dim=2"],
    "flow": ["data=mnist", "model=conv", "prior=flow"],
    "label": ["data=mnist", "model=conv", "condition=label"],
    "ladder": ["data=mnist", "model=ladder"],
    "grey": ["data=fashion_mnist", "model=resnet", "likelihood=logistic256"],
}


def tensor(shape, scale=1.0):
    """A tensor of a test case, the same each time."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


X, ROW, COLUMN, BOOLEAN = tensor((2, 3, 4)), tensor((4,)), tensor((3, 1)), (tensor((2, 3, 4)) > 0).float()
IMAGES, KERNEL, UP = tensor((2, 4, 6, 5)), tensor((6, 2, 3, 3)), tensor((4, 3, 4, 4))
INDEX = torch.tensor([2, 0, 1])
UNARY = """abs erf exp expm1 gelu neg reciprocal relu sigmoid sign tanh alias clone""".split()  # noqa: SIM905
CASES = [
    *((name, [X]) for name in UNARY),
    *((name, [X.abs() + 0.1]) for name in ("log", "log1p", "sqrt", "rsqrt")),
    *((name, [X, other]) for name in ("add", "sub", "mul", "div", "maximum", "minimum") for other in (ROW, COLUMN)),
    *((name, [X, 0.5]) for name in ("add", "sub", "mul", "div", "eq", "ge", "gt", "le", "lt", "ne", "pow")[:-1]),
    *((name, [X, X.roll(1, 0)]) for name in ("eq", "ge", "gt", "le", "lt", "ne")),
    *(("pow", [X.abs(), exponent]) for exponent in (2, 0.5, -1)),
    ("add", [X, ROW], {"alpha": 2}),
    ("sub", [X, ROW], {"alpha": 3}),
    ("logical_not", [BOOLEAN]),
    ("clamp", [X, -0.5, 0.5]),
    ("clamp", [X, None, 0.5]),
    ("hardtanh", [X, -0.3, 0.4]),
    ("elu", [X]),
    ("leaky_relu", [X, 0.2]),
    ("gelu", [X], {"approximate": "tanh"}),
    *((name, [X, -1, False]) for name in ("_softmax", "_log_softmax")),
    ("_softmax", [X, 1, False]),
    *((name, [X, axes, keep]) for name in ("sum", "mean", "amax") for axes in ([1], [-1, 0]) for keep in (False, True)),
    ("sum", [X, None]),
    ("amax", [X]),
    ("mm", [X[0].T, COLUMN]),
    ("bmm", [X, X.transpose(1, 2)]),
    ("addmm", [ROW, X[0].T @ X[0], X[1].T @ X[1]]),
    ("addmm", [ROW, X[0].T, X[1]], {"beta": 0.5, "alpha": 2}),
    ("cat", [[X, X[:, :1]], 1]),
    ("cat", [[X, X], -1]),
    ("expand", [COLUMN, [2, 3, 4]]),
    ("expand", [COLUMN, [-1, 5]]),
    ("full", [[2, 3], 1.5]),
    ("full_like", [X, 2]),
    ("scalar_tensor", [3.5]),
    ("permute", [X, [2, 0, -2]]),
    ("view", [X, [6, -1]]),
    ("unsqueeze", [X, -1]),
    ("unsqueeze", [X, 0]),
    ("squeeze", [COLUMN]),
    ("squeeze", [tensor((1, 3, 1)), [0, -1]]),
    ("select", [X, 1, -1]),
    ("slice", [X, 2, 1, 9223372036854775807, 2]),
    ("slice", [X, -1, -3, -1]),
    ("slice", [X]),
    ("repeat", [COLUMN, [2, 1, 3]]),
    ("index_select", [X, 1, INDEX]),
    ("index", [X, [None, INDEX]]),
    ("index", [X, [torch.tensor([[1], [0]]), INDEX]]),
    ("index_put", [X, [None, torch.tensor([0, 2]), torch.tensor([3, 1])], tensor((2, 2))]),
    ("diagonal", [X, 0, -2, -1]),
    ("diagonal", [X, 1, 1, 2]),
    ("constant_pad_nd", [X, [1, 2, 0, 1], 0.5]),
    ("constant_pad_nd", [X, [-1, 1]]),
    ("elu", [X, 0.7, 1.1, 2]),
    ("clamp", [X, COLUMN, ROW]),
    ("index_put", [X, [torch.tensor([0, 0]), torch.tensor([1, 1])], tensor((2, 4)), True]),
    ("where", [BOOLEAN, X, ROW]),
    ("where", [BOOLEAN, X, torch.tensor(2.0)]),
    ("convolution", [IMAGES, KERNEL, tensor((6,)), [1, 1], [1, 1], [1, 1], False, [0, 0], 2]),
    ("convolution", [IMAGES, tensor((3, 4, 4, 4)), None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1]),
    ("convolution", [IMAGES, tensor((3, 4, 3, 2)), None, [1, 2], [2, 0], [2, 1], False, [0, 0], 1]),
    ("convolution", [IMAGES, UP, tensor((3,)), [2, 2], [1, 1], [1, 1], True, [0, 0], 1]),
    ("convolution", [IMAGES, UP, None, [2, 1], [0, 1], [1, 2], True, [1, 0], 1]),
]
OF_SEVERAL = [
    ("split_with_sizes", [X, [1, 2], 1]),
    ("split_with_sizes", [X, [3, 1], -1]),
    ("native_group_norm", [IMAGES, tensor((4,)), tensor((4,)), 2, 4, 30, 2, 1e-5]),
    ("native_group_norm", [IMAGES, None, None, 2, 4, 30, 1, 1e-5]),
]


@pytest.fixture(scope="module")
def opened():
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def explorer(opened, small, tmp_path_factory):
    """The page of a small conditional run in the browser."""
    labels = ["condition=label", "condition.prior=flow", "condition.labels=[a,b,c,d]"]
    options = [*(each for each in small if each != "callbacks=none"), *RECORDED, *labels, "model=conv"]
    folder = train_run([*options, *TINY_NETWORKS["conv"]], tmp_path_factory.mktemp("page") / "run")
    return Explorer(opened, write_page(folder), build.open_run(folder))


def test_all_of_a_page_is_used(explorer):
    drive(explorer)


@pytest.mark.parametrize(("name", "arguments", "keywords"), [(*case, {})[:3] for case in CASES + OF_SEVERAL])
def test_an_operation_is_that_of_pytorch(explorer, name, arguments, keywords):
    def plain(value):
        if isinstance(value, torch.Tensor):
            return {"data": value.flatten().tolist(), "shape": list(value.shape)}
        return [plain(each) for each in value] if isinstance(value, list) else value

    found = explorer.page.evaluate(
        """([name, given, named]) => {
          const tensors = (value) => {
            if (Array.isArray(value)) return value.map(tensors);
            return value && value.shape ? {data: Float32Array.from(value.data), shape: value.shape} : value;
          };
          const made = modules.operators.operators[name](...given.map(tensors), ...named);
          return [made].flat().map(({data, shape}) => ({data: Array.from(data), shape}));
        }""",
        [name, plain(arguments), [keywords] if keywords else []],
    )
    as_bool = name == "where" and [arguments[0].bool(), *arguments[1:]]
    expected = getattr(torch.ops.aten, name)(*(as_bool or arguments), **keywords)
    for made, right in zip(found, [expected] if isinstance(expected, torch.Tensor) else expected, strict=False):
        assert made["shape"] == list(right.shape)
        assert np.allclose(made["data"], right.float().flatten(), atol=2e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.skipif("DATA_ROOT" not in os.environ, reason="needs MNIST and Fashion-MNIST in DATA_ROOT")
def test_pages_of_full_data_sets(opened, tmp_path, name):
    options = ["logger=csv", *RECORDED[:-1], "trainer.max_epochs=1", "trainer.accelerator=cpu", *LARGE[name]]
    folder = train_run(options, tmp_path / "run")
    path = write_page(folder)
    assert path.stat().st_size < 6e6
    drive(Explorer(opened, path, build.open_run(folder)))
    assert json.loads((path.parent / "metrics.json").read_text())["images"] == 1000


def test_the_benchmark_measures_a_page(explorer):
    path = Path(explorer.url.removeprefix("file://"))
    # in a process of its own, since playwright runs once in one
    words = [sys.executable, "-m", "benchmarks.explorer", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    header, *rows = done.stdout.splitlines()
    assert header.split()[:4] == ["run", "MB", "slower", "load"]
    assert [row.split()[:3] for row in rows] == [["run", f"{path.stat().st_size / 1e6:.2f}", each] for each in "14"]
    assert all(float(number) > 0 for row in rows for number in row.split()[3:])


def test_the_benchmark_refuses_a_page_that_is_not_there():
    with pytest.raises(UserError, match=r"nowhere.html: no such file"):
        benchmark.main(["nowhere.html"])


def test_the_scripts_have_no_faults_that_eslint_finds():
    eslint = shutil.which("eslint")
    if eslint is None:
        pytest.skip("there is no eslint")
    command = [eslint, "--config", str(PAGE.parent / "eslint.config.mjs"), str(PAGE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_that_differs_from_pytorch_says_so(explorer, opened, tmp_path):
    path = tmp_path / "explorer.html"
    text = Path(explorer.url.removeprefix("file://")).read_text()
    path.write_text(text.replace("gelu,\n", "gelu: same,\n").replace("binary(Math.max)", "binary(Math.min)"))
    assert path.read_text() != text
    page = opened.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-checked]")
    assert "Do not trust this page" in page.locator(".alarm").inner_text()
