"""Domains of a run: named after the datasets, or added to a network that was trained on others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from src_model.config import DataConfig, DomainInfo, ModelConfig, TrainConfig
from src_model.data.decathlon import DESCRIPTION, Decathlon, read_decathlon
from src_model.errors import CheckpointError, ConfigError, DataError
from src_model.models.checkpoint import load_checkpoint, read_checkpoint_info
from src_model.models.registry import list_models, models_with_domains
from src_model.models.universal3d import U2Net3D


def read_datasets(data: DataConfig, network: str) -> dict[str, Decathlon]:
    """The datasets of a configuration by the name of their domain, in their order.

    Raises
    ------
    ConfigError
        When the layout is not one of volumes, or two datasets have one name.
    DataError
        When a folder is none of the Medical Segmentation Decathlon.
    """
    if data.layout not in ("auto", "decathlon"):
        raise ConfigError(
            f"The layout '{data.layout}' is one of flat images but this network takes volumes; choose "
            "'decathlon', or leave it out."
        )
    datasets: dict[str, Decathlon] = {}
    for root in (data.root, *data.more_roots):
        if not root.is_dir():
            raise DataError(f"There is no folder {root}; check the path.")
        if not (root / DESCRIPTION).is_file():
            raise DataError(
                f"There is no {root / DESCRIPTION}, so this is no dataset of volumes, which '{network}' "
                f"takes; for flat images choose one of: {', '.join(list_models(dims=2))}."
            )
        dataset = read_decathlon(root)
        name = dataset.name.lower()
        if name in datasets:
            raise ConfigError(
                f"Two datasets are named '{name}', the second in {root}; give each another name in its "
                "dataset.json."
            )
        datasets[name] = dataset
    return datasets


def with_domains(config: TrainConfig) -> TrainConfig:
    """The configuration with the domains of its datasets filled in, for a network that has domains.

    Others come back as they are.

    Raises
    ------
    ConfigError
        When the settings ask for domains of a network that has none, contradict the datasets, or
        would add a domain that is there already.
    CheckpointError
        When the checkpoint to adapt cannot be used.
    DataError
        When a dataset cannot be read.
    """
    if config.model.name not in models_with_domains():
        _refuse_domains(config)
        return config
    found = {
        name: {"in_channels": len(dataset.modalities), "num_classes": len(dataset.classes)}
        for name, dataset in read_datasets(config.data, config.model.name).items()
    }
    options = dict(config.model.options)
    if config.model.adapt_from is not None:
        options = _options_to_adapt(config.model, config.model.adapt_from, list(found))
        found = options["domains"] | found
    elif options.get("domains") not in (None, found):
        raise ConfigError(
            f"The datasets give other domains ({', '.join(found)}) than model.options.domains; leave that "
            "out, or start a new run where a dataset has changed."
        )
    sizes = next(iter(found.values()))
    model = config.model.model_copy(update={"options": {**options, "domains": found}, **sizes})
    return config.model_copy(update={"model": model})


def _refuse_domains(config: TrainConfig) -> None:
    asked = [
        key
        for key, value in (
            ("data.more_roots", config.data.more_roots),
            ("model.adapt_from", config.model.adapt_from),
        )
        if value
    ]
    if asked:
        raise ConfigError(
            f"The network '{config.model.name}' has no domains, so {asked[0]} must be left out; networks "
            f"with domains: {', '.join(models_with_domains())}."
        )


def _options_to_adapt(model: ModelConfig, path: Path, new: Sequence[str]) -> dict[str, Any]:
    """The options of the network in the checkpoint, after checking that it can be adapted."""
    config = read_checkpoint_info(path).config
    if config["name"] != model.name:
        raise CheckpointError(
            f"{path} holds the network '{config['name']}' but '{model.name}' is to be adapted; only networks "
            f"with domains can be: {', '.join(models_with_domains())}."
        )
    options: dict[str, Any] = dict(config["options"])
    taken = next((name for name in new if name in options["domains"]), None)
    # A resumed run carries the options that were filled in when it began.
    given = {k: v for k, v in model.model_dump(mode="json")["options"].items() if k != "domains"}
    differs = next((key for key, value in given.items() if value != options.get(key)), None)
    if taken is not None:
        raise ConfigError(
            f"The network in {path} has a domain '{taken}' already; adapt it to a dataset of another name."
        )
    if differs is not None:
        raise ConfigError(
            f"model.options.{differs} is {given[differs]!r} but the network in {path} has "
            f"{options.get(differs)!r}; leave the option out."
        )
    return options


def adapted_network(model: ModelConfig) -> U2Net3D:
    """The network of the checkpoint with the new domains of ``model``, which alone may learn.

    Raises
    ------
    CheckpointError
        When the checkpoint cannot be used.
    """
    network = cast(U2Net3D, load_checkpoint(cast(Path, model.adapt_from)).model)
    new = {name: sizes for name, sizes in model.options["domains"].items() if name not in network.domains}
    for name, sizes in new.items():
        network.add_domain(name, **sizes)
    for name in new:
        for parameter in network.domain_parameters(name):
            parameter.requires_grad_(True)
    return network


def known_domains(model: ModelConfig) -> dict[str, DomainInfo]:
    """What the checkpoint to adapt says of each of its domains, in full; empty where there is none."""
    if model.adapt_from is None:
        return {}
    info = read_checkpoint_info(model.adapt_from)
    return {name: info.domain(name) for name in info.config["options"]["domains"]}
