"""What a spec asks for: a request for its model and one for each model it names as a fallback. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wan_core.api.spec import Spec
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.prompt_text import find_prompt_problems
from wan_core.plan.request import Request, cannot_run, resolve_request


def build_requests(spec: Spec, uid: str, models: Mapping[str, ModelCard] = MODELS) -> tuple[Request, ...]:
    """The asked model's request, then those of its fallback models, each model once.

    Raises InvalidInput with all problems.
    """
    requests: list[Request] = []
    problems: list[str] = [*find_prompt_problems(spec)]
    for path, model in (("spec.model", None), *_fallbacks(spec.fallback.models)):
        try:
            request = resolve_request(spec, uid, model, models)
            if all(known.model != request.model for known in requests):
                requests.append(request)
        except InvalidInput as error:
            found = error.problems if model is None else _of_fallback(path, error.problems)
            problems += [p for p in found if p not in problems]
    if problems:
        raise InvalidInput(problems)
    return tuple(requests)


def why_unrunnable(spec: Spec, models: Mapping[str, ModelCard] = MODELS) -> tuple[str, ...]:
    """A problem if the asked model is known but cannot run; an unknown one is told of elsewhere."""
    try:
        reason = cannot_run(resolve_model(spec.model, models=models).card)
    except InvalidInput:
        return ()
    return (f"spec.model: {reason}",) if reason else ()


def model_notes(spec: Spec, models: Mapping[str, ModelCard] = MODELS) -> tuple[str, ...]:
    """Which ids of `spec` are read as which models. Raises InvalidInput if one is read as none."""
    notes = (resolve_model(model, models=models).note for model in (spec.model, *spec.fallback.models))
    return tuple(dict.fromkeys(note for note in notes if note))


def model_problems(spec: Mapping[str, Any], models: Mapping[str, ModelCard] = MODELS) -> list[str]:
    """What the catalogue says against the ids in `spec`, a mapping whose fields are valid by themselves."""
    asked = [("spec.model", spec["model"])] if "model" in spec else []
    problems: list[str] = []
    for path, model in (*asked, *_fallbacks(spec.get("fallback", {}).get("models", ()))):
        try:
            resolve_model(model, path, models)
        except InvalidInput as error:
            problems += error.problems
    return problems


def _fallbacks(models: Sequence[str]) -> list[tuple[str, str]]:
    """Each fallback model with its path."""
    return [(f"spec.fallback.models[{index}]", model) for index, model in enumerate(models)]


def _of_fallback(path: str, problems: Sequence[str]) -> list[str]:
    """The problems, each saying which fallback model has it."""
    return [p if p.startswith("spec.fallback") else f"{p} (for {path})" for p in problems]
