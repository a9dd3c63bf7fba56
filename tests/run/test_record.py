"""The console's table of a task's numbers."""

import numpy as np

from src.run.record import table
from src.support.statistics import Estimate


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


def test_nothing_is_an_empty_table():
    assert table({}) == ""
