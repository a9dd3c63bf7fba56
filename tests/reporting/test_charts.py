"""The charts and thumbnails of the page show the numbers and images of the runs."""

import itertools
import json
import math

import numpy as np
import pytest

from src.reporting import charts, pictures, plane
from src.reporting.runs import read
from tests.helpers.reports import add_figures, fake_run, make_report, only_group, write_status


def test_hull_has_no_point_below_it():
    random = np.random.default_rng(0)
    for _ in range(50):
        points = [tuple(point) for point in random.integers(0, 9, (random.integers(1, 12), 2)).astype(float)]
        hull = plane.hull(points)
        assert set(hull) <= set(points)
        assert hull[0] == min(points)
        assert hull[-1][1] == min(y for _, y in points)
        slopes = [(d - b) / (c - a) for (a, b), (c, d) in itertools.pairwise(hull)]
        assert all(slope < 0 for slope in slopes)
        assert slopes == sorted(slopes)
        for (a, b), (c, _), slope in zip(hull, hull[1:], slopes, strict=False):
            assert all(y >= b + slope * (x - a) - 1e-9 for x, y in points if a <= x <= c)


def test_lines_of_equal_elbo_are(tmp_path):
    lines, labels = plane.iso_elbo(0, 30, 60, 110)
    sums = {x + y for x, y in zip(lines["x"], lines["y"], strict=True) if x is not None}
    assert sums == {60, 80, 100, 120, 140} or len(sums) in range(4, 12)
    ends = list(zip(labels["x"], labels["y"], labels["text"], strict=True))
    assert len(ends) > 2
    for x, y, text in ends:
        assert x + y == pytest.approx(-float(text.replace("−", "-")))
        assert x == 30 or y == 60  # where the line leaves the rectangle, which is wider than the points


def test_labels_of_contours_are_below_the_points(tmp_path):
    for i in range(3):
        fake_run(tmp_path / str(i), elbo=-90.0 - i, kl=25.0 - i, beta=0.5 + i)
    figure = plane.rate_distortion(only_group(tmp_path))
    assert [trace["mode"] for trace in figure["data"]] == ["lines", "text", "lines", "markers"]
    assert "annotations" not in figure["layout"]  # plotly draws these above the points


@pytest.mark.parametrize(("least", "ticks"), [(1e-9, 1), (4.0, "D2")])
def test_the_axis_of_a_decade_or_two_has_more_than_one_tick(tmp_path, least, ticks):
    metrics = fake_run(tmp_path / "0", kl=20.0) / "metrics.json"
    content = json.loads(metrics.read_text()) | {"val/kl_per_dim": [20.0, least]}
    metrics.write_text(json.dumps(content))
    assert charts.kl_per_dim(only_group(tmp_path))["layout"]["yaxis"]["dtick"] == ticks


def test_charts_show_each_run_where_it_is(tmp_path):
    for i, (beta, seed) in enumerate([(0.5, 0), (1.0, 0), (8.0, 0), (8.0, 1)]):
        fake_run(tmp_path / str(i), elbo=-90.0 - i, kl=25.0 - i, beta=beta, seed=seed)
    write_status(fake_run(tmp_path / "9", elbo=-1, beta=2.0), "interrupted")
    group = only_group(tmp_path)
    (points,) = (trace for trace in plane.rate_distortion(group)["data"] if trace.get("meta") == "points")
    places = zip(points["customdata"], points["x"], points["y"], strict=True)
    assert {group.runs[place].name: (x, y) for place, x, y in places} == {
        str(i): (25.0 - i, 65.0 + 2 * i) for i in range(4)
    }

    figure = charts.against(group, "beta")
    line, points = figure["data"]
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert dict(zip(line["x"], line["y"], strict=True)) == {0.5: -90, 1.0: -91, 8.0: -92.5, None: None}
    assert line["error_y"]["array"][2] == pytest.approx(0.5**0.5)
    assert sorted(zip(points["x"], points["y"], strict=True)) == [(0.5, -90), (1.0, -91), (8.0, -93), (8.0, -92)]
    assert figure["layout"]["meta"]["kl"]["y"][0][:3] == [25, 24, 22.5]

    curves = {trace["name"]: trace for trace in charts.curves(group)["data"]}
    assert curves["0"]["x"] == [1000, 2000, 3000]
    assert [curves[name]["line"]["dash"] for name in "09"] == ["solid", "dot"]
    dims = charts.kl_per_dim(group)["data"]
    assert len(dims) == 4
    assert dims[0]["y"] == [25, charts.MIN_KL]


def test_plotly_knows_all_that_a_chart_says(tmp_path):
    """Each name and value, of traces that the basic bundle has; plotly.js ignores what it does not know."""
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for i, model in enumerate(("mlp", "conv", "<b>")):
        fake_run(tmp_path / str(i), elbo=-90.0 - i, kl=25.0 - i, beta=0.5 + i, model=model)
    drawn = charts.draw_charts(only_group(tmp_path))
    assert [chart.title for chart in drawn] == [
        *("Rate and distortion", "Training", "Against beta", "Against model", "Latent dimensions"),
    ]
    for chart in drawn:
        graph_objects.Figure(chart.figure)  # raises ValueError
        assert {trace["type"] for trace in chart.figure["data"]} <= {"scatter", "bar", "pie"}


def test_a_number_that_json_lacks_is_none():
    figure = charts.without_nan({"data": [{"y": [1.0, math.nan, -math.inf]}], "layout": {"width": math.inf}})
    assert figure == {"data": [{"y": [1.0, None, None]}], "layout": {"width": None}}


def test_what_can_not_be_drawn_is_left_out(tmp_path):
    fake_run(tmp_path / "0")
    group = only_group(tmp_path)
    assert plane.rate_distortion(group) is None
    assert not group.knobs
    make_report(tmp_path)


def test_long_curves_are_thinned_to_their_last():
    kept = charts.thin(list(range(1000)))
    assert len(kept) == charts.MAX_POINTS
    assert (kept[0], kept[-1]) == (0, 999)
    assert charts.thin([1, 2]) == [1, 2]
    assert charts.thin([]) == []


def test_thumbnails_are_of_the_last_frame_and_no_larger_than_allowed(tmp_path):
    folder = add_figures(fake_run(tmp_path / "0"))
    with np.load(folder / "figures" / "trace.npz") as arrays:
        last = arrays["frames/samples_mean"][-1]
    sheet = np.asarray(pictures.samples(folder / "figures" / "trace.npz"))
    assert (sheet[29 : 29 + 28, :28, 0] == last[6, 0]).all()
    for limit in (24_000, 2_000):
        for uri, file in pictures.thumbnails(read(folder, "0"), limit).values():
            assert len(uri) <= limit * 4 / 3 + 40
            assert (folder / file).is_file()


def test_gray_originals_are_above_the_pixels_that_a_bernoulli_model_sees(tmp_path):
    path = add_figures(fake_run(tmp_path / "0")) / "figures" / "trace.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    without = np.asarray(pictures.reconstructions(path))
    np.savez(path, **content | {"fixed/originals": np.full((16, 1, 28, 28), 77, np.uint8)})
    sheet = np.asarray(pictures.reconstructions(path))
    assert (without.shape[0], sheet.shape[0]) == (4 * 29 - 1, 6 * 29 - 1)
    assert (sheet[:28, :28] == 77).all()
    assert (sheet[29:57, :28, 0] == content["fixed/pixels"][0, 0]).all()
    assert (sheet[58:86, :28, 0] == content["frames/recon_mean"][-1, 0, 0]).all()


def test_the_panels_are_where_they_are_drawn():
    from src.figures import latent, page

    assert pictures.PANELS["latent_tsne"] == (
        page.MARGIN + latent.SIDE + latent.GUTTER + latent.COLUMN + page.MARGIN,
        page.MARGIN,
        latent.TOP,
        latent.SIDE,
    )
    width, left, *rest = pictures.PANELS["latent"]
    assert (width - 34, left - 34, *rest) == pictures.PANELS["latent_tsne"]
