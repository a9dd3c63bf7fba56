"""What every page owes its reader: no text is cut, and no legend covers a curve."""

from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from src.figures import curves, grids, latent, page, points
from src.figures.moments import Moment
from src.figures.page import fit, write
from src.inference.calibration import Reliability
from src.support.statistics import Estimate
from src.tasks import walks
from src.tasks.anomaly import pictures as anomalies
from src.tasks.compare import pictures as comparisons
from src.tasks.diagnose import pictures as diagnoses
from src.tasks.evaluate import pictures as evaluations
from src.tasks.sample import pictures as samples
from src.tasks.synthesize import pictures as synthetic
from tests.helpers.traces import make_trace

LONG = "resnet d=128 beta=0.25 posterior=flow prior=vamp likelihood=continuous_bernoulli objective=free_bits " * 2
WORDS = "every word of a caption that is longer than the page is wide stays on the page " * 2
RANDOM = np.random.default_rng(0)


def images(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 1, 8, 6), dtype=np.uint8)


def trained(classes: int = 4) -> list[Figure]:
    """The figures of a training with a long title, in both forms."""
    trace = make_trace(points=2 * classes + 20, classes=classes)
    trace.fixed["title"] = np.array(LONG)
    trace.fixed["classes"] = np.array([f"a class with a long name {i}" for i in range(classes)])
    trace.fixed["originals"], trace.last["worst_original"] = images(6), images(8)
    trace.frames["codes"][3][0] = 1e6  # outside of the frame
    trace.epochs["val/elbo"][3] = -1.2e28
    trace.epochs["val/loss"] = np.array([500.0, 300, 200, 400])
    for split in ("train", "val"):
        trace.epochs[f"{split}/kl"] = np.array([1.23e-9, 20, 21, 1.23e28])
    planes = {3: trace.frames["codes"][3][:, :2]}
    moving = [latent.plane(trace, [3], compact) for compact in (False, True)]
    moving += [latent.tsne(trace, planes, planes[3], compact) for compact in (False, True)]
    figures = []
    if classes < 24:  # the classes make no difference to the other figures
        figures = [curves.loss(trace), curves.kl_per_dim(trace)]
        moving += [grids.samples(trace, compact=compact) for compact in (False, True)]
        moving += [grids.reconstructions(trace, worst=True, compact=compact) for compact in (False, True)]
    for figure, show in moving:
        show(Moment(3))
        figures.append(figure)
    return figures


def of_tasks() -> list[Figure]:
    """The figures of tasks, with long titles and captions."""
    ends = {grids.ORIGINAL: images(2), grids.BINARY: images(2)}
    one = {name: rows[:1] for name, rows in ends.items()}
    paths = {name: images(5) for name in walks.COLOURS}
    charts = {"a heading": {name: RANDOM.normal(size=5) for name in walks.COLOURS}}
    levels, scores = np.linspace(0.01, 0.99, 5), RANDOM.normal(size=30)
    columns = {"-elbo": scores, "nll": scores}
    classes = dict.fromkeys(("flip_vertical", "a class whose name is longer than its place", "$x_$ é"), columns)
    estimate = Estimate(1.0, 0.1)
    table = {name: {"nats": estimate, "attacked_by": "an option"} for name in diagnoses.LABELS}
    numbers = {name: {"run": 1.0, "other": 2.0, "difference": estimate} for name in comparisons.TERMS}
    convergence = evaluations.Convergence([1, 10, 100], {"q": np.array([3.0, 2, 1]), "tight": np.array([2.0, 1, 1])}, 9)
    reliability = Reliability(*(np.linspace(0.1, 0.9, 5) for _ in range(3)))
    return [
        walks.strip(LONG, WORDS, ends, paths, charts),
        walks.tour(LONG, WORDS, ends, paths)[0],
        walks.sweeps(LONG, WORDS, one, [("dimension 1\n2.00 nats", images(5), 2)], levels),
        walks.animated_sweeps(LONG, WORDS, ends, [("dimension 1", images(10).reshape(5, 2, 1, 8, 6))], levels)[0],
        walks.plane(LONG, WORDS, images(9).reshape(3, 3, 1, 8, 6), ("dimension 0", "dimension 1")),
        grids.sheet(LONG, WORDS, [("a row whose name is a long line", images(4)), *ends.items()], ["note"] * 4),
        grids.sheet(LONG, WORDS, [*ends.items()], ["12345.6\n100.0 %\nanomalous\na long class"] * 2),
        anomalies.histograms(LONG, columns, classes, {}),
        anomalies.histograms(LONG, columns, classes, {}, columns, (0.0, "a quantile of validation scores")),
        walks.tour(LONG, WORDS, ends, paths, ["a name of a file.png", "b.png"])[0],
        anomalies.extremes(LONG, "-elbo", {"test": (ends, scores[:2]), "flip_vertical": (ends, scores[:2])}),
        comparisons.differences(LONG, WORDS, numbers, {"an.option": ("1", "2")}, scores),
        diagnoses.waterfall(LONG, WORDS, table),
        diagnoses.calibration(LONG, RANDOM.random((50, 3)), np.arange(3), estimate, reliability),
        evaluations.evaluation(LONG, WORDS, convergence, np.arange(5.0)),
        samples.side_by_side(LONG, WORDS, [("a heading", images(9))]),
        synthetic.distances(LONG, {name: np.abs(scores) for name in ("synthetic", "test", "test, reconstructed")}),
        synthetic.accuracies(LONG, WORDS, [100, 1000], {"real": RANDOM.random((2, 3)), "synthetic": np.ones((2, 3))}),
    ]  # fmt: skip


def cut_texts(figure: Figure) -> list[str]:
    """The texts that are not wholly on the page."""
    figure.canvas.draw()
    renderer, (width, height) = figure.canvas.get_renderer(), page.size(figure)
    cut = []
    beyond = [
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text not in beyond:
            box = text.get_window_extent(renderer)
            if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
                cut.append(text.get_text())
    return cut


@pytest.mark.parametrize("make", [trained, partial(trained, 47), of_tasks], ids=["training", "47 classes", "tasks"])
def test_no_text_is_cut_and_no_legend_covers_a_curve(make):
    for figure in make():
        assert cut_texts(figure) == []
        assert any(text.get_text().replace("\n", " ").strip() == LONG.strip() for text in figure.texts)
        for axes in figure.axes:
            if legend := axes.get_legend():
                box = legend.get_window_extent()
                assert not any(box.overlaps(other.bbox) for other in figure.axes)
                assert box.x1 <= page.size(figure)[0] and box.y0 >= 0


def test_a_text_that_fits_stays_as_it_is():
    figure = page.page(300, 200)
    short = fit(write(figure, 10, 10, "three short words", points=12), 280, 20)
    assert short.get_text() == "three short words" and short.get_fontsize() == 12
    words = fit(write(figure, 10, 10, WORDS, points=12), 280, 60)
    assert 5 < words.get_fontsize() < 12 and words.get_text().count("\n") > 1
    box = words.get_window_extent(figure.canvas.get_renderer())
    assert box.width <= 280 and box.height <= 66


@pytest.mark.parametrize("width", [290, 280, 200, 100])
def test_a_text_is_shrunk_to_a_width(width):
    """Letters have widths of whole pixels, so that a slightly smaller size may be as wide."""
    figure = page.page(400, 100)
    text = page.shrink(write(figure, 10, 10, "reconstruction at each image's best code, less that", points=8), width)
    assert text.get_window_extent(figure.canvas.get_renderer()).width <= width
    assert "\n" not in text.get_text() and text.get_fontsize() > 2


@pytest.mark.parametrize(
    ("count", "name"), [(2, "1"), (10, "Ankle boot"), (24, "q"), (47, "q"), (10, "a long name" * 4)]
)
def test_a_legend_fits_or_says_that_there_is_none(count, name):
    figure = page.page(300, 300)
    area = page.Area(20, 30, 226, 136)
    fits = points.legend(figure, area, [f"{name}"] * count)
    assert fits == (count <= 24)  # a long name is cut
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    assert len(figure.findobj(Line2D)) == (count if fits else 0)
    for box in boxes:
        assert box.x1 <= 20 + 226 + 1 and 300 - box.y0 <= 30 + 136 + 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert fits or f"{count} classes" in figure.texts[0].get_text()


def test_a_name_stands_in_a_cluster_of_its_class_and_not_between_two():
    """Five images at the left, four at the right; in the frame before they were elsewhere, in the same order."""
    figure = page.page(400, 400)
    axes = page.box(figure, page.Area(0, 0, 400, 400))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    clusters = np.array([[0.2, 0.2]] * 5 + [[0.8, 0.8]] * 4 + [[0.5, 0.5]] * 5) + RANDOM.normal(size=(14, 2)) * 0.01
    before = np.tile(np.linspace(0.1, 0.9, 14)[:, None], 2)
    _, places = points.name_classes(axes, np.repeat([0, 1], [9, 5]), np.array(["a", "b"]), {0: before, 1: clusters}, 9)
    np.testing.assert_allclose(places(1)[0], clusters[:5].mean(0), atol=1e-9)
    np.testing.assert_allclose(places(0)[0], before[:5].mean(0), atol=1e-9)  # the same images


@pytest.mark.parametrize(("count", "half"), [(1, 1), (2, 1), (5, 3)])
def test_half_of_the_images_are_the_densest(count, half):
    assert len(points.densest_half(RANDOM.normal(size=(count, 2)))) == half
    assert set(points.densest_half(np.zeros((count, 2)))) <= set(range(count))


def test_names_stand_amid_their_classes_and_do_not_overlap():
    figure = page.page(400, 400)
    axes = page.box(figure, page.Area(0, 0, 400, 400))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels = np.repeat([0, 1, 2], 5)
    apart = np.repeat([[0.2, 0.2], [0.5, 0.8], [0.8, 0.2]], 5, axis=0) + RANDOM.normal(size=(15, 2)) * 0.01
    planes = {0: np.full((15, 2), 0.5), 1: apart}
    classes = np.array(["first", "second", "third"])
    texts, places = points.name_classes(axes, labels, classes, planes, points=9)
    assert [text.get_text() for text in texts] == ["first", "second", "third"]
    groups = [apart[labels == y] for y in range(3)]
    np.testing.assert_allclose(places(1), [group[points.densest_half(group)].mean(0) for group in groups], atol=1e-9)
    for text, place in zip(texts, places(0), strict=True):
        text.set_position(place)
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert np.abs(places(0) - 0.5).max() < 0.2
    one = np.arange(0, 15, 5)  # a single image of each class stays visible beneath the name
    texts, places = points.name_classes(axes, labels[one], classes, {1: apart[one]}, points=9)
    for text, place, image in zip(texts, places(1), apart[one], strict=True):
        text.set_position(place)
        assert text.get_window_extent(figure.canvas.get_renderer()).y0 > 400 * image[1]


def test_names_that_begin_alike_are_cut_at_the_beginning():
    assert page.shorten_all(["species 1", "species 2"], 8) == ["…ecies 1", "…ecies 2"]
    assert page.shorten_all(["a tree and more", "bird"], 8) == ["a tree …", "bird"]


def test_an_accuracy_of_few_images_of_a_class_is_not_given():
    near, labels = np.array([[1, 2], [2, 0], [0, 1]]), np.array([0, 1, 0])
    assert latent.accuracy_text(near, labels) == "–"
    assert latent.accuracy_text(np.zeros((30, 10), int), np.arange(30) % 2) == "0.50"


@pytest.mark.parametrize(
    ("text", "short"),
    [("", ""), ("abcdef", "abcdef"), ("abcdefg", "abcde…"), ("猫の写", "猫の写"), ("猫の写真", "猫の…")],
)
def test_a_text_is_shortened_by_the_width_of_its_letters(text, short):
    assert page.shorten(text, 6) == short


def test_dollar_signs_of_a_name_begin_no_formula():
    figure = page.page(300, 300)
    axes = page.box(figure, page.Area(0, 0, 100, 100))
    names = np.array([r"$x_$ and $\frac$", "5 $ to 6 $"])
    points.name_classes(axes, np.array([0, 1]), names, {0: np.array([[0.2, 0.2], [0.8, 0.8]])}, points=9)
    assert points.legend(figure, page.Area(0, 100, 300, 100), names)
    page.render(figure)


def test_of_many_classes_those_are_named_that_have_room():
    figure = page.page(400, 400)
    axes = page.box(figure, page.Area(0, 0, 400, 400))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels, classes = np.arange(30), np.array([f"class {i}" for i in range(30)])
    plane = np.column_stack([np.where(labels < 20, 0.3, 0.7), np.linspace(0.1, 0.9, 30)])
    texts, _ = points.name_classes(axes, labels, classes, {0: plane}, points=9)
    shown = [text.get_visible() for text in texts]
    assert 5 < sum(shown) < 30


def test_values_beyond_an_axis_are_told():
    assert curves.beyond(np.array([1.0, 2, 3]), 0, 4) == ""
    assert curves.beyond(np.array([1.0, 2, 300]), 0, 4) == "beyond the axis: ▴ 1 up to 300"
    note = curves.beyond(np.array([-3, 2, 300, np.nan]), 0, 4)
    assert note == "beyond the axis: ▴ 1 up to 300, 1 ∞, ▾ 1 down to \N{MINUS SIGN}3"
    trace = make_trace(epochs=40)
    assert sum("beyond the axis" in text.get_text() for text in curves.loss(trace).texts) == 2  # the KL is constant


def test_error_bars_end_within_the_axes():
    """Of two seeds of which one errs and one does not, the error is as large as the mean."""
    values = {"real": np.array([[0.5, 1.0], [0.9, 0.2]]), "synthetic": np.array([[0.99, 1.0], [0.98, 1.0]])}
    axes = synthetic.accuracies("title", "caption", [100, 1000], values).axes[0]
    high, low = axes.get_ylim()
    ends = [y for bars in axes.collections for segment in bars.get_segments() for y in segment[:, 1]]
    assert len(ends) == 8 and low < min(ends) and max(ends) < high
