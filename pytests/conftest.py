"""What all tests share. Programs come from MW_BIN, else from build/bin."""

from __future__ import annotations

from pathlib import Path

import pytest
from masterwork.certificates import Authority, Pair

pytest_plugins = ["masterwork.plugin", "pytester", "sanitized"]

TIMEOUT_S = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test may hang, whatever the server under test does."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture
def toml(tmp_path: Path):
    """toml("name", text): a file in a story-like folder of its own."""
    def write(text: str, name: str = "story.toml", folder: str = "reload") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path
    return write


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def site(authority: Authority) -> Pair:
    """The certificate that most tests of TLS serve."""
    return authority.sign("site.test")
