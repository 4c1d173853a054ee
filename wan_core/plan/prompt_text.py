"""What may stand in a prompt: something to read, and no control characters but tabs and line breaks.

The pipeline would drop most of them and mend some without a word; here they are told instead. Not covered:
characters that are only invisible, as those that join emoji, and right-to-left marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError

from wan_core.api.problems import problem_of
from wan_core.api.spec import Spec
from wan_core.errors import InvalidInput

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # Unicode's category Cc but for \t, \n and \r
C1 = range(0x80, 0xA0)


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
    return (*blank, *(problem for field, text in texts.items() for problem in _controls(field, text)))


def _controls(field: str, text: str) -> Iterator[str]:
    found = [match.start() for match in CONTROL.finditer(text)]
    if not found:
        return
    first = f"U+{ord(text[found[0]]):04X} at character {found[0] + 1}"
    many = f"{len(found)} control characters, the first {first}"
    what = many if len(found) > 1 else f"the control character {first}"
    yield f"{field}: has {what}; nearest: {_nearest(text[found[0]])}"


def _nearest(character: str) -> str:
    """What was meant: most of these between U+0080 and U+009F are Windows-1252, read as Latin-1."""
    meant = bytes([ord(character)]).decode("cp1252", "ignore") if ord(character) in C1 else ""
    return f"{meant} (as Windows-1252 has it), or nothing" if meant else "nothing, or a space"
