"""What is done to a prompt before it becomes tokens, as diffusers' Wan pipelines do it."""

from __future__ import annotations

import html

import ftfy


def clean(prompt: str) -> str:
    """Broken encodings and HTML's escapes mended, each run of white space one space."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())
