"""The report is one calm page that needs nothing else, whatever the evaluation brought."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src_model.config import ClassInfo
from src_model.errors import OutputError
from src_model.evaluation.report import Report, render_report, write_report
from src_model.evaluation.report_examples import Example
from src_model.evaluation.table import ScoreTable

USAGE = ((0.4, 0.3, 0.2, 0.1), (0.25, 0.25, 0.25, 0.25))


def example(case: str, **values: Any) -> Example:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 8:20] = 1
    image = np.full((20, 30, 3), 120, np.uint8)
    return Example(case=case, image=image, truth=mask, prediction=np.roll(mask, 2, 1), dice=0.8, **values)


@pytest.fixture
def full(make_score: Any, make_epochs: Any) -> Report:
    """A report with something in every place."""
    rows = [
        make_score(f"image {n}", 0.6 + 0.03 * n, label, fold=n % 2 + 1, group=f"patient {n}")
        for n in range(10)
        for label in ("liver", "spleen")
    ]
    epochs = [
        record
        for fold in (1, 2)
        for record in (
            *make_epochs("1", [0.3, 0.5], fold=fold),
            *make_epochs("2", [0.6, 0.7], fold=fold, expert_usage=USAGE),
        )
    ]
    return Report(
        title="Synapse: utanet",
        table=ScoreTable(rows),
        facts=(("Model", "utanet"), ("Seed", "1")),
        examples=(example("image 9", rank="best"), example("image 0", rank="worst", fold=1, plane=3)),
        history=tuple(epochs),
        notes=("The image broken.png could not be read.",),
        classes=(ClassInfo(name="liver", color="#aa0011"), ClassInfo(name="spleen", color="#00bb22")),
    )


def test_the_page_refers_to_nothing_outside_itself(full: Report, read_page: Any) -> None:
    text = render_report(full)

    page = read_page(text)
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "data", "action")
    ]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.search(r"https?://|@import|url\((?!#)", outside)
    assert not any(tag in ("link", "iframe", "object") for tag, _ in page.elements)


def test_the_page_tells_everything_that_the_report_holds(full: Report, read_page: Any) -> None:
    text = read_page(render_report(full)).text

    for words in (
        "Synapse: utanet",
        "Dice 0.735 ± 0.091 over 10 images, mean of 2 classes; 0.735 ± 0.021 over 2 folds.",
        "Model utanet",
        "The image broken.png could not be read.",
        "all classes",
        "Dice over the images",
        "Every image (10)",
        "image 0 , slice 4 , fold 1 : Dice 0.800",
        "Router 2",
        "the equal share, 1 / 4",
    ):
        assert words in text


def test_every_name_inside_the_page_is_unique_and_every_reference_leads_somewhere(
    full: Report, read_page: Any
) -> None:
    page = read_page(render_report(full))

    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {value.removeprefix("#") for value in page.attributes("use", "xlink:href")} <= set(names)


def test_those_who_do_not_see_the_pictures_are_told_what_they_show(full: Report, read_page: Any) -> None:
    page = read_page(render_report(full))

    drawings = [attributes for tag, attributes in page.elements if attributes.get("role") == "img"]
    assert len(drawings) == 1 + 2 + 2
    assert all(attributes["aria-label"] for attributes in drawings)
    assert page.attributes("img", "alt")[0] == "image 9 with the outlines of the truth"
    assert len(page.attributes("img", "alt")) == len(page.attributes("img", "src")) == 4
    assert set(page.attributes("th", "scope")) == {"col", "row"}


def test_names_are_shown_as_they_are_and_never_run(make_score: Any, read_page: Any) -> None:
    name = "<script>alert('$x_1$ & \"y\"')</script>"
    rows = [make_score(name, dice, label) for dice, label in ((0.5, name), (0.7, "b"))]
    report = Report(
        title=name, table=ScoreTable(rows), facts=((name, name),), notes=(name,), examples=(example(name),)
    )

    text = render_report(report)

    places = ("title", "heading", "name of a fact", "fact", "note", "class", "image", "legend")
    assert "<script>alert" not in text
    assert read_page(text).words.count(name) == len(places)


def test_a_class_name_in_a_drawing_is_escaped_too(make_score: Any, read_page: Any) -> None:
    rows = [make_score(f"{n}", 0.5, "<i>$a$</i> 核") for n in range(3)]

    page = read_page(render_report(Report(title="", table=ScoreTable(rows))))

    assert page.words.count("<i>$a$</i> 核") == 2
    assert not any(tag == "i" for tag, _ in page.elements)


def test_equal_reports_give_equal_bytes(full: Report, tmp_path: Path) -> None:
    first = write_report(tmp_path / "a.html", full)
    second = write_report(tmp_path / "b.html", full)

    assert first.read_bytes() == second.read_bytes()


def test_a_report_that_cannot_be_written_leaves_nothing_behind(full: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.mkdir()

    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(path, full)

    assert list(tmp_path.iterdir()) == [path]


def test_a_file_name_that_is_no_text_can_be_reported(make_score: Any, tmp_path: Path) -> None:
    table = ScoreTable([make_score("scan\udcff", 0.5)])

    path = write_report(tmp_path / "report.html", Report(title="", table=table))

    assert "scan?" in path.read_text(encoding="utf-8")


def test_an_evaluation_without_any_image_says_so(read_page: Any) -> None:
    page = read_page(render_report(Report(title="Nothing", table=ScoreTable(()))))

    assert page.text.startswith("Nothing Nothing No image could be scored.")
    assert not any(tag in ("table", "svg", "h2", "script") for tag, _ in page.elements)


def test_a_single_image_has_no_deviation_and_no_distribution(make_score: Any, read_page: Any) -> None:
    report = Report(title="One", table=ScoreTable([make_score("only", 0.75)]), examples=(example("only"),))

    page = read_page(render_report(report))

    assert "Dice 0.750 on 1 image." in page.text
    assert " ± 0" not in page.text
    assert not any(tag in ("svg", "h3") for tag, _ in page.elements)


def test_hundreds_of_images_of_many_classes_stay_a_page_of_moderate_size(
    make_score: Any, read_page: Any
) -> None:
    rows = [make_score(f"{n:03}", (n * 37 % 100) / 100, f"organ {c}") for n in range(500) for c in range(13)]

    text = render_report(Report(title="Many", table=ScoreTable(rows)))

    assert len(text) < 2_000_000
    assert "Every image (500)" in read_page(text).text
    assert "nan" not in re.sub(r"\bisNaN\b", "", text).lower().split()


def test_a_run_without_experts_has_curves_but_no_routers(
    make_score: Any, make_epochs: Any, read_page: Any
) -> None:
    table = ScoreTable([make_score("a", 0.5)])

    text = read_page(
        render_report(Report(title="", table=table, history=tuple(make_epochs("1", [0.5]))))
    ).text

    assert "Validation scores" in text
    assert "Large dots are the best Dice of each stage: 0.500 in epoch 1 (stage 1)." in text
    assert "Experts" not in text


def test_classes_without_colours_get_different_ones(make_score: Any, read_page: Any) -> None:
    rows = [make_score("a", 0.5, f"organ {c}") for c in range(13)]

    page = read_page(render_report(Report(title="", table=ScoreTable(rows), examples=(example("a"),))))

    legend = page.attributes("span", "style")[-13:]
    assert len(set(legend)) == 13
