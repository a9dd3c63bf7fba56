"""The page: plotly's basic bundle, two themes of one set of colours, matrices."""

import hashlib
import re

import numpy as np
import pytest

from src.reporting import matrix, page, palette
from tests.helpers.reports import fake_run, make_report, only_group, without_plotly, write_status

BUNDLE = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
STYLE = (page.HERE / "page.css").read_text()


def theme(place: int) -> dict[str, str]:
    """The colours of the light (0) or the dark (1) theme by name."""
    pairs = re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    return {name: both[place] for name, *both in pairs}


def test_plotly_is_the_unchanged_basic_bundle():
    content = page.PLOTLY.read_bytes()
    assert hashlib.sha256(content).hexdigest() == BUNDLE
    assert BUNDLE in (page.PLOTLY.parent / "README.md").read_text()
    assert b"</script" not in content
    assert (page.PLOTLY.parent / "plotly-LICENSE").read_text().startswith("MIT License")


def test_a_page_is_of_about_a_megabyte(tmp_path):
    for i in range(8):
        fake_run(tmp_path / str(i), beta=float(i))
    html, _ = make_report(tmp_path)
    assert len(html) < 1_350_000
    assert len(without_plotly(html)) < 100_000


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
def test_text_is_legible_in_both_themes(place):
    colours = theme(place)
    for background in ("page", "pale"):
        for text in ("ink", "grey", "blue", "warning"):
            assert palette.contrast(colours[text], colours[background]) >= 4.5, (text, background)
    badges = re.findall(r"background: light-dark\((\S+), (\S+)\);\s+color: light-dark\((\S+), (\S+)\)", STYLE)
    assert len(badges) == 5
    for badge in badges:
        assert palette.contrast(badge[place], badge[place + 2]) >= 4.5


def test_a_chart_has_no_colour_of_one_theme_alone(tmp_path):
    """Colours of charts are those of the page's style, or are given for both themes."""
    for i in range(3):
        fake_run(tmp_path / str(i), elbo=-90.0 - i, kl=25.0 - i, beta=0.5 + i)
    group = only_group(tmp_path)
    said = str([chart.figure for chart in page.draw_charts(group)])
    assert set(re.findall(r"#[0-9a-f]{3,6}\b|\bwhite\b|\bblack\b", said)) == set()
    assert set(re.findall(r"var\(--(\w+)\)", said)) <= set(theme(0))


@pytest.mark.parametrize("values", [[1, 2, 4, 8], list("abcdefghij")], ids=["numbers", "names"])
def test_the_colours_of_runs_are_seen_in_both_themes(values):
    assert theme(1)["page"] == palette.DARK_PAGE
    for colour in palette.colours(values)["of"]:
        light, dark = re.fullmatch(r"light-dark\((#\w{6}), (#\w{6})\)", colour).groups()
        assert palette.contrast(light, theme(0)["page"]) >= 1.4
        assert palette.contrast(dark, theme(1)["page"]) >= 3


def test_the_cells_of_a_matrix_are_legible_and_ordered_for_the_colour_blind():
    colours = palette.scale_colours(palette.SCALE, np.linspace(0, 1, 101))
    assert all(palette.contrast(colour, palette.text_colour(colour)) >= 4.5 for colour in colours)
    light = [palette.luminance(colour) for colour in colours]
    assert light == sorted(light)  # the order is that of lightness, which everyone sees


def test_a_matrix_has_the_means_over_seeds_with_their_spread(tmp_path):
    for i, (beta, latent_dim, seed) in enumerate((b, d, s) for b in (1.0, 4.0) for d in (2, 8, 16) for s in (0, 1)):
        fake_run(
            tmp_path / str(i), elbo=-100.0 - beta + latent_dim + 2 * seed, beta=beta, latent_dim=latent_dim, seed=seed
        )
    write_status(fake_run(tmp_path / "99", beta=4.0, latent_dim=16, seed=2), "failed")
    matrices = matrix.draw_matrices(only_group(tmp_path))
    assert (matrices.down, matrices.across, matrices.columns) == ("latent_dim", "beta", ["1", "4"])
    assert matrices.is_over_seeds
    assert [each.quantity for each in matrices.matrices] == ["elbo", "recon", "kl", "active_units"]
    (sheet,) = matrices.matrices[0].sheets
    cells = {(down, column): cell for down, row in sheet.rows for column, cell in zip(("1", "4"), row, strict=True)}
    assert {place: cell.mean for place, cell in cells.items()} == {
        (str(d), f"{b:g}"): -100.0 - b + d + 1 for d in (2, 8, 16) for b in (1.0, 4.0)
    }
    assert [cell.error for cell in cells.values()] == [pytest.approx(2**0.5)] * 6
    assert [place for place, cell in cells.items() if cell.is_selected] == [("16", "1")]
    assert cells["16", "4"].counts == "2 of 3"
    html, _ = make_report(tmp_path)
    assert re.search(r"−84\.00\s*<small>± 1\.41</small>", html)


def test_of_one_seed_a_cell_has_the_standard_error_over_images(tmp_path):
    terms = np.random.default_rng(0).normal(-100, 30, 400)
    for i, (beta, latent_dim) in enumerate([(1.0, 2), (1.0, 8), (4.0, 2)]):
        fake_run(tmp_path / str(i), terms=terms, beta=beta, latent_dim=latent_dim)
    matrices = matrix.draw_matrices(only_group(tmp_path))
    assert not matrices.is_over_seeds
    (first, second), (third, missing) = (cells for _, cells in matrices.matrices[0].sheets[0].rows)
    assert missing is None
    for cell in (first, second, third):
        assert cell.error == pytest.approx(terms.std(ddof=1) / 20)


def test_of_three_options_there_is_a_matrix_for_each_value_of_the_third(tmp_path):
    settings = [(b, d, m) for b in (1.0, 4.0) for d in (2, 8) for m in ("mlp", "conv")]
    for i, (beta, latent_dim, model) in enumerate(settings):
        fake_run(tmp_path / str(i), beta=beta, latent_dim=latent_dim, model=model)
    matrices = matrix.draw_matrices(only_group(tmp_path))
    assert {matrices.down, matrices.across} == {"beta", "latent_dim"}
    assert [sheet.title for sheet in matrices.matrices[0].sheets] == ["model = conv", "model = mlp"]
    html, _ = make_report(tmp_path)
    assert html.count("<figcaption>model = mlp</figcaption>") == 4


def test_options_drawn_at_random_have_no_matrix_and_it_says_why(tmp_path):
    for i in range(6):
        fake_run(tmp_path / str(i), beta=1.0 + i, latent_dim=2 + i)
    html, _ = make_report(tmp_path)
    assert "No matrix: 6 of 36 combinations have runs, too few." in html
    assert not matrix.draw_matrices(only_group(tmp_path)).matrices


def test_where_one_option_varies_there_is_no_matrix(tmp_path):
    for i in range(2):
        fake_run(tmp_path / str(i), beta=1.0 + i)
    assert matrix.draw_matrices(only_group(tmp_path)) is None
