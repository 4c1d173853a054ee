"""Control characters in a text that people or a text encoder read: where the first is, and what was meant.

Tabs and line breaks may stand in a prompt, not in a line, as a title. Not covered: characters that are only
invisible, as those that join emoji, and right-to-left marks.
"""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # Unicode's category Cc but for \t, \n and \r
CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f]")
C1 = range(0x80, 0xA0)


def control_fault(text: str, *, line: bool = False) -> str:
    """That it has some, the place of the first, and what may stand there; empty if it has none."""
    found = [match.start() for match in (CONTROL_OR_BREAK if line else CONTROL).finditer(text)]
    if not found:
        return ""
    first = f"U+{ord(text[found[0]]):04X} at character {found[0] + 1}"
    many = f"{len(found)} control characters, the first {first}"
    what = many if len(found) > 1 else f"the control character {first}"
    return f"has {what}; nearest: {_nearest(text[found[0]])}"


def _nearest(character: str) -> str:
    """What was meant: most of these between U+0080 and U+009F are Windows-1252, read as Latin-1."""
    meant = bytes([ord(character)]).decode("cp1252", "ignore") if ord(character) in C1 else ""
    return f"{meant} (as Windows-1252 has it), or nothing" if meant else "nothing, or a space"
