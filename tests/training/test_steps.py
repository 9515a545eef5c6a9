"""One optimiser step: parts, memory that runs out, losses that are no numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src_model.config import StageConfig
from src_model.data.sample import Sample
from src_model.errors import DeviceError, NonFiniteLossError
from src_model.models.skips import Segmentation
from src_model.training.losses import Objective
from src_model.training.optim import make_optimiser
from src_model.training.seeding import derive_seed, seeded
from src_model.training.steps import Place, Stepper, spread
from src_model.training.usage import UsageMeter

PLACE = Place("1", 2, 3)


def load(index: int) -> Sample:
    rng = np.random.default_rng(index)
    image = rng.standard_normal((3, 16, 16)).astype(np.float32)
    return Sample(image, (image[0] > 0).astype(np.int64), f"case{index}")


class TinyNetwork(nn.Module):
    """Two convolutions; ``capacity`` is the largest batch that fits into its imagined memory."""

    def __init__(self, capacity: int = 1000, norm: bool = False) -> None:
        super().__init__()
        self.capacity, self.batches = capacity, []
        middle = nn.BatchNorm2d(4) if norm else nn.Tanh()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), middle, nn.Conv2d(4, 1, 1))

    def forward(self, x: Tensor, *, domain: str | None = None) -> Segmentation:
        logits = self.layers(x)
        if len(x) > self.capacity:
            raise torch.OutOfMemoryError("imagined memory is full")
        self.batches.append(len(x))
        return Segmentation(logits, torch.zeros(()))


MakeStepper = Callable[..., Stepper]


@pytest.fixture
def make_stepper() -> MakeStepper:
    def make(micro_batch: int, **options: object) -> Stepper:
        with seeded(torch.device("cpu"), 0):
            model = TinyNetwork(**options)  # type: ignore[arg-type]
        settings = StageConfig(epochs=1, learning_rate=0.1, weight_decay=0.0)
        return Stepper(
            model,  # type: ignore[arg-type]
            make_optimiser(model, settings),
            Objective(0.01),
            device=torch.device("cpu"),
            precision="float32",
            seed=0,
            micro_batch=micro_batch,
            between=lambda: None,
        )

    return make


def test_parts_are_few_and_of_nearly_equal_length() -> None:
    assert [len(part) for part in spread(range(34), 16)] == [11, 11, 12]
    assert [list(part) for part in spread([3, 1, 2], 16)] == [[3, 1, 2]]


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(make_stepper: MakeStepper) -> None:
    whole, parts = make_stepper(7), make_stepper(2)

    results = [stepper.step(load, range(7), PLACE, UsageMeter()) for stepper in (whole, parts)]

    assert parts.model.batches == [1, 2, 2, 2]
    assert results[0].total == pytest.approx(results[1].total, rel=1e-5)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_memory_that_runs_out_halves_the_parts_and_keeps_the_gradient(make_stepper: MakeStepper) -> None:
    roomy, tight = make_stepper(8), make_stepper(8, capacity=3)

    roomy.step(load, range(8), PLACE, UsageMeter())
    result = tight.step(load, range(8), PLACE, UsageMeter())

    assert tight.micro_batch == 2
    assert tight.model.batches == [2, 2, 2, 2]
    assert len(result.warnings) == 2
    assert "2 images at a time" in result.warnings[-1]
    for a, b in zip(roomy.model.parameters(), tight.model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_a_step_that_is_made_again_counts_its_statistics_once(make_stepper: MakeStepper) -> None:
    tight, direct = make_stepper(4, capacity=2, norm=True), make_stepper(2, norm=True)

    for stepper in (tight, direct):
        stepper.step(load, range(4), PLACE, UsageMeter())

    for (name, a), (_, b) in zip(tight.model.named_buffers(), direct.model.named_buffers(), strict=True):
        assert torch.equal(a, b), name


def test_when_not_even_one_image_fits_a_sentence_says_what_to_do(make_stepper: MakeStepper) -> None:
    stepper = make_stepper(2, capacity=0)

    with pytest.raises(DeviceError, match=r"even with one image at a time; lower data\.image_size"):
        stepper.step(load, range(2), PLACE, UsageMeter())


def test_a_loss_that_is_no_number_names_the_place_and_images_and_changes_no_weight(
    make_stepper: MakeStepper,
) -> None:
    stepper = make_stepper(2)
    before = [p.clone() for p in stepper.model.parameters()]

    def broken(index: int) -> Sample:
        sample = load(index)
        if index == 3:
            sample.image[:] = np.nan
        return sample

    with pytest.raises(NonFiniteLossError, match=r"stage 1, epoch 2, batch 3 \(images case2, case3\)"):
        stepper.step(broken, range(4), PLACE, UsageMeter())

    assert all(torch.equal(a, b) for a, b in zip(before, stepper.model.parameters(), strict=True))


def test_other_errors_of_the_network_are_not_taken_for_memory(make_stepper: MakeStepper) -> None:
    stepper = make_stepper(2)

    def wrong(index: int) -> Sample:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        stepper.step(wrong, range(2), PLACE, UsageMeter())


def test_seeding_by_name_repeats_itself_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    with seeded(torch.device("cpu"), 0, "step", "1", 2, 3):
        first = torch.rand(1)
    after = torch.rand(1)
    with seeded(torch.device("cpu"), 0, "step", "1", 2, 3):
        second = torch.rand(1)

    assert torch.equal(first, second)
    assert torch.equal(after, expected)
    assert derive_seed(0, "step", 1) != derive_seed(0, "step", 2) != derive_seed(1, "step", 2)
