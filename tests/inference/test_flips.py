"""Test-time flips: the mean probability over four mirrorings, of images and of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src_model import segment
from src_model.events import Control, ImageSegmented, SegmentationFinished, SegmentationStopped, TileFinished
from src_model.inference.network import Network, logits_of_mean
from src_model.models.base import SegmentationModel
from src_model.models.checkpoint import Checkpoint
from src_model.models.registry import create_model
from src_model.models.skips import Segmentation

MakeCheckpoint = Callable[..., Checkpoint]


class Shifted(SegmentationModel):
    """Its answer depends on direction: each pixel is the one left and above of it, plus its own row."""

    name = "shifted"

    def __init__(self, num_classes: int = 1) -> None:
        super().__init__(1, num_classes, 1, {})
        self.required_multiple = 1
        self.own = nn.Identity()

    @property
    def top_k(self) -> int:
        return 1

    def forward(
        self, x: Tensor, *, top_k: Any = None, routing: Any = None, domain: Any = None
    ) -> Segmentation:
        rows = torch.linspace(-1, 1, x.shape[2])[:, None]
        moved = 4 * (self.own(x).roll((1, 1), (2, 3)) - 0.5) + rows
        channels = [moved * (number + 1) for number in range(self.num_classes)]
        return Segmentation(torch.cat(channels, 1), x.new_zeros(()))


def by_hand(network: Network, image: np.ndarray) -> np.ndarray:
    """Mean probability over the mirrorings of an image (1, C, H, W), one by one."""
    plain = []
    for axes in ((), (2,), (3,), (2, 3)):
        logits = network.logits(np.flip(image, axes)).double()
        several = logits.shape[1] > 1
        probability = logits.softmax(1) if several else logits.sigmoid()
        plain.append(np.flip(probability.numpy(), axes))
    return np.mean(plain, axis=0)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_network_with_a_sense_of_direction_gives_the_mean_of_its_four_answers(
    wrapped: MakeCheckpoint, classes: int
) -> None:
    checkpoint = wrapped(Shifted(classes))
    image = np.random.default_rng(0).random((1, 1, 9, 12), dtype=np.float32)

    flipped = Network(checkpoint, device="cpu", flips=True).logits(image)

    probability = flipped.softmax(1) if classes > 1 else flipped.sigmoid()
    np.testing.assert_allclose(probability, by_hand(Network(checkpoint, device="cpu"), image), atol=1e-6)
    assert not torch.allclose(flipped, Network(checkpoint, device="cpu").logits(image), atol=0.01)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_network_without_a_sense_of_direction_gives_what_it_gave(
    bright: MakeCheckpoint, noise: np.ndarray, classes: int
) -> None:
    results = [
        list(segment(noise, bright(1, classes, window=3), device="cpu", flips=flips, probability=True))[-1]
        for flips in (False, True)
    ]

    plain, flipped = (result.results[0] for result in results if isinstance(result, SegmentationFinished))
    np.testing.assert_array_equal(flipped.mask, plain.mask)
    np.testing.assert_allclose(flipped.probability, plain.probability, atol=1e-6)


def test_the_mean_keeps_probabilities_next_to_0_and_1_apart() -> None:
    logits = torch.tensor([[[60.0]], [[60.0]]])[:, None]
    opposite = torch.tensor([[[-60.0]], [[60.0]]])[:, None]

    assert float(logits_of_mean(logits)) == pytest.approx(60.0)
    assert float(logits_of_mean(-logits)) == pytest.approx(-60.0)
    assert float(logits_of_mean(opposite)) == pytest.approx(0.0)


def test_volumes_are_mirrored_in_their_planes_and_the_order_of_the_planes_stays(
    wrapped: MakeCheckpoint,
) -> None:
    torch.manual_seed(0)
    model = create_model("u2net3d", in_channels=1, num_classes=2, base_channels=4, poolings=(1, 1, 1))
    checkpoint = wrapped(model, training={"patch_size": (8, 8, 8)})
    volume = np.random.default_rng(0).random((1, 1, 6, 8, 10), dtype=np.float32)
    plain = Network(checkpoint, device="cpu", precision="float32")

    flipped = Network(checkpoint, device="cpu", precision="float32", flips=True).logits(volume)

    answers = [
        np.flip(plain.logits(np.flip(volume, axes)).softmax(1).numpy(), axes)
        for axes in ((), (3,), (4,), (3, 4))
    ]
    np.testing.assert_allclose(flipped.softmax(1), np.mean(answers, axis=0), atol=1e-5)


def test_flips_change_neither_the_events_nor_the_way_to_stop(
    bright: MakeCheckpoint, noise: np.ndarray
) -> None:
    control = Control()

    kinds = [
        [event.kind for event in segment(noise, bright(1), device="cpu", tile=64, flips=flips)]
        for flips in (False, True)
    ]
    stopped = []
    for event in segment(noise, bright(1), device="cpu", tile=64, flips=True, control=control):
        stopped.append(event)
        if isinstance(event, TileFinished):
            control.stop()

    assert kinds[0] == kinds[1]
    assert isinstance(stopped[-1], SegmentationStopped)
    assert not any(isinstance(event, ImageSegmented) for event in stopped)
