"""Held-out images are chosen by patient, reproducibly, and every one is held out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from src_model.data.layouts import Case
from src_model.data.splits import folds, train_validation
from src_model.errors import DataError


def cases(groups: str) -> list[Case]:
    return [Case(f"{group}{i}", Path("i"), Path("m"), group) for i, group in enumerate(groups)]


def test_a_patient_is_never_on_both_sides() -> None:
    for seed in range(20):
        training, validation = train_validation(cases("aaabbccddeee"), 0.4, seed)

        assert {c.group for c in training}.isdisjoint(c.group for c in validation)
        assert len(training) + len(validation) == 12


def test_the_wanted_share_of_the_groups_is_held_out() -> None:
    training, validation = train_validation(cases("abcdefghij"), 0.2, seed=1)

    assert (len(training), len(validation)) == (8, 2)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_neither_side_is_ever_empty(fraction: float) -> None:
    training, validation = train_validation(cases("abc"), fraction, seed=0)

    assert training
    assert validation


def test_the_seed_alone_decides_and_the_order_of_the_cases_does_not() -> None:
    first = train_validation(cases("abcdefghij"), 0.3, seed=5)

    assert train_validation(cases("abcdefghij"), 0.3, seed=5) == first
    assert train_validation(cases("abcdefghij"), 0.3, seed=6) != first
    turned = train_validation(cases("abcdefghij")[::-1], 0.3, seed=5)
    assert {c.id for c in turned[1]} == {c.id for c in first[1]}


def test_every_case_is_held_out_in_exactly_one_fold() -> None:
    everything = cases("aabbccddeefg")

    held_out = [case.id for fold in range(3) for case in folds(everything, 3, fold, seed=2)[1]]

    assert sorted(held_out) == sorted(case.id for case in everything)


def test_folds_keep_patients_whole() -> None:
    for fold in range(3):
        training, validation = folds(cases("aabbccdd"), 3, fold, seed=0)
        assert {c.group for c in training}.isdisjoint(c.group for c in validation)


def test_too_few_patients_are_said() -> None:
    with pytest.raises(DataError, match=r"5 folds need at least 5 .* there are 2"):
        folds(cases("aabb"), 5, 0, seed=0)
    with pytest.raises(DataError, match=r"at least two images of different origin .* got 1"):
        train_validation(cases("aaa"), 0.2, seed=0)
