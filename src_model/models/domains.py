"""Domains (organs, modalities) of a network that serves several: their names, sizes and own parts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import nn

from src_model.errors import ModelError
from src_model.models.base import check_count

DEFAULT_DOMAIN = "default"
"""Name of the only domain of a network that was told no names."""


class Domain(NamedTuple):
    """What a network must know of one domain."""

    in_channels: int
    """Channels (modalities) of its images."""
    num_classes: int
    """Channels of its logits."""


Domains = dict[str, Domain]
"""Domains by name; their order is their index."""


def parse_domains(
    domains: Mapping[str, Mapping[str, int]] | Iterable[str] | None, in_channels: int, num_classes: int
) -> Domains:
    """Domains by name from what the constructor was given.

    Parameters
    ----------
    domains
        Names, or for each name a mapping with ``in_channels`` and ``num_classes``; ``None`` = one
        domain named :data:`DEFAULT_DOMAIN`.
    in_channels, num_classes
        For a domain that does not state its own.

    Raises
    ------
    ModelError
        When a name or number cannot be used; names it.
    """
    if domains is None:
        domains = {DEFAULT_DOMAIN: {}}
    if isinstance(domains, str):
        raise ModelError(f"domains must be a list or mapping of names but got '{domains}'; write it in [].")
    given: Mapping[str, Any] = domains if isinstance(domains, Mapping) else _by_name(domains)
    if not given:
        raise ModelError("domains is empty; name at least one.")
    return {name: _domain(name, sizes, in_channels, num_classes) for name, sizes in given.items()}


def describe_domains(domains: Domains) -> dict[str, dict[str, int]]:
    """As :func:`parse_domains` reads it, ready for JSON."""
    return {name: domain._asdict() for name, domain in domains.items()}


def find_domain(domains: Domains, domain: Any) -> int:
    """Index of the domain that ``domain`` (its name or index; ``None`` = the only one) means.

    Raises
    ------
    ModelError
        When there is no such domain, or none was given and there are several; names the known.
    """
    names = list(domains)
    known = ", ".join(f"'{name}'" for name in names)
    if domain is None:
        if len(names) > 1:
            raise ModelError(
                f"This network serves several domains; choose one as 'domain' (`--domain`): {known}."
            )
        return 0
    if isinstance(domain, str):
        folded = [name.casefold() for name in names]
        if domain in names:
            return names.index(domain)
        if folded.count(domain.casefold()) == 1:
            return folded.index(domain.casefold())
        if domain.isdecimal() and int(domain) < len(names):
            return int(domain)
    elif not isinstance(domain, bool):
        try:
            index = operator.index(domain)
        except TypeError:
            index = -1
        if 0 <= index < len(names):
            return index
    raise ModelError(f"This network has no domain {domain!r}; known: {known}, or 0 to {len(names) - 1}.")


class PerDomain(nn.ModuleList):
    """One part for each domain, in the domains' order.

    Parameters
    ----------
    domains
        Of the network.
    make
        Makes the part of one domain; picklable.
    """

    def __init__(self, domains: Iterable[Domain], make: Callable[[Domain], nn.Module]) -> None:
        super().__init__(make(domain) for domain in domains)
        self.make = make

    def grow(self, domain: Domain) -> None:
        """Append a fresh part for one more domain."""
        self.append(self.make(domain))


def domain_parameters(network: nn.Module, index: int) -> Iterator[nn.Parameter]:
    """The parameters that only the domain of that index uses."""
    for module in network.modules():
        if isinstance(module, PerDomain):
            yield from module[index].parameters()


def shared_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that every domain uses."""
    own = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, PerDomain)
        for parameter in module.parameters()
    }
    return (parameter for parameter in network.parameters() if id(parameter) not in own)


def _by_name(names: Iterable[str]) -> dict[str, dict[str, int]]:
    listed = list(names)
    if len(set(listed)) < len(listed):
        raise ModelError(f"Two domains have the same name in {listed}; rename one.")
    return {name: {} for name in listed}


def _domain(name: Any, sizes: Any, in_channels: int, num_classes: int) -> Domain:
    if not isinstance(name, str) or not name.strip():
        raise ModelError(f"The name of a domain must be a word but got {name!r}.")
    if not isinstance(sizes, Mapping) or set(sizes) - set(Domain._fields):
        raise ModelError(
            f"The domain '{name}' may state in_channels and num_classes but got {sizes!r}; "
            "leave out the rest."
        )
    domain = Domain(**{"in_channels": in_channels, "num_classes": num_classes, **sizes})
    for field, value in domain._asdict().items():
        check_count(f"{field} of the domain '{name}'", value)
    return domain
