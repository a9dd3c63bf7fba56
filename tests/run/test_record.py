"""The console's table of a task's numbers."""

import numpy as np

from src.run.record import table
from src.support.statistics import Estimate, Noted, flatten


def test_single_numbers_come_before_the_table():
    numbers = {
        "decoder": {"nats": Estimate(85.123, 0.234), "attacked_by": "larger model.decoder"},
        "total": {"nats": Estimate(101.5, None)},
        "images": 300,
        "elbo": Estimate(-101.5, 0.04321),
        "share": 0.123456,
        "curve": np.arange(3),
        "floor": {"means": {"kid": Estimate(0.00012345, 3e-05)}},
    }
    assert table(numbers).splitlines() == [
        "images       300",
        "elbo         -101.50 ± 0.043",
        "share        0.1235",
        "             nats             attacked_by           kid",
        "decoder      85.12 ± 0.23     larger model.decoder",
        "total        101.50",
        "floor/means                                         0.0001234 ± 3e-05",
    ]


def test_a_note_is_for_the_console_alone():
    numbers = {"nll": Noted(Estimate(88.3, 0.24), "10 images"), "cap": Noted(3, "a whole number")}
    assert table(numbers).splitlines() == ["nll  88.30 ± 0.24  (10 images)", "cap  3  (a whole number)"]
    assert flatten(numbers) == {"nll": 88.3, "nll_se": 0.24, "cap": 3}


def test_nothing_is_an_empty_table():
    assert table({}) == ""
