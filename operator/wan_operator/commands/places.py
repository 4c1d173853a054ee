"""What there is to run on, as the options say: GPUs by name, a cluster, or this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.by_hand import HOST_MEMORY_GIB, parse_gpus
from wan_core.plan.criteria import Order
from wan_core.plan.inventory import Inventory
from wan_core.plan.prices import NO_PRICES, Prices
from wan_operator.catalogs import read_models
from wan_operator.cluster.settings import read_settings
from wan_operator.commands.answers import check_installed
from wan_operator.commands.prices import price_products
from wan_operator.terms import NO_TERMS, Terms

# What reading this machine and asking an API server need; both come with extras.
HERE_NEEDS = ("psutil",)
CLUSTER_NEEDS = ("aiohttp", "kubernetes")

Gpus = Annotated[
    str | None, typer.Option("--gpus", metavar="LIST", help="GPUs by name, as H100-80:4,RTX4090:2.")
]
HOST_MEMORY_MAX_GIB = 1_000_000
NAME_MAX = 200  # characters of a list of GPUs that are said again
HostMemory = Annotated[
    float | None,
    typer.Option(
        "--host-memory",
        metavar="GIB",
        help="With --gpus: host memory of a node.",
        min=1,
        max=HOST_MEMORY_MAX_GIB,
    ),
]
OfCluster = Annotated[
    bool, typer.Option("--cluster", help="The nodes of the cluster of your kubeconfig; needs to list nodes.")
]
Here = Annotated[bool, typer.Option("--here", help="This machine, which is taken if nothing is said.")]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="With --cluster: default $KUBECONFIG, ~/.kube/config.")
]
Context = Annotated[
    str | None, typer.Option("--context", help="With --cluster: a context of the kubeconfig.")
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings", help="With --cluster: the operator's settings file: its labels, models, prices."
    ),
]


@dataclass(frozen=True)
class Chosen:
    """What was said about where to run. At most one of `gpus`, `cluster` and `here`."""

    gpus: str | None = None
    host_memory_gib: float | None = None
    cluster: bool = False
    here: bool = False
    kubeconfig: Path | None = None
    context: str | None = None
    settings: Path | None = None


@dataclass(frozen=True)
class Found:
    """The inventory, its name, what could not be looked at, and what is planned by there."""

    inventory: Inventory
    name: str
    notes: tuple[str, ...] = ()
    terms: Terms = NO_TERMS

    def options(self, order: Order | None = None, prices: Prices = NO_PRICES) -> dict[str, Any]:
        """Options of `build_ladder`: what was said on the command line, else what is said there."""
        return {
            "order": order or self.terms.order,
            "prices": price_products(prices or self.terms.prices, self.inventory),
            "rates": self.terms.rates,
            "calibration": self.terms.calibration,
        }


def find_inventory(chosen: Chosen) -> Found:
    """Look there. Raises InvalidInput for what does not go together, and whatever looking raises."""
    _check(chosen)
    if chosen.gpus is not None:
        inventory = parse_gpus(chosen.gpus, host_memory_gib=chosen.host_memory_gib)
        name = chosen.gpus if len(chosen.gpus) <= NAME_MAX else f"{chosen.gpus[: NAME_MAX - 3]}..."
        return Found(inventory, name, (_memory_words(chosen.host_memory_gib),))
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
    if chosen.host_memory_gib is not None and chosen.gpus is None:
        raise InvalidInput("--host-memory: goes with --gpus; elsewhere it is looked at")
    for name in ("kubeconfig", "context", "settings"):
        if getattr(chosen, name) is not None and not chosen.cluster:
            raise InvalidInput(f"--{name}: goes with --cluster")


def _read_cluster(chosen: Chosen) -> Found:
    check_installed(CLUSTER_NEEDS, "operator")
    from wan_operator.commands.clusters import read_cluster

    inventory, terms, notes = read_cluster(chosen.kubeconfig, chosen.context, chosen.settings)
    name = f"the cluster of context {chosen.context}" if chosen.context else "the cluster"
    return Found(inventory, name, notes, terms)
