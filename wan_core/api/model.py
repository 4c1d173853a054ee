"""The base of every document of ours: camelCase outside, snake_case inside, frozen, no unknown field."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """A frozen pydantic model whose JSON names are camelCase and which refuses fields it does not know."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a logged error shows no prompt
    )

    def to_dict(self) -> dict[str, Any]:
        """The document as JSON-ready data with camelCase names; fields that are None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
