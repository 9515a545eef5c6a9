"""Validated configuration of a training run; every bound lives in its field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from src_model.errors import ConfigError
from src_model.nested import merge, read_yaml

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Side = Annotated[int, Field(ge=8, le=512)]


class Frozen(BaseModel):
    """Base of what is read from YAML: unknown keys are refused, nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


CLASS_COLORS = ("#2ec4b6", "#ff9f1c", "#e71d36", "#8ac926", "#6a4c93", "#1982c4", "#ffca3a", "#f15bb5")
"""For classes that were given none, in turn."""


class ClassInfo(Frozen):
    """One class of a mask."""

    name: str
    """As it is shown to the user."""
    color: str = Field(default=CLASS_COLORS[0], pattern=r"^#[0-9a-fA-F]{6}$")
    """Display colour, ``#rrggbb``."""


def named_classes(classes: Sequence[ClassInfo], count: int) -> tuple[ClassInfo, ...]:
    """``count`` foreground classes; those without a name are numbered and given a colour."""
    given = tuple(classes)[:count]
    return given + tuple(
        ClassInfo(
            name=f"class {n}" if count > 1 else "foreground", color=CLASS_COLORS[(n - 1) % len(CLASS_COLORS)]
        )
        for n in range(len(given) + 1, count + 1)
    )


class Normalisation(Frozen):
    """Per-channel standardisation that follows the scaling of intensities to 0..1."""

    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)


class DomainInfo(Frozen):
    """What a checkpoint knows of one domain (organ, modality) of a network that serves several."""

    classes: tuple[ClassInfo, ...] = ()
    """Foreground classes; empty = named by their number."""
    normalisation: Normalisation = Normalisation()
    """Standardisation of its volumes."""
    spacing_mm: tuple[float, float, float] | None = None
    """Median voxel size (Z, Y, X) of its training volumes, millimetres."""
    patch_size: tuple[int, int, int] | None = None
    """Voxels (Z, Y, X) of the patches that it was trained on."""


class ModelConfig(Frozen):
    """Which network."""

    name: str = "utanet"
    """One of ``src_model.list_models()``."""
    in_channels: int = Field(default=3, ge=1, le=64)
    """Channels of the images: 3 for RGB, 1 for grey."""
    num_classes: int = Field(default=1, ge=1, le=255)
    """Number of logit channels: 1 = foreground against background, K > 1 includes background."""
    top_k: int = Field(default=2, ge=1)
    """How many experts each router mixes."""
    encoder_weights: Literal["imagenet"] | None = None
    """``imagenet``: start the encoder from published weights, fetched once, instead of random ones."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of that architecture, checked when the network is made."""
    adapt_from: Path | None = None
    """Checkpoint of a network with domains: the data become new domains, all else stays frozen."""
    stage1_from: Path | None = None
    """Checkpoint of stage 1 for ``stage: second`` or ``longer``, so that several runs may share it."""


class DataConfig(Frozen):
    """Which images, and how they reach the network."""

    root: Path
    """Folder of the dataset."""
    more_roots: tuple[Path, ...] = ()
    """Further datasets; a network with domains is trained on all of them in turn, one domain each."""
    layout: Literal["auto", "pairs", "glas", "monuseg", "isic", "kvasir", "synapse", "decathlon"] = "auto"
    """How the folder is laid out; ``auto`` recognises it."""
    mask_endings: tuple[str, ...] = ()
    """What may follow an image's name in its mask's name, e.g. ``_mask``; empty = the usual endings."""
    image_size: int = Field(default=224, ge=32, le=4096)
    """Side of the square training input, pixels."""
    sampling: Literal["resize", "crop"] = "resize"
    """``resize``: the whole image to ``image_size``; ``crop``: random crops at native resolution."""
    crops_per_image: int = Field(default=1, ge=1, le=1000)
    """With ``crop``: how many crops of each image one epoch draws."""
    intensity_range: Literal["type", "image"] = "type"
    """What becomes 0 and 1 in 8-bit images: ``type`` = 0 and 255; ``image`` = each image's own range."""
    validation_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the cases held out for validation where no folds are asked for."""
    folds: int | None = Field(default=None, ge=2)
    """Number of folds of a cross-validation; every case is held out in one of them."""
    fold: int = Field(default=0, ge=0)
    """With ``folds``: the fold held out for validation, counted from 0."""

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist among {self.folds} folds (counted from 0)")
        return self


class AugmentConfig(Frozen):
    """Probability and reach of each augmentation, applied to image and mask together."""

    flip: Probability = 0.5
    """Mirror, for each of the two axes."""
    rotate90: Probability = 0.5
    """Turn by 90, 180 or 270 degrees."""
    shift_scale_rotate: Probability = 0.5
    """Small shift, zoom and rotation."""
    elastic: Probability = 0.2
    """Smooth random deformation."""
    grid_distortion: Probability = 0.2
    """Stretch and squeeze the cells of a coarse grid."""
    brightness_contrast: Probability = 0.3
    """Brightness and contrast of the image."""
    gamma: Probability = 0.0
    """Gamma curve, 0.5 to 2: darker or brighter mid-tones, as from other exposures."""
    stain: Probability = 0.0
    """Strength of haematoxylin and eosin, as from other laboratories; colour images only."""
    zoom: float = Field(default=0.15, ge=0.0, le=1.0)
    """Largest change of size in ``shift_scale_rotate``: 0.15 = between 1/1.15 and 1.15."""

    @property
    def off(self) -> bool:
        """Whether every image stays as it is, in every epoch."""
        return not any(chance for key, chance in self if key != "zoom")


class VolumeConfig(Frozen):
    """How volumes reach a 3-D network; images do not use it."""

    patch_size: tuple[Side, Side, Side] = (64, 64, 64)
    """Voxels (Z, Y, X) that the network sees at once."""
    patches_per_volume: int = Field(default=1, ge=1, le=1000)
    """How many patches an epoch draws for each volume of the largest dataset, of every dataset alike."""
    foreground_share: Probability = 0.5
    """Share of the patches that are centred on foreground."""
    flip: Probability = 0.5
    """Mirror, for each axis; 0 where left and right must not be confused."""
    affine: Probability = 0.3
    """Turn by up to 15 degrees and zoom by up to 15 %."""
    intensity: Probability = 0.3
    """Scale and shift the intensities by up to 10 %."""
    noise: Probability = 0.15
    """Add Gaussian noise."""


class StageConfig(Frozen):
    """Optimisation of one stage (AdamW with a cosine schedule)."""

    epochs: int = Field(ge=0, le=100_000)
    """Passes over the training images."""
    learning_rate: float = Field(gt=0.0, le=1.0)
    """At the start; it follows a cosine down to zero."""
    weight_decay: float = Field(ge=0.0, le=1.0)
    """Decoupled weight decay of AdamW; 0 makes it Adam."""
    warmup_epochs: float = Field(default=0.0, ge=0.0, le=1000.0)
    """The learning rate first rises from 0 for so many epochs, which belong to ``epochs``."""


class TrainConfig(Frozen):
    """One training run, complete: the same configuration and data give the same weights."""

    data: DataConfig
    """Which images, and how they reach the network."""
    out: Path
    """Run directory: holds the configuration, the state to resume from and the checkpoints."""
    model: ModelConfig = ModelConfig()
    """Which network."""
    stage: Literal["both", "first", "second", "longer", "joint"] = "both"
    """``both``: the paper's two stages; ``first``: plain skips only; ``second``: the mixture on top of
    ``model.stage1_from``; ``longer``: ``stage3`` on top of it, without a mixture; ``joint``: all at once."""
    stage1: StageConfig = StageConfig(epochs=50, learning_rate=1e-3, weight_decay=1e-4)
    """Encoder and decoder with plain skips; also the settings of a ``joint`` run."""
    stage2: StageConfig = StageConfig(epochs=20, learning_rate=1e-4, weight_decay=1e-5)
    """Mixture of skips alone, encoder and decoder frozen."""
    stage3: StageConfig = StageConfig(epochs=0, learning_rate=2e-4, weight_decay=1e-4)
    """Training of everything after stage 2, or after stage 1 where ``stage2.epochs`` is 0 or the stage is
    ``longer``; not part of the paper, and left out with 0 epochs."""
    keep: Literal["best", "last"] = "best"
    """Which epoch of a stage counts: the ``best`` validation Dice, or the ``last``, so that the validation
    images decide nothing and a cross-validation may report on them."""
    weight_average: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of a moving average of the weights, which is validated and kept in their place; 0 = none."""
    batch_size: int = Field(default=16, ge=1, le=4096)
    """Images in one batch; halved by itself where memory runs out."""
    accumulate: int = Field(default=1, ge=1, le=1024)
    """Batches whose gradients are summed into one optimiser step."""
    balance_weight: float = Field(default=0.01, ge=0.0)
    """Weight of the balance loss beside the segmentation loss."""
    augment: AugmentConfig = AugmentConfig()
    """Probability of each augmentation of images."""
    volume: VolumeConfig = VolumeConfig()
    """How volumes reach a 3-D network."""
    report: bool = True
    """At the end, score the images held out and write ``metrics.csv`` and ``report.html``."""
    report_resolution: Literal["native", "training"] = "native"
    """Where a run's report compares masks: in the images' own pixels, or, as the papers do where whole
    images are resized, at ``data.image_size``."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Start of every random choice."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 where the device is fast at it."""
    classes: tuple[ClassInfo, ...] = ()
    """Foreground classes by name and colour; empty = as the dataset names them, else by their number."""
    pixel_size_um: float | None = Field(default=None, gt=0.0)
    """Pixel size of the training images in micrometres, where known."""
    resume: bool = False
    """Go on from the run directory's saved state instead of refusing a directory in use."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> TrainConfig:
        """Validate ``values``.

        Raises
        ------
        ConfigError
            Naming the first wrong key, its value and what is expected.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from error

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> TrainConfig:
        """Read a YAML file; ``overrides`` is a nested dictionary laid over it."""
        return cls.parse(merge(read_yaml(path), overrides or {}))

    def with_absolute_inputs(self) -> TrainConfig:
        """The same run, whatever the working directory will be."""
        roots = {
            "root": self.data.root.absolute(),
            "more_roots": tuple(root.absolute() for root in self.data.more_roots),
        }
        starts = {"adapt_from": self.model.adapt_from, "stage1_from": self.model.stage1_from}
        model = {key: path and path.absolute() for key, path in starts.items()}
        return self.model_copy(
            update={"data": self.data.model_copy(update=roots), "model": self.model.model_copy(update=model)}
        )

    def to_yaml(self) -> str:
        """The configuration as YAML, readable by :meth:`from_yaml`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return f"The settings under '{key}' do not fit: {first['msg'].removeprefix('Value error, ')}."
    if first["type"] == "extra_forbidden":
        return f"Unknown setting '{key}'; remove it or see `utanet train --help` for the known ones."
    if first["type"] == "missing":
        return f"The setting '{key}' is missing; give it a value."
    return f"The setting '{key}' cannot be {first['input']!r}: {_lower(first['msg'])}."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
