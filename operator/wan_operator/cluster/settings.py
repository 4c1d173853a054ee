"""What the administrator decides, as the chart writes it: one YAML file, read once at start.

Users of the cluster choose what video; everything here is out of their reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from wan_core.api.model import Document
from wan_core.api.parse import BYTES_MAX, parse_text
from wan_core.api.problems import problem_of
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.catalog.own import MODELS_MAX, OwnModel, build_own
from wan_core.errors import InvalidInput
from wan_core.plan.calibration import Measurement
from wan_core.plan.criteria import Order
from wan_core.plan.prices import PRICE_MAX
from wan_core.plan.product_names import product_key
from wan_core.plan.rates import DEFAULT_RATES, Rates
from wan_operator.cluster.gpu_resources import name_labels
from wan_operator.cluster.quantity import read_quantity


def _is_positive(text: str) -> str:
    if (read_quantity(text) or 0) <= 0:
        raise ValueError(f"{text[:40]!r} is not a quantity above 0, such as 500Gi")
    return text


Quantity = Annotated[str, AfterValidator(_is_positive)]
"""Bytes as Kubernetes writes them."""
ProductName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Price = Annotated[float, Field(ge=0, le=PRICE_MAX, allow_inf_nan=False, strict=True)]


class WebIdentity(Document):
    """The role that STS gives for a token of the runner's service account."""

    role_arn: str
    audience: str = "sts.amazonaws.com"
    sts_endpoint_url: str | None = None  # None: AWS's own, in the region


class CaBundle(Document):
    """Where, in each served namespace, the certificates of the authorities are that S3 is trusted by."""

    kind: Literal["ConfigMap", "Secret"] = "ConfigMap"
    name: str
    key: str = "ca.crt"


class ProxySettings(Document):
    """The way to S3 and STS. `no_proxy`: hosts, domains and networks that are reached directly."""

    url: str
    no_proxy: tuple[str, ...] = ()


class S3Settings(Document):
    """Where S3 is and who we are there. The Secret holds AWS shared files: `credentials`, `config`."""

    endpoint_url: str | None = None  # None: AWS itself
    region: str = "us-east-1"
    addressing_style: Literal["path", "virtual", "auto"] | None = None  # None: path, if there is an endpoint
    credentials: Literal["secret", "webIdentity", "podIdentity", "nodeRole"] = "secret"
    secret_name: str = "wan-s3"
    web_identity: WebIdentity | None = None
    anonymous_buckets: tuple[str, ...] = ()  # public: asked without a signature
    ca_bundle: CaBundle | None = None
    proxy: ProxySettings | None = None

    @model_validator(mode="after")
    def _names_its_role(self) -> Self:
        if self.credentials == "webIdentity" and self.web_identity is None:
            raise ValueError("webIdentity: is not there, and credentials says webIdentity")
        return self


class CacheSettings(Document):
    """Where weights are kept: a claim of the served namespace, or a folder that ends with the pod.

    `size_limit`, as a Kubernetes quantity: runners evict before the cache is larger; a folder that ends with
    the pod may not be.
    """

    type: Literal["claim", "emptyDir"] = "emptyDir"
    claim_name: str = "wan-cache"
    size_limit: Quantity | None = None


class RunnerSettings(Document):
    """The pod's surroundings. `pod_template` is merged first, then what we pin is laid over it."""

    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    service_account_name: str = "wan-runner"
    grace_period_s: int = Field(60, ge=1, le=3600)
    run_as_user: int = Field(65532, ge=1)
    cpu: str = "2"  # requested
    host_overhead_gib: float = Field(1.0, ge=0)  # on top of the plan's host memory: Python, libraries, ffmpeg
    pod_template: dict[str, Any] = Field(default_factory=dict)  # {metadata: {...}, spec: {...}}
    priority_class_names: tuple[str, ...] = ()  # those that users may name


class NodeLabels(Document):
    """Label names of GPU Feature Discovery, or of whatever stands in for it."""

    memory_mib: str = "nvidia.com/gpu.memory"
    product: str = "nvidia.com/gpu.product"
    count: str = "nvidia.com/gpu.count"
    compute_major: str = "nvidia.com/gpu.compute.major"
    compute_minor: str = "nvidia.com/gpu.compute.minor"
    sharing_strategy: str = "nvidia.com/gpu.sharing-strategy"
    replicas: str = "nvidia.com/gpu.replicas"


class InventorySettings(Document):
    """How GPUs are found. `occupancy`: whose pods count as taking room."""

    gpu_resource: str = "nvidia.com/gpu"
    labels: NodeLabels = NodeLabels()  # by default those that go with the resource
    occupancy: Literal["served", "cluster"] = "served"
    allow_shared_gpus: bool = False

    @model_validator(mode="before")
    @classmethod
    def _labels_follow_the_resource(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        resource, said = data.get("gpuResource"), data.get("labels") or {}
        if not isinstance(resource, str) or not isinstance(said, dict):
            return data
        return {**data, "labels": {**name_labels(resource), **said}}


class PlanningSettings(Document):
    """What plans are judged by beside what there is. Prices are of one GPU for an hour, by product.

    `measurements`: of a bench, say; what finished videos tell of the same GPU, plan and shape counts more.
    """

    prices_per_gpu_hour: dict[ProductName, Price] = Field(default_factory=dict)
    order: Order = "time"
    rates: Rates = DEFAULT_RATES
    measurements: tuple[Measurement, ...] = ()

    @field_validator("prices_per_gpu_hour")
    @classmethod
    def _each_product_once(cls, prices: dict[str, float]) -> dict[str, float]:
        names: dict[str, str] = {}
        for name in prices:
            if (other := names.setdefault(product_key(name), name)) != name:
                raise ValueError(f"{other} and {name} are one product")
        return prices

    @field_validator("measurements")
    @classmethod
    def _says_something(cls, measurements: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
        for one in measurements:
            if one.peak_gib is None and one.seconds_per_step is None:
                raise ValueError(f"{one.plan} on {one.product} has neither peakGib nor secondsPerStep")
        return measurements


class ReportSettings(Document):
    """The progress endpoint: where it listens and how runners reach it."""

    port: int = Field(8081, ge=1, le=65535)
    url: str


class ApiSettings(Document):
    """How hard the operator may press the API server."""

    writes_per_second: float = Field(400.0, gt=0)
    write_burst: int = Field(800, ge=1)
    workers: int = Field(32, ge=1)
    resync_s: float = Field(300.0, gt=0)


class ClusterSettings(Document):
    """The whole file."""

    namespaces: tuple[str, ...] = Field(min_length=1)  # served
    weights: str
    output: str
    image_buckets: tuple[str, ...] = ()
    s3: S3Settings = S3Settings()
    cache: CacheSettings = CacheSettings()
    runner: RunnerSettings
    inventory: InventorySettings = InventorySettings()
    planning: PlanningSettings = PlanningSettings()
    models: tuple[OwnModel, ...] = Field((), max_length=MODELS_MAX)  # besides those of the catalogue
    report: ReportSettings
    api: ApiSettings = ApiSettings()
    health_port: int = Field(8080, ge=1, le=65535)  # /healthz, /readyz, /metrics
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    stall_after_s: float = Field(300.0, gt=0)

    @cached_property
    def catalogue(self) -> Mapping[str, ModelCard]:
        """Every model that may be asked for. Raises InvalidInput that names every wrong entry."""
        return MappingProxyType({**MODELS, **build_own(self.models)})


def read_settings(path: Path) -> ClusterSettings:
    """The file's settings. Raises InvalidInput that names every wrong field, or the line that is no YAML."""
    data, problems = _read(path)
    if problems:
        raise InvalidInput(problems)
    try:
        settings = ClusterSettings.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [problem_of(found, ClusterSettings) for found in error.errors(include_url=False)]
        raise InvalidInput([f"{path}: {problem}" for problem in problems]) from error
    try:
        settings.catalogue  # noqa: B018 - computed once, here, where it can be told of
    except InvalidInput as error:
        raise InvalidInput([f"{path}: {problem}" for problem in error.problems]) from error
    return settings


def _read(path: Path) -> tuple[Any, list[str]]:
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from error
    return parse_text(text, str(path), "file of settings")
