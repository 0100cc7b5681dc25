"""Files that belong together are found by their names, in whatever order these sort."""

from __future__ import annotations

import pytest

from napari_synth.files import natural_key, paired
from napari_synth.files.pairs import belonging, pairs_in_words


@pytest.mark.parametrize(
    ("sources", "targets", "by", "partners"),
    [
        (["a", "b"], ["b", "a"], "names", (1, 0)),
        ([f"img_{n}" for n in range(1, 13)], [f"gt_{n:02}" for n in range(1, 13)], "common parts", tuple(range(12))),
        ([f"img_{n}" for n in (10, 2, 1)], [f"img_{n}_gt" for n in (1, 2, 10)], "common parts", (2, 1, 0)),
        (["alice raw", "bob raw"], ["truth-bob", "truth-alice"], "common parts", (1, 0)),
        (["2024-01-05_cell3", "2024-01-05_cell4"], ["c_4 of 9", "c_3 of 9"], "common parts", (1, 0)),
        (["left_7", "right_8"], ["new_8", "old_7"], "numbers", (1, 0)),
        (["a", "b"], ["a", "b2"], "common parts", (0, 1)),
        (["a 1", "b"], ["b", "a"], "common parts", (1, 0)),
        (["frame10_z1", "frame2_z1"], ["frame2_z9", "frame10_z9"], "common parts", (1, 0)),
    ],
)
def test_names_are_matched(sources: list[str], targets: list[str], by: str, partners: tuple[int, ...]) -> None:
    found = paired(sources, targets)
    assert found is not None
    assert (found.by, found.partners) == (by, partners)


def test_numbers_are_matched_as_numbers() -> None:
    found = paired([f"img_{n}" for n in (1, 10, 11, 12, 2, 3)], [f"gt_{n:02}" for n in (1, 2, 3, 10, 11, 12)])
    assert found is not None
    assert found.partners == (0, 3, 4, 5, 1, 2)


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["a", "b"], ["c", "d"]),
        (["img_1", "img_2"], ["gt_2", "gt_3"]),
        (["a_1", "b_1"], ["c_1", "d_1"]),
        (["image", "image"], ["image", "image"]),
    ],
)
def test_names_that_tell_nothing_are_not_matched(sources: list[str], targets: list[str]) -> None:
    assert paired(sources, targets) is None


@pytest.mark.parametrize(
    ("name", "candidates", "found"),
    [
        ("img_1", ["img_1", "img_1_mask"], [0]),
        ("img_1", ["img_12_mask", "img_1_mask"], [1]),
        ("img_1", ["m_12", "m_01"], [1]),
        ("img", ["m_12", "m_01"], []),
        ("img_1", ["img_1_a", "img_1_b"], [0, 1]),
    ],
)
def test_what_belongs_to_one_name(name: str, candidates: list[str], found: list[int]) -> None:
    assert belonging(name, candidates) == found


def test_many_pairs_are_shown_in_part() -> None:
    names = [f"i{n}" for n in range(20)]
    assert pairs_in_words(names, names).endswith("i11 + i11, and 8 more")
    assert pairs_in_words(["a"], ["b"]) == "a + b"


def test_natural_order() -> None:
    names = ["b1", "a10", "A2", "a1", "a", "a02", "day10/x", "day9/x"]
    assert sorted(names, key=natural_key) == ["a", "a1", "A2", "a02", "a10", "b1", "day9/x", "day10/x"]
