"""What a network does, read off its symbolic trace; what a graph of its layers would not show is refused."""

from __future__ import annotations

import inspect
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional

from snn_neuromod.errors import ConfigError
from snn_neuromod.nir.modules import Recurrence
from snn_neuromod.nir.reading.network import Network
from snn_neuromod.nir.reading.plan import Loop

_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.dropout: lambda *args, **kwargs: nn.Identity(),
}
_ROOMS = {"snn_neuromod", "snntorch", "norse"}
_THROUGH = ("SequentialState",)


class Call(NamedTuple):
    """A layer that a network calls.

    Attributes:
        name: Name of the call.
        path: Where in the network the layer stands, or the function in its place.
        layer: The layer.
        sources: Names of the calls, or of the input, whose outputs it gets, added up.
    """

    name: str
    path: str
    layer: nn.Module
    sources: tuple[str, ...]


class Trace(NamedTuple):
    """What a network does.

    Attributes:
        input: Name of the input.
        calls: The layers in the order in which they are called.
        output: Names of the calls whose outputs the network returns, added up.
        back: Pairs of calls of which the second gets the first's output of the step before.
    """

    input: str
    calls: tuple[Call, ...]
    output: tuple[str, ...]
    back: tuple[tuple[str, str], ...] = ()


class _Tracer(fx.Tracer):
    """Sees every layer that can be written, and every neuron of this package and of others, as one node."""

    def __init__(self, known: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.known = known

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, Network) or type(m).__name__ in _THROUGH:
            return False
        rooms = {cls.__module__.partition(".")[0] for cls in type(m).__mro__}
        return (
            isinstance(m, self.known)
            or bool(rooms & _ROOMS)
            or super().is_leaf_module(m, module_qualified_name)
        )


def trace(network: nn.Module, known: tuple[type[nn.Module], ...]) -> Trace:
    """Trace a network.

    Args:
        network: The network; arguments of its `forward` that are None if left out are left out.
        known: Classes of the layers that can be written.

    Raises:
        ConfigError: If it has control flow on its input, calls a layer twice, does more than add signals up, or
            returns more than one.
    """
    if isinstance(network, Network):
        return _planned(network)
    arguments = inspect.signature(network.forward).parameters.values()
    concrete = {argument.name: None for argument in arguments if argument.default is None}
    try:
        nodes = list(_Tracer(known).trace(network, concrete_args=concrete).nodes)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ConfigError(
            "to_nir: network must call its layers without control flow on its input, such as a loop over time, got "
            f"{type(error).__name__}: {error}; export a module that takes one step or hands whole sequences on"
        ) from error
    for target, calls in Counter(n.target for n in nodes if n.op == "call_module").items():
        if calls > 1:
            raise ConfigError(
                f"to_nir: network must call each layer once, got {calls} calls of {target}; a layer has one state"
            )
    return _Reader(network).read(nodes)


def _planned(network: Network) -> Trace:
    """What a network does that was made of a graph."""
    plan, calls, back = network.plan, [], []
    loops = [stage for stage in plan.stages if isinstance(stage, Loop)]
    delayed = {edge for loop in loops for edge in loop.delayed}
    for name, layer in network.named_layers():
        inside = layer.nodes if isinstance(layer, Recurrence) else ()
        hidden = {
            n for n in plan.sources[name] if n in plan.nodes and inside and network[n] in inside
        }
        heard = [n for n in plan.sources[name] if n not in hidden]
        back += [(n, name) for n in heard if (n, name) in delayed]
        calls.append(Call(name, name, layer, tuple(n for n in heard if (n, name) not in delayed)))
    return Trace(plan.input, tuple(calls), plan.sources[plan.output], tuple(back))


class _Reader:
    """Follows signals through the nodes of a trace."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.signals: dict[fx.Node, tuple[str, ...]] = {}

    def read(self, nodes: list[fx.Node]) -> Trace:
        inputs = [node for node in nodes if node.op == "placeholder"]
        self.signals[inputs[0]] = (str(inputs[0].name),)
        calls = [call for node in nodes for call in self._call(node)]
        states = _States(self.signals)
        returned = [node for node in nodes[-1].all_input_nodes if not states(node)]
        if len(returned) != 1 or returned[0] is inputs[0]:
            raise ConfigError(
                "to_nir: network must return one output, that of a layer, and states, "
                f"got {', '.join(node.name for node in returned) or 'none'}"
            )
        return Trace(str(inputs[0].name), tuple(calls), self.signals[returned[0]])

    def _call(self, node: fx.Node) -> Iterator[Call]:
        if node.op == "call_module":
            layer = self.network.get_submodule(str(node.target))
            yield self._layer(node, str(node.target), layer, node.args[:1])
        elif node.op in ("call_function", "call_method"):
            if node.target in (operator.add, torch.add, "add"):
                self.signals[node] = self._sum(node, node.args)
            elif node.target is operator.getitem:
                if node.args[1] == 0:
                    self.signals[node] = self._sum(node, node.args[:1])
            elif node.target in _FUNCTIONS:
                made = _FUNCTIONS[node.target](*node.args[1:], **node.kwargs)
                if (
                    isinstance(made, nn.Flatten)
                    and len(node.args) < 2
                    and "start_dim" not in node.kwargs
                ):
                    made.start_dim = 0  # unlike the module's
                yield self._layer(node, str(node.name), made, node.args[:1])
            elif getattr(node.target, "__name__", "") != "_assert_is_none":
                raise ConfigError(
                    "to_nir: network must hand on its one input and outputs of its layers; addition is the only "
                    f"supported function, got {node.format_node()}"
                )

    def _layer(self, node: fx.Node, path: str, layer: nn.Module, args: Any) -> Call:
        self.signals[node] = (str(node.name),)
        passed = set(node.all_input_nodes) - {arg for arg in args if isinstance(arg, fx.Node)}
        if any(other in self.signals for other in passed):
            self._refuse(node)
        return Call(str(node.name), path, layer, self._sum(node, args))

    def _sum(self, node: fx.Node, args: Any) -> tuple[str, ...]:
        names: list[str] = []
        for arg in args:
            if not isinstance(arg, fx.Node) or arg not in self.signals:
                self._refuse(node)
            names += self.signals[arg]
        if not names or len(set(names)) < len(names):
            self._refuse(node)
        return tuple(names)

    def _refuse(self, node: fx.Node) -> None:
        raise ConfigError(
            "to_nir: network must hand on its one input and outputs of its layers, each at most once, "
            f"got {node.format_node()}"
        )


class _States:
    """What a layer returned beside its output."""

    def __init__(self, signals: dict[fx.Node, tuple[str, ...]]) -> None:
        self.signals = signals

    def __call__(self, node: fx.Node) -> bool:
        """Whether a node is a state, a constant or an argument rather than a signal."""
        return node not in self.signals and node.op != "placeholder"
