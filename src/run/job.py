"""The place of a run within a sweep or a search."""

from typing import NamedTuple


class Job(NamedTuple):
    """The place of a run within a sweep or a search.

    sweep: the name of the sweep or search
    options: the overrides in which the run differs from the others
    """

    sweep: str
    options: list[str]
