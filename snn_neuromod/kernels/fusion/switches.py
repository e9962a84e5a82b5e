"""Options of a step as numbers that are given when a kernel runs, so that one kernel serves all of them.

What an option may be stands beside the equations, in `OPTIONS` of the module of the step: a tuple of values, of which
`int` or `float` stands for every number, or a class whose objects have `OPTIONS` of their own. An option is given to a
kernel as the place of its value in that tuple (where there is more than one), then as the number (where it may be one).
They follow the parameters of the neuron, see `Switches.names`.

A step is read once for each choice among values, and the graphs become one that chooses, see `merged`. Where a choice
decides about the form of the kernels - which states move, which gradients are constant - there is a graph for each.
"""

from __future__ import annotations

import itertools
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod import surrogate
from snn_neuromod.kernels.fusion.graph import Graph, Node
from snn_neuromod.kernels.fusion.operations import COMMUTATIVE
from snn_neuromod.kernels.fusion.plan import Plan
from snn_neuromod.kernels.fusion.trace import Step, trace

_NUMBERS = (int, float)


class Option(NamedTuple):
    """One option.

    Attributes:
        name: Of the argument of the step; of an argument of that argument "spike_fn.width".
        values: What it may be.
    """

    name: str
    values: tuple[Any, ...]

    @property
    def chosen(self) -> bool:
        """Whether there is a choice among values."""
        return len(self.values) > 1

    @property
    def counted(self) -> bool:
        """Whether it may be any number."""
        return self.values[-1] in _NUMBERS

    def place(self, value: Any) -> int:
        """Place of a value.

        Raises:
            ValueError: If the option cannot be that.
        """
        for k, known in enumerate(self.values):
            if known is value or (known not in _NUMBERS and known == value):
                return k
        if self.counted and isinstance(value, (int, float)):
            return len(self.values) - 1
        raise ValueError(f"{self.name} cannot be {value!r} in a printed kernel")

    def numbers(self, value: Any) -> list[float]:
        """What a kernel is given for a value."""
        place = self.place(value)
        number = float(value) if self.counted and place == len(self.values) - 1 else 0.0
        return [float(place)] * self.chosen + [number] * self.counted


class Switches:
    """The options of a step.

    Args:
        options: `OPTIONS` of its module.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.given = dict(options)
        self.options = [*_flat(options)]

    @cached_property
    def names(self) -> list[str]:
        """Names of the numbers: of options themselves where there is a choice, and of their numbers."""
        return [name for option in self.options for name in _names(option)]

    def numbers(self, options: Mapping[str, Any]) -> list[float]:
        """The numbers of these options.

        Raises:
            ValueError: If an option is none that is known.
        """
        return [x for option in self.options for x in option.numbers(_value(options, option.name))]

    def choice(self, options: Mapping[str, Any], names: Sequence[str]) -> tuple[int, ...]:
        """Places of the values of some options."""
        found = {option.name: option for option in self.options}
        return tuple(found[name].place(_value(options, name)) for name in names)


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[Option]:
    for name, values in options.items():
        if isinstance(values, tuple):
            yield Option(prefix + name, values)
        else:
            yield from _flat(values.OPTIONS, f"{prefix}{name}.")


def _names(option: Option) -> list[str]:
    return [option.name] * option.chosen + [f"{option.name} number"] * option.counted


def _value(options: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    return getattr(options[outer], inner) if inner else options[outer]


class _SwitchedPsi(surrogate.Psi):
    """A pseudo-derivative whose shape is chosen, and whose numbers are given, when a kernel runs."""

    def __init__(self, numbers: Mapping[str, Tensor]) -> None:
        self.__dict__.update(numbers)

    def derivative(self, distance: Tensor, unit: Any, held: Tensor | None = None) -> Tensor:
        given: Any = self.__dict__
        unit = unit if isinstance(unit, Tensor) else torch.full_like(distance, unit)
        psi = given["gamma number"] * self._profile(distance / (given["width number"] * unit))
        at_spike = (given["at_spike"] == 1) & (distance > 0)
        psi = torch.where(at_spike, given["gamma number"] * given["at_spike number"], psi)
        if held is not None:
            psi = torch.where(held, given["gamma number"] * given["refractory number"], psi)
        return psi / torch.where(given["scale"] == 0, unit, torch.ones_like(unit))

    def _profile(self, x: Tensor) -> Tensor:
        *shapes, last = surrogate.Psi.OPTIONS["shape"]
        psi = surrogate.PROFILES[last](x)
        for k, shape in reversed([*enumerate(shapes)]):
            psi = torch.where(self.__dict__["shape"] == k, surrogate.PROFILES[shape](x), psi)
        return psi


_SWITCHED = {surrogate.Psi: _SwitchedPsi}


def forms(module: Any, dtype: torch.dtype) -> tuple[list[str], dict[tuple[int, ...], Step]]:
    """Graphs of a step that together serve all its options.

    Args:
        module: Holds `Params`, `State`, `step` and `OPTIONS`.
        dtype: Type it calculates in.

    Returns:
        The options that have graphs of their own for each value, and by the places of these values the steps; behind
        the parameters of the neuron stand the numbers of its options.
    """
    switches = Switches(module.OPTIONS)
    own = [o for o in switches.options if "." not in o.name and o.chosen]
    steps = {
        places: _traced(
            module, switches, dict(zip([o.name for o in own], places, strict=True)), dtype
        )
        for places in itertools.product(*(range(len(o.values)) for o in own))
    }
    apart = [k for k in range(len(own)) if _decides(steps, k)]
    found = {}
    for choice in itertools.product(*(range(len(own[k].values)) for k in apart)):
        fixed = dict(zip(apart, choice, strict=True))
        found[choice] = _merged(steps, [o.name for o in own], fixed)
    return [own[k].name for k in apart], found


def _decides(steps: Mapping[tuple[int, ...], Step], k: int) -> bool:
    """Whether the k-th option decides about the form of the kernels."""
    forms: dict[tuple[int, ...], set[Any]] = {}
    for places, step in steps.items():
        made = Plan(step)
        form = (tuple(made.moving), frozenset(made.other.state))
        forms.setdefault(places[:k] + places[k + 1 :], set()).add(form)
    return any(len(different) > 1 for different in forms.values())


def _traced(module: Any, switches: Switches, places: Mapping[str, int], dtype: torch.dtype) -> Step:
    """The step with some options chosen, and the others as numbers."""
    fields, names = module.Params._fields, switches.names
    params_type = namedtuple("Params", [f"p{k}" for k in range(len(fields) + len(names))])  # type: ignore[misc]

    def step(params: Any, state: Any, current: Tensor) -> tuple[Tensor, Any]:
        numbers = dict(zip(names, params[len(fields) :], strict=True))
        options = {
            name: _option(name, values, places, numbers) for name, values in switches.given.items()
        }
        return module.step(module.Params(*params[: len(fields)]), state, current, **options)  # type: ignore[no-any-return]

    traced = trace(step, params_type, module.State, dtype=dtype)
    return replace(traced, params=(*fields, *names), num_numbers=len(names))


def _option(
    name: str, values: Any, places: Mapping[str, int], numbers: Mapping[str, Tensor]
) -> Any:
    if not isinstance(values, tuple):
        own = {
            k.removeprefix(f"{name}."): x for k, x in numbers.items() if k.startswith(f"{name}.")
        }
        return _SWITCHED[values](own)
    value = values[places.get(name, 0)]
    return numbers[f"{name} number"] if value in _NUMBERS else value


def _merged(
    steps: Mapping[tuple[int, ...], Step], names: Sequence[str], fixed: Mapping[int, int]
) -> Step:
    """One step that chooses among all with these options fixed."""
    example = next(iter(steps.values()))
    graph = Graph(example.graph.dtype)
    left = {
        places: _read_from_rows(step, graph)
        for places, step in steps.items()
        if all(places[k] == value for k, value in fixed.items())
    }
    for k in range(len(names)):  # choose among the values of the k-th option
        by_others: dict[tuple[int, ...], list[tuple[int, list[Node]]]] = {}
        for places, roots in left.items():
            by_others.setdefault(places[1:], []).append((places[0], roots))
        number = graph.input(f"p{example.params.index(names[k])}")
        left = {others: _chosen(graph, number, given) for others, given in by_others.items()}
    roots = left[()]
    rows = {graph.input(f"n{k}"): node for k, node in enumerate(roots[1 : 1 + len(example.states)])}
    return example.of(graph, graph.substitute(roots, rows))


def _read_from_rows(step: Step, graph: Graph) -> list[Node]:
    """Results, where gradients read the states after the step as inputs: these are merged once, and not in each."""
    rows = {node: graph.input(f"n{k}") for k, node in enumerate(step.after) if node.args}
    num = 1 + len(step.after)
    return graph.substitute(step.roots[:num], {}) + graph.substitute(step.roots[num:], rows)


def _chosen(graph: Graph, number: Node, given: Sequence[tuple[int, list[Node]]]) -> list[Node]:
    (_, roots), *others = given[::-1]
    for place, first in others:
        condition = graph.make("eq", number, float(place))
        memo: dict[tuple[Node, Node], Node] = {}
        roots = [merged(graph, condition, a, b, memo) for a, b in zip(first, roots, strict=True)]
    return roots


def merged(
    graph: Graph, condition: Node, a: Node, b: Node, memo: dict[tuple[Node, Node], Node]
) -> Node:
    """The value a where a condition holds, else b; what both compute alike is computed once.

    Args:
        graph: That of all nodes.
        condition: What decides.
        a: One value.
        b: The other.
        memo: What was found before under this condition.
    """
    if a is b:
        return a
    if (a, b) not in memo:
        pairs = _aligned(a, b) if _differences(a, b, {}) != {(a, b)} else []
        args = [merged(graph, condition, x, y, memo) for x, y in pairs]
        memo[a, b] = graph.make(a.op, *args) if args else graph.make("where", condition, a, b)
    return memo[a, b]


def _differences(
    a: Node, b: Node, memo: dict[tuple[Node, Node], set[tuple[Node, Node]]]
) -> set[tuple[Node, Node]]:
    """The pairs of values between which one has to choose: themselves, or at most two that both are computed from."""
    if a is b:
        return set()
    if (a, b) not in memo:
        found = {(a, b)}
        if a.op == b.op and a.args:
            inner = [_differences(x, y, memo) for x, y in _aligned(a, b)]
            found = set[tuple[Node, Node]]().union(*inner)
        memo[a, b] = found if len(found) <= 2 else {(a, b)}
    return memo[a, b]


def _aligned(a: Node, b: Node) -> list[tuple[Node, Node]]:
    """Arguments of two equal operations side by side."""
    straight, crossed = (
        [*zip(a.args, b.args, strict=True)],
        [*zip(a.args, b.args[::-1], strict=True)],
    )
    alike = [sum((x is y) + (x.op == y.op) for x, y in pairs) for pairs in (straight, crossed)]
    return crossed if a.op in COMMUTATIVE and alike[1] > alike[0] else straight
