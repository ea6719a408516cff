"""Nothing that the engine understands is without a test of what it does: every directive and every
variable of its lists stands in the configuration of a test that runs a server."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "engine/conf"


def rows(pattern: str, files: str) -> list[str]:
    text = "".join(path.read_text() for path in sorted(LISTS.glob(files)))
    return re.findall(pattern, text, re.M)


DIRECTIVES = rows(r"^DIRECTIVE\((\w+),", "directives_*.def")
VARIABLES = rows(r'^VARIABLE\(\w+, "(\w+)"', "variables_*.def")
PREFIXES = rows(r'^PREFIX_VARIABLE\(\w+, "(\w+)"', "variables_*.def")


def texts_of(tree: ast.AST) -> list[str]:
    """The strings of a Python file; what an f-string fills in becomes a word of its own."""
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
             for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else " FILLED "
                                 for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) \
                and id(node) not in inner:
            found.append(node.value)
    return found


@cache
def configurations() -> str:
    """Everything that may be the configuration of a server under test, this file left out."""
    files = [path for path in (ROOT / "pytests").rglob("*.py") if path != Path(__file__)]
    found = [text for path in files for text in texts_of(ast.parse(path.read_text()))]
    found += [path.read_text() for path in (ROOT / "scenarios").rglob("*.toml")]
    return "\n\n".join(found)


def uses_directive(name: str, text: str) -> bool:
    """Does a statement begin with it? (NAME arguments; or NAME arguments {)"""
    return re.search(rf"(?:^|[\s;{{}}]){name}(?:\s[^;{{}}]*?)?(?:;|{{)", text) is not None


def uses_variable(name: str, text: str) -> bool:
    more = r"[a-zA-Z0-9]" if name in PREFIXES else r"(?!\w)"
    return re.search(rf"\$\{{?{name}{more}", text) is not None


def test_the_lists_are_read():
    assert len(DIRECTIVES) > 150 and len(VARIABLES) > 80 and len(PREFIXES) > 4
    assert {"server", "proxy_pass", "ssl_certificate"} <= set(DIRECTIVES)
    assert {"http_", "arg_"} <= set(PREFIXES)


def test_every_directive_is_in_a_test():
    missing = [name for name in DIRECTIVES if not uses_directive(name, configurations())]
    assert not missing, f"no test gives a server: {', '.join(missing)}"


def test_every_variable_is_in_a_test():
    missing = ["$" + name for name in VARIABLES + PREFIXES
               if not uses_variable(name, configurations())]
    assert not missing, f"no test uses: {', '.join(missing)}"


@pytest.mark.parametrize("text, found", [
    ("etag off;", True), ("server { etag off; }", True), ("location / { etag\noff; }", True),
    ("the etag", False), ("'etag': 1", False), ("gzip_etag off;", False), ("# etag", False),
])
def test_only_statements_count(text, found):
    assert uses_directive("etag", text) == found


def test_only_whole_names_count():
    assert uses_variable("uri", "a$uri;") and uses_variable("uri", "${uri}x")
    assert not uses_variable("uri", "$uri_x $request_uri uri")
    assert uses_variable("http_", "$http_x") and not uses_variable("http_", "$http_ ")
