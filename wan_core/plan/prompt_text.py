"""What may stand in a prompt: something to read, and no control characters but tabs and line breaks.

The pipeline would drop most of them and mend some without a word; here they are told instead.
"""

from __future__ import annotations

from pydantic import ValidationError

from wan_core.api.problems import problem_of
from wan_core.api.spec import Spec
from wan_core.catalog.control_characters import control_fault
from wan_core.errors import InvalidInput


def check_prompt(text: str, path: str) -> None:
    """Raise InvalidInput at `path` if no request may have this prompt."""
    try:
        spec = Spec.model_validate({"model": "none", "prompt": text}, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = tuple(problem_of(one, Spec) for one in error.errors(include_url=False))
    else:
        problems = find_prompt_problems(spec)
    if problems:
        raise InvalidInput([f"{path}:{problem.partition(':')[2]}" for problem in problems])


def find_prompt_problems(spec: Spec) -> tuple[str, ...]:
    """What is wrong with the texts of `spec`, each as `path: what; nearest`."""
    blank = [] if spec.prompt.strip() else ["spec.prompt: is blank; say what the video shows"]
    texts = {"spec.prompt": spec.prompt, "spec.negativePrompt": spec.negative_prompt or ""}
    faults = ((field, control_fault(text)) for field, text in texts.items())
    return (*blank, *(f"{field}: {fault}" for field, fault in faults if fault))
