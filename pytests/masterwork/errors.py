"""The two ways in which the harness itself can fail: a mistake in its input, and its own trouble.

A server that misbehaves is neither: that is a verdict.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MasterworkError(Exception):
    """Anything that ends a command with one clear message and exit code 3."""


class InputError(MasterworkError):
    """A story, target or argument that is not as it must be: what, where, what was expected."""


class HarnessError(MasterworkError):
    """A witness, the judge or the director failed: the run says nothing about the server."""


class NotServing(HarnessError):
    """The server under test did not come up before the story began."""


def suggest(word: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' or, when nothing is near, the words that exist."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(repr(name) for name in near)}?"
    return f" Known: {', '.join(names)}." if len(names) <= 60 else ""
