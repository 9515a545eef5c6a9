"""The images of the report are the telling ones, and their outlines lie where the masks end."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src_model.config import CLASS_COLORS
from src_model.evaluation.report_examples import (
    Choice,
    choose_examples,
    data_uri,
    distinct,
    draw_outlines,
    to_example,
)
from src_model.evaluation.table import ScoreTable

CHOICE = Choice("best", "a", None, 0.9)
RED, GREEN = (255, 0, 0), (0, 255, 0)


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Pixels of exactly that colour."""
    return (picture == colour).all(-1)


def test_the_best_the_median_and_the_worst_images_are_chosen(make_score: Any) -> None:
    table = ScoreTable([make_score(f"image{n}", n / 10) for n in range(9)])

    choices = choose_examples(table)

    assert [(choice.rank, choice.case) for choice in choices] == [
        ("best", "image8"),
        ("best", "image7"),
        ("median", "image5"),
        ("median", "image4"),
        ("worst", "image1"),
        ("worst", "image0"),
    ]
    assert choices[0].dice == 0.8


@pytest.mark.parametrize(
    ("images", "ranks"),
    [
        (0, []),
        (1, ["only"]),
        (2, ["best", "worst"]),
        (3, ["best", "median", "worst"]),
        (5, ["best", "median", "worst"]),
        (6, ["best", "best", "median", "median", "worst", "worst"]),
    ],
)
def test_with_few_images_none_is_shown_twice(make_score: Any, images: int, ranks: list[str]) -> None:
    choices = choose_examples(ScoreTable([make_score(f"{n}", 0.5) for n in range(images)]))

    assert [choice.rank for choice in choices] == ranks
    assert len({choice.case for choice in choices}) == len(choices)


def test_an_image_counts_with_the_mean_over_its_classes_in_each_fold(make_score: Any) -> None:
    rows = [
        make_score("a", 1.0, "x", fold=1),
        make_score("a", 0.0, "y", fold=1),
        make_score("a", 0.6, "x", fold=2),
        make_score("a", 0.8, "y", fold=2),
    ]

    choices = choose_examples(ScoreTable(rows))

    assert [(c.case, c.fold, round(c.dice, 9)) for c in choices] == [("a", 2, 0.7), ("a", 1, 0.5)]


def test_of_a_volume_the_slice_with_most_truth_is_shown() -> None:
    volume = np.zeros((4, 8, 8), np.float32)
    volume[2] = np.linspace(-1000, 1000, 64).reshape(8, 8)
    truth = np.zeros((4, 8, 8), np.uint8)
    truth[1, :2], truth[2, :5] = 1, 2

    example = to_example(CHOICE, volume, truth, np.zeros_like(truth))

    assert example.plane == 2
    assert np.array_equal(example.truth, truth[2])
    assert example.image.shape == (8, 8, 3)
    assert (example.image.min(), example.image.max()) == (0, 255)


def test_where_a_volume_holds_no_truth_the_slice_with_most_prediction_is_shown() -> None:
    prediction = np.zeros((4, 8, 8), np.uint8)
    prediction[3, :2] = 1

    example = to_example(CHOICE, np.zeros((4, 8, 8)), np.zeros_like(prediction), prediction)

    assert example.plane == 3


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 2), (6, 5, 3), (6, 5, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, bool])
def test_every_kind_of_image_becomes_colour_bytes(shape: tuple[int, ...], kind: type) -> None:
    image = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    mask = np.zeros((6, 5), np.uint8)

    example = to_example(CHOICE, image, mask, mask)

    assert example.image.shape == (6, 5, 3)
    assert example.image.dtype == np.uint8


def test_bytes_keep_their_colours() -> None:
    image = np.random.default_rng(0).integers(0, 99, (6, 5, 3), dtype=np.uint8)
    mask = np.zeros((6, 5), np.uint8)

    assert np.array_equal(to_example(CHOICE, image, mask, mask).image, image)


def test_what_is_not_finite_is_black_or_white() -> None:
    image = np.array([[np.nan, np.inf], [-np.inf, 5.0]])
    mask = np.zeros((2, 2), np.uint8)

    shown = to_example(CHOICE, image, mask, mask).image[..., 0]

    assert shown[0].tolist() == [0, 255]
    assert shown[1, 0] == 0


def test_masks_of_another_size_are_refused_by_name() -> None:
    mask = np.zeros((4, 5), np.uint8)

    with pytest.raises(ValueError, match=r"image a has shape \(5, 4\), its truth \(4, 5\)"):
        to_example(CHOICE, np.zeros((5, 4)), mask, mask)


def test_an_outline_follows_the_inner_edge_of_a_region() -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[100:200, 300:400] = 1

    drawn = draw_outlines(np.full((512, 512, 3), 200, np.uint8), labels, {}, "#ff0000")

    line = np.zeros((512, 512), bool)
    line[100:200, 300:400] = True
    line[102:198, 302:398] = False
    assert np.array_equal(where(drawn, RED), line)
    assert (drawn[150, 350] == 200).all()
    assert (drawn[150, 299] < 100).all()
    assert (drawn[150, 297] == 200).all()


def test_regions_that_touch_are_divided_and_have_their_colours() -> None:
    labels = np.zeros((512, 512), np.int64)
    labels[100:200, 100:200], labels[100:200, 200:300] = 1, 2

    drawn = draw_outlines(
        np.full((512, 512, 3), 200, np.uint8), labels, {1: "#ff0000", 2: "#00ff00"}, "#0000ff"
    )

    assert where(drawn, RED)[150, 199]
    assert where(drawn, GREEN)[150, 200]
    assert (drawn[150, 150] == 200).all()


def test_a_class_without_a_colour_gets_the_other_one() -> None:
    labels = np.full((512, 512), 7)
    labels[:100] = 0

    drawn = draw_outlines(np.zeros((512, 512, 3), np.uint8), labels, {1: "#00ff00"}, "#ff0000")

    assert where(drawn, RED).any()
    assert not where(drawn, GREEN).any()


def test_a_mask_that_fills_the_image_or_is_empty_has_no_outline() -> None:
    image = np.full((512, 512, 3), 200, np.uint8)

    for value in (0, 1):
        assert np.array_equal(draw_outlines(image, np.full((512, 512), value), {}, "#ff0000"), image)


@pytest.mark.parametrize(
    ("size", "drawn"), [((64, 64), (512, 512)), ((2000, 1000), (512, 256)), ((1, 3000), (1, 512))]
)
def test_every_picture_is_drawn_at_the_same_scale(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    picture = draw_outlines(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), {}, "#ff0000")

    assert picture.shape == (*drawn, 3)


def test_a_picture_travels_inside_the_page() -> None:
    picture = np.full((40, 30, 3), (200, 100, 50), np.uint8)

    head, content = data_uri(picture).split(",")

    assert head == "data:image/jpeg;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert np.abs(read.astype(int) - picture).max() < 4


def test_colours_that_repeat_are_replaced() -> None:
    colours = distinct([*CLASS_COLORS, *CLASS_COLORS])

    assert colours[: len(CLASS_COLORS)] == CLASS_COLORS
    assert len(set(colours)) == len(colours)


def test_more_classes_than_colours_end_well() -> None:
    assert len(distinct(["#112233"] * 40)) == 40


@pytest.mark.parametrize("side", [8, 512])
def test_a_picture_of_mere_noise_can_be_carried_too(side: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)

    _, content = data_uri(picture).split(",")

    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (side, side)
