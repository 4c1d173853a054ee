"""What there is to run on, as the options say: GPUs by name, a cluster, or this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.by_hand import HOST_MEMORY_GIB, parse_gpus
from wan_core.plan.criteria import Criteria, Order
from wan_core.plan.inventory import Inventory
from wan_core.plan.prices import NO_PRICES, Prices
from wan_operator.catalogs import read_models
from wan_operator.cluster.settings import read_settings
from wan_operator.commands.answers import check_installed
from wan_operator.commands.ladder_table import words_of_place
from wan_operator.commands.prices import price_products
from wan_operator.terms import NO_TERMS, Terms, find_unknown_prices

# What reading this machine and asking an API server need; both come with extras.
HERE_NEEDS = ("psutil",)
CLUSTER_NEEDS = ("aiohttp", "kubernetes")

HOST_MEMORY_MAX_GIB = 1_000_000
NAME_MAX = 200  # characters of a list of GPUs that are said again


@dataclass(frozen=True)
class Chosen:
    """What was said about where to run, each by an option. At most one of `gpus`, `cluster` and `here`."""

    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="LIST", help="GPUs by name, as H100-80:4,RTX4090:2.")
    ] = None
    host_memory: Annotated[
        float | None,
        typer.Option(
            "--host-memory",
            metavar="GIB",
            help="With --gpus: host memory of a node.",
            min=1,
            max=HOST_MEMORY_MAX_GIB,
        ),
    ] = None
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="The nodes of the cluster of your kubeconfig; needs to list nodes."),
    ] = False
    here: Annotated[bool, typer.Option("--here", help="This machine, which is taken if nothing is said.")] = (
        False
    )
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="With --cluster: default $KUBECONFIG, ~/.kube/config.")
    ] = None
    context: Annotated[
        str | None, typer.Option("--context", help="With --cluster: a context of the kubeconfig.")
    ] = None
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="With --cluster: the operator's settings file: its labels, models, prices."
        ),
    ] = None


PLACE_OPTIONS = tuple(field.name for field in fields(Chosen))


def with_place_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of `Chosen` in the place of its parameter `chosen`."""

    @wraps(command)
    def called(**given: Any) -> None:
        command(chosen=Chosen(**{name: given.pop(name) for name in PLACE_OPTIONS}), **given)

    hints = get_type_hints(Chosen, include_extras=True)
    options = [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(Chosen)
    ]
    parameters: list[Parameter] = []
    for one in signature(command, eval_str=True).parameters.values():
        parameters += options if one.name == "chosen" else [one.replace(kind=Parameter.KEYWORD_ONLY)]
    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


@dataclass(frozen=True)
class Found:
    """The inventory, its name, what could not be looked at, and what is planned by there."""

    inventory: Inventory
    name: str
    notes: tuple[str, ...] = ()
    terms: Terms = NO_TERMS

    @property
    def words(self) -> str:
        """Its name, and the GPUs that are there."""
        return words_of_place(self.name, self.inventory)

    def criteria(self, order: Order | None = None, prices: Prices = NO_PRICES) -> Criteria:
        """What was said on the command line, else what is said there. Raises InvalidInput."""
        known = price_products(prices, self.inventory) if prices else self.terms.prices
        if order == "cost" and not known:
            raise InvalidInput("--order: cost wants the price of a GPU that is there; --prices says it")
        rates, calibration = self.terms.rates, self.terms.calibration
        return Criteria(order or self.terms.order, rates, known, calibration)


def find_inventory(chosen: Chosen) -> Found:
    """Look there. Raises InvalidInput for what does not go together, and whatever looking raises."""
    _check(chosen)
    if chosen.gpus is not None:
        inventory = parse_gpus(chosen.gpus, host_memory_gib=chosen.host_memory)
        name = chosen.gpus if len(chosen.gpus) <= NAME_MAX else f"{chosen.gpus[: NAME_MAX - 3]}..."
        return Found(inventory, name, (_memory_words(chosen.host_memory),))
    if chosen.cluster:
        return _read_cluster(chosen)
    check_installed(HERE_NEEDS, "local")
    from wan_operator.machine import read_inventory

    return Found(read_inventory(), "this machine")


def known_models(catalog: Path | None, settings: Path | None) -> Mapping[str, ModelCard]:
    """Those of the catalogue, the administrator's by the operator's settings, and those of the file."""
    models = read_models(catalog)
    return models if settings is None else {**read_settings(settings).catalogue, **models}


def _memory_words(host_memory_gib: float | None) -> str:
    """The host's memory decides as much as the GPU's: it is told, and whether anybody said it."""
    if host_memory_gib is None:
        return f"each machine with {HOST_MEMORY_GIB:g} GiB of memory, assumed: --host-memory says another"
    return f"each machine with {host_memory_gib:g} GiB of memory"


def _check(chosen: Chosen) -> None:
    ways = {"--gpus": chosen.gpus is not None, "--cluster": chosen.cluster, "--here": chosen.here}
    given = [name for name, said in ways.items() if said]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)}: give one of them")
    if chosen.host_memory is not None and chosen.gpus is None:
        raise InvalidInput("--host-memory: goes with --gpus; elsewhere it is looked at")
    for name in ("kubeconfig", "context", "settings"):
        if getattr(chosen, name) is not None and not chosen.cluster:
            raise InvalidInput(f"--{name}: goes with --cluster")


def _read_cluster(chosen: Chosen) -> Found:
    check_installed(CLUSTER_NEEDS, "operator")
    from wan_operator.commands.clusters import read_cluster

    inventory, terms, notes = read_cluster(chosen.kubeconfig, chosen.context, chosen.settings)
    name = f"the cluster of context {chosen.context}" if chosen.context else "the cluster"
    products = (gpu.product for node in inventory.nodes for gpu in node.gpus)
    return Found(inventory, name, (*notes, *find_unknown_prices(terms.prices, products)), terms)
