"""YAML texts: a key stands once in a mapping, and aliases do not make much of little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

__all__ = ["bounded", "parsed"]

_MOST = 100_000
"""Values that aliases may add by standing for others; a configuration holds some hundreds."""


class _Once(yaml.SafeLoader):
    """Of a key that stands twice PyYAML would drop the first with all that is below it."""

    def compose_mapping_node(self, anchor: Any) -> Any:  # before "<<" puts other keys there
        node, seen = super().compose_mapping_node(anchor), set[str]()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _error(f"{key.value} stands twice in one mapping", key)
            seen.add(str(key.value))
        return node

    def flatten_mapping(self, node: Any) -> None:
        """Put what "<<" names before a mapping's own keys, which win; PyYAML 6.0.4 takes some of those it names."""
        own, merged = list[Any](), list[Any]()
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                own.append((key, value))
                continue
            several = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for other in reversed(several):  # of several the first wins
                if not isinstance(other, yaml.MappingNode):
                    raise _error("<< must name a mapping, or a list of them", other)
                self.flatten_mapping(other)
                merged += other.value
        node.value = [*merged, *own]


def parsed(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: If it is none, holds a key twice in one mapping, or more by its aliases than anyone writes.
    """
    loader = _Once(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_expansion(node)
        return _apart(loader.construct_document(node))
    finally:
        loader.dispose()


def _apart(value: Any) -> Any:
    """The same with a copy in each place, so that what is changed in one later stays in the others."""
    if isinstance(value, dict):
        return {key: _apart(inside) for key, inside in value.items()}
    return [_apart(inside) for inside in value] if isinstance(value, list) else value


def bounded(load: Callable[[str], Any]) -> Callable[[str], Any]:
    """Another loader of YAML texts, which refuses as well what aliases make too much of."""

    def loaded(text: str) -> Any:
        if "&" in text and "*" in text:
            _refuse_expansion(yaml.compose(text, Loader=yaml.SafeLoader))
        return load(text)

    return loaded


def _refuse_expansion(root: Any) -> None:
    """Aliases stand for one value in many places, and whoever walks through a configuration visits each of them."""
    sizes: dict[int, int] = {}
    if root is not None and _size(root, sizes) - len(sizes) > _MOST:
        raise _error(f"its aliases stand for more than {_MOST} values", root)


def _size(node: Any, sizes: dict[int, int]) -> int:
    """Number of nodes below a node, itself among them, with those that aliases stand for."""
    if id(node) not in sizes:
        sizes[id(node)] = 0  # while it is counted
        below = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for pair in below for part in (pair if isinstance(pair, tuple) else (pair,))]
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    elif sizes[id(node)] == 0:
        raise _error("an alias leads back to what it stands in", node)
    return sizes[id(node)]


def _error(problem: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
