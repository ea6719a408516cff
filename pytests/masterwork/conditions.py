"""What a story waits for: a small expression over what the witnesses see, such as
`workers == 4 and since(ok) >= 100`.

The expression is Python's syntax cut down to comparisons, and/or/not, + - * and the names below, so
that a story can neither call nor touch anything else. `since(x)` is how much x has grown since
the step began; `logged("regex")` counts lines of the error log.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection
from typing import Any, Protocol

from masterwork.errors import suggest

NAMES = {
    "requests": "requests begun, all populations",
    "ok": "requests that ended ok",
    "failed": "requests that ended otherwise",
    "outstanding": "requests under way",
    "established": "client connections established",
    "workers": "live children of the master",
    "zombies": "ended children not reaped yet",
    "stopped": "workers in state T",
    "others": "processes of the tree that are not children of the master",
    "replaced": "workers that were not there when the phase began",
    "remaining": "workers of when the phase began that still live",
    "answering": "workers not there when the phase began that answer clients",
    "master_alive": "1 while the master lives",
    "generation": "the newest configuration number that a client got",
    "config": "the number of the configuration file written last",
    "good_config": "the number of the newest configuration file that is valid",
    "reloaded": "reloads reported ok",
    "refused": "reloads reported refused",
    "undone": "reloads reported undone",
    "queue": "connections waiting in the accept queue",
    "fds": "the most descriptors a worker has open",
    "fired": "faults that have fired",
    "storms": "storms of signals still under way",
    "seconds": "seconds since the step began",
}
OF_POPULATION = {
    "requests": "requests begun", "ok": "ended ok", "failed": "ended otherwise",
    "outstanding": "under way", "established": "connections established",
    "generation": "newest configuration number it was answered by",
}
COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}
ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}


class Seen(Protocol):
    """What a condition reads."""

    def value(self, name: str) -> float: ...
    def of_population(self, population: str, name: str) -> float: ...
    def logged(self, pattern: str) -> int: ...


class Condition:
    """A parsed expression. Raises ValueError with one sentence when it is not one."""

    def __init__(self, text: str, populations: Collection[str], outcomes: Collection[str] = ()
                 ) -> None:
        self.text = text
        self.populations = populations
        self.outcomes = {word.replace("-", "_") for word in outcomes}
        try:
            self.tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"{text!r} is not a condition: {error.msg}") from None
        self._check(self.tree)

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self._check(value)
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
                self._check(operand)
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(
                    type(op) in COMPARISONS for op in ops):
                for value in (left, *comparators):
                    self._check(value)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                self._check(left)
                self._check(right)
            case ast.Constant(value=int() | float()):
                pass
            case ast.Name(id=name):
                if name not in NAMES:
                    raise ValueError(f"{name!r} is not something that can be seen."
                                     f"{suggest(name, [*NAMES, *self.populations])}")
            case ast.Attribute(value=ast.Name(id=population), attr=name):
                self._check_population(population, name)
            case ast.Call(func=ast.Name(id="since"), args=[argument], keywords=[]):
                self._check(argument)
            case ast.Call(func=ast.Name(id="logged"), args=[ast.Constant(value=str())],
                          keywords=[]):
                pass
            case _:
                raise ValueError(f"{ast.unparse(node)!r} cannot stand in a condition: comparisons, "
                                 "and, or, not, + - *, names, since(...) and logged(\"...\") can")

    def _check_population(self, population: str, name: str) -> None:
        if population not in self.populations:
            raise ValueError(f"{population!r} is not a load of this story."
                             f"{suggest(population, self.populations)}")
        if name not in OF_POPULATION and name not in self.outcomes:
            raise ValueError(f"{name!r} is not something a load has."
                             f"{suggest(name, [*OF_POPULATION, *self.outcomes])}")

    def begin(self, seen: Seen) -> Callable[[], bool]:
        """Starts a step: returns the question to be asked until it is true."""
        start: dict[str, float] = {}
        for node in ast.walk(self.tree):
            match node:
                case ast.Call(func=ast.Name(id="since"), args=[argument]):
                    start[ast.dump(argument)] = self._value(argument, seen, start)
        return lambda: bool(self._value(self.tree, seen, start))

    def _value(self, node: ast.expr, seen: Seen, start: dict[str, float]) -> Any:
        match node:
            case ast.BoolOp(op=op, values=values):
                results = (self._value(value, seen, start) for value in values)
                return all(results) if isinstance(op, ast.And) else any(results)
            case ast.UnaryOp(op=op, operand=operand):
                value = self._value(operand, seen, start)
                return not value if isinstance(op, ast.Not) else -value
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                values = [self._value(value, seen, start) for value in (left, *comparators)]
                return all(COMPARISONS[type(op)](a, b)
                           for a, op, b in zip(values, ops, values[1:]))
            case ast.BinOp(left=left, op=op, right=right):
                return ARITHMETIC[type(op)](self._value(left, seen, start),
                                            self._value(right, seen, start))
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return seen.value(name)
            case ast.Attribute(value=ast.Name(id=population), attr=name):
                return seen.of_population(population, name)
            case ast.Call(func=ast.Name(id="since"), args=[argument]):
                return self._value(argument, seen, start) - start.get(ast.dump(argument), 0)
            case ast.Call(args=[ast.Constant(value=pattern)]):
                return seen.logged(pattern)
        raise AssertionError(f"unchecked node {ast.dump(node)}")

    def values(self, seen: Seen) -> dict[str, float]:
        """What the names in it are now, for the message when it did not come true."""
        now: dict[str, float] = {}
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(value=ast.Name(id=population), attr=name):
                    now[f"{population}.{name}"] = seen.of_population(population, name)
                case ast.Name(id=name) if name in NAMES:
                    now[name] = seen.value(name)
        return now
