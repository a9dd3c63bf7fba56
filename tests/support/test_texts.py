"""Texts of files and names."""

from src.support.texts import natural_key


def test_numbers_in_names_are_sorted_by_their_size_however_long():
    names = ["b10", "B9", "b010", "a", "b" + "9" * 5000, "b0"]
    assert sorted(names, key=natural_key) == ["a", "b0", "B9", "b010", "b10", "b" + "9" * 5000]
