"""Reads tables of a TOML file key by key: every mistake names the file, the key and what was
expected, and a key nobody asked for is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from masterwork.errors import InputError, suggest
from masterwork.units import parse_bytes, parse_ns

T = TypeVar("T")
REQUIRED: Any = object()


def load_toml(path: Path) -> Table:
    """The whole file as a table."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    return Table(data, str(path))


class Table:
    """One TOML table that is being read. Each key is taken once; done() refuses what is left."""

    def __init__(self, data: dict[str, Any], file: str, where: str = "") -> None:
        self.data = data
        self.file = file
        self.where = where
        self.asked: set[str] = set()

    def error(self, key: str, message: str) -> InputError:
        place = f"{self.where}.{key}" if self.where and key else self.where or key
        return InputError(f"{self.file}: {place}: {message}" if place else
                          f"{self.file}: {message}")

    def take(self, key: str, kind: type | tuple[type, ...], expected: str,
             default: Any = REQUIRED) -> Any:
        self.asked.add(key)
        if key not in self.data:
            if default is REQUIRED:
                raise self.error(key, f"is missing; {expected} is expected")
            return default
        value = self.data[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.error(key, f"{expected} is expected, not {value!r}")
        return value

    def string(self, key: str, default: Any = REQUIRED) -> str:
        return self.take(key, str, "a text", default)

    def integer(self, key: str, default: Any = REQUIRED, least: int = 0) -> int:
        value = self.take(key, int, "a whole number", default)
        if key in self.data and value < least:
            raise self.error(key, f"at least {least} is expected, not {value}")
        return value

    def boolean(self, key: str, default: Any = REQUIRED) -> bool:
        return self.take(key, bool, "true or false", default)

    def number(self, key: str, default: Any = REQUIRED) -> float:
        return self.take(key, (int, float), "a number", default)

    def one_of(self, key: str, words: Iterable[str], default: Any = REQUIRED) -> str:
        words = list(words)
        value = self.take(key, str, f"one of {', '.join(words)}", default)
        if value is not default and value not in words:
            raise self.error(key, f"{value!r} is not known.{suggest(value, words)}")
        return value

    def strings(self, key: str, default: Any = REQUIRED) -> list[str]:
        value = self.take(key, list, "a list of texts", default)
        if any(not isinstance(item, str) for item in value):
            raise self.error(key, f"a list of texts is expected, not {value!r}")
        return list(value)

    def converted(self, key: str, convert: Callable[[Any], T], default: Any = REQUIRED) -> T:
        value = self.take(key, (str, int), "a text or a number", default)
        if value is default:
            return value
        try:
            return convert(value)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def duration(self, key: str, default: Any = REQUIRED) -> int:
        return self.converted(key, parse_ns, default)

    def size(self, key: str, default: Any = REQUIRED) -> int:
        return self.converted(key, parse_bytes, default)

    def table(self, key: str, required: bool = False) -> Table:
        value = self.take(key, dict, "a table", REQUIRED if required else {})
        return Table(value, self.file, f"{self.where}.{key}" if self.where else key)

    def tables(self, key: str) -> list[Table]:
        value = self.take(key, list, "a list of tables", [])
        if any(not isinstance(item, dict) for item in value):
            raise self.error(key, "a list of tables is expected")
        place = f"{self.where}.{key}" if self.where else key
        return [Table(item, self.file, f"{place}[{index + 1}]")
                for index, item in enumerate(value)]

    def keys(self) -> list[str]:
        return list(self.data)

    def done(self) -> None:
        """Every key was understood, or the first that was not is named."""
        for key in self.data:
            if key not in self.asked:
                raise self.error(key, f"is not a key that is known here."
                                      f"{suggest(key, self.asked)}")
