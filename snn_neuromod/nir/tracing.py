"""What of a network gets lost on the way to NIR: read off its symbolic trace, and refused."""

from __future__ import annotations

import inspect
import operator
from collections import Counter
from typing import Any

from nirtorch.torch_tracer import NIRTorchTracer
from torch import fx, nn

from snn_neuromod.nir.reading import Network

_INSTEAD = "run it with this package, or train an ALIF layer in its place and export that"
_REASONS = {
    "SRC": f"its tanh and its gates are no nodes of NIR; {_INSTEAD}",
    "Izhikevich": f"NIR has no node for the product of the membrane with itself; {_INSTEAD}",
    "STDPALIF": f"NIR has no node for its refractory period; {_INSTEAD}",
    "RALIF": "write it as Recurrent(ALIF(...)) and export that",
    "SpikingNeuron": "swap snntorch.Leaky for snn_neuromod.snntorch.ALIF with adapt_strength=0",
}
_KNOWN = (
    "known are nn.Linear, the layers ALIF, Recurrent(ALIF), LeakyIntegrator and LeakyReadout of snn_neuromod, and "
    "snn_neuromod.snntorch.ALIF"
)


class _Tracer(NIRTorchTracer):  # type: ignore[misc, unused-ignore]
    """Sees every neuron, of this package and of others, as one node."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        rooms = {cls.__module__.partition(".")[0] for cls in type(m).__mro__}
        neuron = bool(rooms & {"snn_neuromod", "snntorch", "norse"}) and not isinstance(m, Network)
        return neuron or bool(super().is_leaf_module(m, module_qualified_name))


def left_at_none(network: nn.Module) -> dict[str, None]:
    """Arguments of the network that are None if left out, states as a rule."""
    arguments = inspect.signature(network.forward).parameters.values()
    return {argument.name: None for argument in arguments if argument.default is None}


def check(
    network: nn.Module, known: tuple[type[nn.Module], ...], concrete: dict[str, None]
) -> None:
    """Refuse a network that a graph of its layers would not describe.

    Args:
        network: The network.
        known: Classes of the layers that can be written.
        concrete: Its arguments that stay None.

    Raises:
        TypeError: If it calls a layer of another class.
        ValueError: If it calls a layer twice, does more than add signals up, or returns more than one.
    """
    try:
        nodes = list(_Tracer(known).trace(network, concrete_args=concrete).nodes)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(
            "to_nir: network must call its layers without control flow on its input, such as a loop over time, got "
            f"{type(error).__name__}: {error}; export a module that takes one step or hands whole sequences on"
        ) from error
    _check_layers(network, known, nodes)
    extra = [node for node in nodes if node.op == "placeholder"][1:]
    for node in nodes:
        layer = node.op == "call_module"
        if not (layer or (node.op.startswith("call_") and node.target in (operator.add, "add"))):
            continue  # nirtorch refuses other operations
        signals = node.args[:1] if layer else node.args
        states = set(node.all_input_nodes) - {arg for arg in signals if isinstance(arg, fx.Node)}
        if (
            not signals
            or not all(_is_signal(arg, extra) for arg in signals)
            or any(_is_signal(arg, extra) for arg in states)
        ):
            raise ValueError(
                f"to_nir: network must hand on its one input and outputs of its layers, got {node.format_node()}"
            )
    returned = [node for node in nodes[-1].all_input_nodes if not _is_state(node)]
    if len(returned) != 1 or not returned[0].op.startswith("call_"):
        raise ValueError(
            "to_nir: network must return one output, that of a layer, and states, "
            f"got {', '.join(node.name for node in returned) or 'none'}"
        )


def _check_layers(
    network: nn.Module, known: tuple[type[nn.Module], ...], nodes: list[fx.Node]
) -> None:
    """Each layer of a known class and called once."""
    for target, calls in Counter(n.target for n in nodes if n.op == "call_module").items():
        layer = network.get_submodule(str(target))
        if type(layer) not in known:
            raise TypeError(refusal(layer, known))
        if calls > 1:
            raise ValueError(
                f"to_nir: network must call each layer once, got {calls} calls of {target}; a layer has one state"
            )


def _is_signal(arg: Any, extra: list[fx.Node]) -> bool:
    return (
        isinstance(arg, fx.Node)
        and arg.op != "get_attr"
        and arg not in extra
        and not _is_state(arg)
    )


def _is_state(node: fx.Node) -> bool:
    return bool(node.target is operator.getitem and node.args[1] != 0)


def refusal(layer: nn.Module, known: tuple[type[nn.Module], ...]) -> str:
    """Why a layer cannot be written, and what to do."""
    names = [cls.__name__ for cls in type(layer).__mro__]
    who, reason = names[0], _reason(names[:1])
    if reason is None and isinstance(layer, known):
        return (
            f"to_nir: {who} must be one of the known classes itself, got a subclass, which may compute something else; "
            "export a network with the class itself"
        )
    return f"to_nir: {who} cannot be written: {reason or _reason(names) or _KNOWN}"


def _reason(names: list[str]) -> str | None:
    return next((why for name in names for key, why in _REASONS.items() if key in name), None)
