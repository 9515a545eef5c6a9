"""The charts of the report show the epochs, the experts and the scores that they were given."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from src_model.evaluation.report_figures import (
    best_epochs,
    dice_chart,
    expert_look,
    loss_chart,
    spread_chart,
    usage_charts,
)
from src_model.evaluation.report_history import Timeline
from src_model.evaluation.report_svg import SERIES, Chart

BLUE, ORANGE = "--series1", "--series2"
EVEN = ((0.25, 0.25, 0.25, 0.25),)


def texts(chart: Chart) -> list[str]:
    """The words in a drawing, in order."""
    return [element.text or "" for element in ElementTree.fromstring(chart.svg).iter() if element.text]


def words(chart: Chart) -> list[str]:
    """The words in a drawing that are no empty space."""
    return [text.strip() for text in texts(chart) if text.strip()]


def curves(chart: Chart, colour: str) -> list[str]:
    """The paths with more than one point that are drawn in a colour, without those of the legend."""
    root = ElementTree.fromstring(chart.svg)
    plot = [group for group in root.iter("g") if "axes" in group.get("id", "")]
    return [
        path.get("d", "")
        for group in plot
        for path in group.iter("path")
        if f"stroke: var({colour})" in path.get("style", "") and "L" in path.get("d", "")
        and path.get("style", "").startswith("fill: none")
    ]  # fmt: skip


def dots(chart: Chart, colour: str) -> int:
    """How many markers have a colour."""
    uses = ElementTree.fromstring(chart.svg).iter("use")
    return sum(f"fill: var({colour})" in use.get("style", "") for use in uses)


def test_each_loss_is_a_line_and_each_stage_has_its_name(make_epochs: Any) -> None:
    timeline = Timeline.of([*make_epochs("1", [0.1, 0.2, 0.3]), *make_epochs("2", [0.4, 0.5])])

    chart = loss_chart(timeline)

    assert chart is not None
    assert {"training", "validation", "stage 1", "stage 2", "epoch"} <= set(words(chart))
    assert len(curves(chart, BLUE)) == len(curves(chart, ORANGE)) == 1
    assert curves(chart, BLUE)[0].count("L") == 4
    assert "from 1.000 to 0.500" in chart.alternative


def test_folds_are_thin_lines_under_their_mean(make_epochs: Any) -> None:
    timeline = Timeline.of([r for fold in (1, 2, 3) for r in make_epochs("1", [0.1, 0.2, 0.3], fold=fold)])

    chart = dice_chart(timeline)

    assert chart is not None
    assert len(curves(chart, BLUE)) == 4
    assert "3 folds" in chart.alternative


def test_a_fold_that_stopped_early_ends_the_mean_but_no_other_line(make_epochs: Any) -> None:
    timeline = Timeline.of([*make_epochs("1", [0.1] * 5, fold=1), *make_epochs("1", [0.3] * 3, fold=2)])

    chart = dice_chart(timeline)

    assert chart is not None
    assert sorted(path.count("L") for path in curves(chart, BLUE)) == [2, 2, 4]


def test_values_that_are_missing_or_broken_are_gaps(make_epochs: Any) -> None:
    timeline = Timeline.of(make_epochs("1", [0.1, 0.2, None, math.nan, 0.4, 0.5]))

    chart = dice_chart(timeline)

    assert chart is not None
    assert curves(chart, BLUE)[0].count("M") == 2
    assert "nan" not in chart.svg.lower()


def test_a_single_epoch_is_a_dot(make_epochs: Any) -> None:
    chart = loss_chart(Timeline.of(make_epochs("1", [0.5])))

    assert chart is not None
    assert dots(chart, BLUE) == 1


def test_one_terrible_epoch_does_not_flatten_the_others(make_epochs: Any) -> None:
    epochs = make_epochs("1", [0.5] * 30)
    epochs[0]["train_loss"] = 1e6

    chart = loss_chart(Timeline.of(epochs))

    assert chart is not None
    axis = [float(word) for word in words(chart) if re.fullmatch(r"\d+\.\d", word)]
    assert max(axis) < 10


def test_the_best_epoch_of_each_stage_is_named_and_the_first_of_equals_counts(make_epochs: Any) -> None:
    timeline = Timeline.of([*make_epochs("1", [0.1, 0.6, 0.6]), *make_epochs("2", [0.5, 0.7])])

    assert best_epochs(timeline) == (
        "Large dots are the best Dice of each stage: 0.600 in epoch 2 (stage 1), 0.700 in epoch 5 (stage 2)."
    )


def test_a_run_without_epochs_has_no_charts() -> None:
    timeline = Timeline.of(())

    assert loss_chart(timeline) is None
    assert dice_chart(timeline) is None
    assert usage_charts(timeline) == ()
    assert best_epochs(timeline) == ""


def test_each_router_has_a_chart_with_a_line_for_each_expert(make_epochs: Any) -> None:
    usage = ((0.7, 0.1, 0.1, 0.1), (0.25, 0.25, 0.25, 0.25), (0.1, 0.2, 0.3, 0.4))
    timeline = Timeline.of([*make_epochs("1", [0.1]), *make_epochs("2", [0.5, 0.6], expert_usage=usage)])

    charts = usage_charts(timeline)

    assert [chart.title for chart in charts] == ["Router 1", "Router 2", "Router 3"]
    for chart in charts:
        assert [len(curves(chart, f"--series{expert}")) for expert in (1, 2, 3, 4, 5)] == [1, 1, 1, 1, 0]
    assert "expert 1 70%" in charts[0].alternative


def test_all_routers_have_the_same_axes(make_epochs: Any) -> None:
    usage = ((0.9, 0.1), (0.5, 0.5))
    timeline = Timeline.of(make_epochs("2", [0.5, 0.6], expert_usage=usage))

    first, second = (
        [word for word in words(chart) if word.endswith("%")] for chart in usage_charts(timeline)
    )

    assert first == second
    assert "100%" in first


def test_the_usage_of_several_folds_is_their_mean(make_epochs: Any) -> None:
    rows = (((0.8, 0.2),), ((0.4, 0.6),))
    timeline = Timeline.of(
        [r for fold, own in enumerate(rows) for r in make_epochs("2", [0.5], fold=fold, expert_usage=own)]
    )

    positions, usage = timeline.usage()

    assert positions.tolist() == [1]
    assert np.allclose(usage, [[[0.6, 0.4]]])


def test_more_experts_than_colours_differ_by_their_dashes() -> None:
    looks = [expert_look(expert) for expert in range(3 * len(SERIES))]

    assert len(set(looks)) == len(looks)


def test_each_image_is_a_dot_and_each_class_a_line_with_its_name() -> None:
    chart = spread_chart({"gland": [0.5, 0.6, 0.7, 0.8, 0.9], "lumen": [0.2, 0.3]})

    assert chart is not None
    assert {"gland", "lumen", "Dice"} <= set(words(chart))
    assert dots(chart, BLUE) == 7
    assert "gland: median 0.700, lowest 0.500, highest 0.900" in chart.alternative


def test_of_many_images_only_those_far_from_the_others_are_dots() -> None:
    scores = [0.8 + 0.001 * (n % 50) for n in range(200)] + [0.1, 0.2]

    chart = spread_chart({"gland": scores})

    assert chart is not None
    assert dots(chart, BLUE) == 2


@pytest.mark.parametrize("scores", [{}, {"gland": []}, {"gland": [math.nan]}])
def test_no_scores_give_no_chart(scores: dict[str, Sequence[float]]) -> None:
    assert spread_chart(scores) is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_that_are_all_alike_can_be_drawn(value: float) -> None:
    chart = spread_chart({"gland": [value] * 20})

    assert chart is not None
    assert dots(chart, BLUE) == 20


def test_long_names_are_shortened_and_all_letters_are_taken() -> None:
    chart = spread_chart({"a" * 60: [0.5], "核 $x^2$ & <b>": [0.6]})

    assert chart is not None
    assert {f"{'a' * 21}…", "核 $x^2$ & <b>"} <= set(words(chart))


def test_drawing_changes_no_settings_and_filters_of_others(make_epochs: Any) -> None:
    settings, filters = dict(mpl.rcParams), list(warnings.filters)

    loss_chart(Timeline.of(make_epochs("1", [0.5, 0.6])))

    assert dict(mpl.rcParams) == settings
    assert warnings.filters == filters


def test_the_same_epochs_give_the_same_drawing(make_epochs: Any) -> None:
    first, second = (usage_charts(Timeline.of(make_epochs("2", [0.5], expert_usage=EVEN))) for _ in "ab")

    assert first == second
