"""Puts what other libraries say of a failure into one line."""

from __future__ import annotations

import textwrap

_LONGEST = 160


def in_brief(error: BaseException) -> str:
    """Return the text of an error, or its type where it has none, in one line of at most 160 characters."""
    text = str(error).strip() or type(error).__name__
    # The cause comes last, after the places.
    return textwrap.shorten(text.splitlines()[-1] if "Traceback" in text else text, _LONGEST, placeholder=" …")
