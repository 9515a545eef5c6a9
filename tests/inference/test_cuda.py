"""On a CUDA device the results are those of the CPU, recorded or not; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from src_model import create_model
from src_model.data.label_pyramid import LabelPyramid
from src_model.events import SlideFinished
from src_model.inference.network import MemoryRanOut, Network
from src_model.inference.replay import Replay
from src_model.inference.slides.run import segment_slide
from src_model.models.checkpoint import save_checkpoint
from src_model.models.registry import list_models, model_class
from tests.made_slides import pyramid, write_pyramid

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

Make = Callable[[str], Path]


@pytest.fixture(autouse=True)
def exact_arithmetic() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def checkpoint(tmp_path: Path) -> Make:
    """Makes a small network of a name and gives its file."""

    def make(name: str) -> Path:
        torch.manual_seed(0)
        narrow = {"base_channels": 16} if "base_channels" in model_class(name).default_options() else {}
        model = create_model(name, **narrow)
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = 1.0
        with torch.no_grad():  # so that maps keep their size and no router is sure
            model.train()(torch.randn(4, 3, 64, 96))
        return save_checkpoint(tmp_path / f"{name}.safetensors", model.eval())

    return make


@pytest.mark.parametrize("name", list_models(dims=2))
def test_a_replayed_network_gives_what_the_cpu_gives(name: str, checkpoint: Make) -> None:
    file = checkpoint(name)
    here = Network(file, device="cpu", precision="float32")
    there = Network(file, device="cuda", precision="float32")
    rng = np.random.default_rng(0)

    for _ in range(4):  # plain, recorded, replayed, replayed
        batch = rng.normal(size=(2, 3, 96, 128)).astype(np.float32)
        wanted, found = here.logits(batch), there.logits(batch).cpu()
        assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))

    assert isinstance(there._pass, Replay)
    assert there._pass._works
    assert len(there._pass._graphs) == 1


def test_each_shape_has_a_recording_of_its_own(checkpoint: Make) -> None:
    network = Network(checkpoint("utanet"), device="cuda", precision="float32")
    rng = np.random.default_rng(0)
    shapes = [(1, 3, 64, 64), (2, 3, 64, 96), (1, 3, 80, 64)]
    batches = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    first = [network.logits(batch).cpu() for batch in batches]

    for _ in range(3):
        again = [network.logits(batch).cpu() for batch in batches]

    for a, b in zip(first, again, strict=True):
        assert torch.allclose(a, b, atol=1e-4 * float(a.abs().max()))


def test_a_network_that_cannot_be_recorded_goes_on_as_it_is() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x * float(x.sum())  # waits for the device, which a recording cannot

    replay = Replay(forward)
    x = torch.full((2, 2), 0.5, device="cuda")

    assert [float(replay(x)[0, 0]) for _ in range(4)] == [1.0] * 4


def test_bfloat16_is_chosen_where_the_device_has_it(checkpoint: Make) -> None:
    wanted = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

    assert Network(checkpoint("utanet"), device="cuda").precision == wanted


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_types_stay_near(precision: str, checkpoint: Make) -> None:
    file = checkpoint("utanet-stage1")
    batch = np.random.default_rng(0).normal(size=(2, 3, 128, 128)).astype(np.float32)
    wanted = Network(file, device="cpu", precision="float32").logits(batch)

    found = Network(file, device="cuda", precision=precision).logits(batch).cpu()

    off = (found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()
    assert float(off) < {"bfloat16": 0.15, "float16": 0.02}[precision]


def test_memory_that_ran_out_is_told_and_the_next_batch_passes(checkpoint: Make) -> None:
    network = Network(checkpoint("utanet"), device="cuda")
    small = np.zeros((1, 3, 64, 64), np.float32)
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - (1 << 30), dtype=torch.uint8, device="cuda")

    with pytest.raises(MemoryRanOut):
        network.logits(np.zeros((16, 3, 2048, 2048), np.float32))

    assert network.logits(small).shape == (1, 1, 64, 64)
    del taken


@pytest.mark.parametrize("routing", ["slide", "tile"])
def test_a_slide_has_the_mask_of_the_cpu(tmp_path: Path, routing: str, checkpoint: Make) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (96, 130, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    slide = write_pyramid(tmp_path / "slide.tif", pyramid(pixels, 3))
    masks = []
    for device in ("cpu", "cuda"):
        *_, last = segment_slide(
            slide,
            checkpoint("utanet"),
            out=tmp_path / device,
            device=device,
            precision="float32",
            tile=256,
            halo=16,
            objects=True,
            routing=routing,
        )
        assert isinstance(last, SlideFinished)
        masks.append(LabelPyramid.open(last.mask).levels[0][...])

    assert 0.01 < masks[0].mean() < 0.99
    assert (masks[0] != masks[1]).mean() < 0.002
