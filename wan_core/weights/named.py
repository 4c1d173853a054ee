"""The tensors of one model by name in every scheme: what a rename needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import Shape


@dataclass(frozen=True)
class Named:
    """Row i of `names` is one tensor in each scheme, `shapes[i]` its shape in all of them.

    `aliases` are second names of a tensor that a file may hold besides or instead.
    """

    names: Mapping[Scheme, tuple[str, ...]]
    shapes: tuple[Shape, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def shapes_in(self, scheme: Scheme) -> dict[str, Shape]:
        """Every tensor in a scheme."""
        return dict(zip(self.names[scheme], self.shapes, strict=True))

    def renaming(self, source: Scheme, target: Scheme) -> dict[str, str]:
        """Each name in `source` to that in `target`."""
        return dict(zip(self.names[source], self.names[target], strict=True))
