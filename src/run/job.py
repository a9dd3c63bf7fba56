"""A run as one of many."""

from typing import NamedTuple


class Job(NamedTuple):
    """What a run is within a sweep or a search.

    sweep: the name of the sweep or search
    options: the overrides in which the run differs from the others
    """

    sweep: str
    options: list[str]
