"""States in Norse's form: one class for each neuron, alone and recurrent; `.to()` moves and converts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, NamedTuple

from torch import Tensor

from snn_neuromod.dynamics.traits import S
from snn_neuromod.layers import Custom, Layer


def _moved(state: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    for field in state:
        if isinstance(field, tuple) and not hasattr(field, "to"):
            yield type(field)(*_moved(field, *args, **kwargs))
        else:
            yield field.to(*args, **kwargs)


class ALIFState(NamedTuple):
    """State of ALIF neurons.

    Attributes:
        v: Membrane.
        a: Adaptation.
        z: Spikes.
        held: Refractory steps left.
    """

    v: Tensor
    a: Tensor
    z: Tensor
    held: Tensor

    def to(self, *args: Any, **kwargs: Any) -> ALIFState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return ALIFState(*_moved(self, *args, **kwargs))


class STDPALIFState(NamedTuple):
    """State of STDP-ALIF neurons; fields as of `ALIFState`."""

    v: Tensor
    a: Tensor
    z: Tensor
    held: Tensor

    def to(self, *args: Any, **kwargs: Any) -> STDPALIFState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return STDPALIFState(*_moved(self, *args, **kwargs))


class IzhikevichState(NamedTuple):
    """State of Izhikevich neurons.

    Attributes:
        v: Membrane, mV.
        u: Recovery, mV.
        z: Spikes.
    """

    v: Tensor
    u: Tensor
    z: Tensor

    def to(self, *args: Any, **kwargs: Any) -> IzhikevichState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return IzhikevichState(*_moved(self, *args, **kwargs))


class SRCState(NamedTuple):
    """State of SRC neurons.

    Attributes:
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
    """

    i: Tensor
    h: Tensor
    h_s: Tensor

    def to(self, *args: Any, **kwargs: Any) -> SRCState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return SRCState(*_moved(self, *args, **kwargs))


class MSRCState(NamedTuple):
    """State of mSRC neurons; fields as of `SRCState`."""

    i: Tensor
    h: Tensor
    h_s: Tensor

    def to(self, *args: Any, **kwargs: Any) -> MSRCState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return MSRCState(*_moved(self, *args, **kwargs))


class BSRCState(NamedTuple):
    """State of BSRC neurons.

    Attributes:
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
        h_u: Ultra-slow variable.
    """

    i: Tensor
    h: Tensor
    h_s: Tensor
    h_u: Tensor

    def to(self, *args: Any, **kwargs: Any) -> BSRCState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return BSRCState(*_moved(self, *args, **kwargs))


class ALIFRecurrentState(NamedTuple):
    """State of recurrent ALIF neurons.

    Attributes:
        v: Membrane.
        a: Adaptation.
        z: Spikes.
        held: Refractory steps left.
    """

    v: Tensor
    a: Tensor
    z: Tensor
    held: Tensor

    def to(self, *args: Any, **kwargs: Any) -> ALIFRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return ALIFRecurrentState(*_moved(self, *args, **kwargs))


class STDPALIFRecurrentState(NamedTuple):
    """State of recurrent STDP-ALIF neurons; fields as of `ALIFRecurrentState`."""

    v: Tensor
    a: Tensor
    z: Tensor
    held: Tensor

    def to(self, *args: Any, **kwargs: Any) -> STDPALIFRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return STDPALIFRecurrentState(*_moved(self, *args, **kwargs))


class IzhikevichRecurrentState(NamedTuple):
    """State of recurrent Izhikevich neurons.

    Attributes:
        v: Membrane, mV.
        u: Recovery, mV.
        z: Spikes.
    """

    v: Tensor
    u: Tensor
    z: Tensor

    def to(self, *args: Any, **kwargs: Any) -> IzhikevichRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return IzhikevichRecurrentState(*_moved(self, *args, **kwargs))


class SRCRecurrentState(NamedTuple):
    """State of recurrent SRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor

    def to(self, *args: Any, **kwargs: Any) -> SRCRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return SRCRecurrentState(*_moved(self, *args, **kwargs))


class MSRCRecurrentState(NamedTuple):
    """State of recurrent mSRC neurons; fields as of `SRCRecurrentState`."""

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor

    def to(self, *args: Any, **kwargs: Any) -> MSRCRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return MSRCRecurrentState(*_moved(self, *args, **kwargs))


class BSRCRecurrentState(NamedTuple):
    """State of recurrent BSRC neurons.

    Attributes:
        z: Graded spikes.
        i: Synapse.
        h: Membrane.
        h_s: Slow variable.
        h_u: Ultra-slow variable.
    """

    z: Tensor
    i: Tensor
    h: Tensor
    h_s: Tensor
    h_u: Tensor

    def to(self, *args: Any, **kwargs: Any) -> BSRCRecurrentState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return BSRCRecurrentState(*_moved(self, *args, **kwargs))


class DelayedState(NamedTuple):
    """State of recurrent neurons whose spikes come back later than after one step.

    Attributes:
        z: Spikes.
        earlier: Spikes of the steps before, which longer delays read, (longest delay - 1, batch, neuron), oldest first.
        neuron: State of the neurons, such as `ALIFState`.
    """

    z: Tensor
    earlier: Tensor
    neuron: Any

    def to(self, *args: Any, **kwargs: Any) -> DelayedState:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return DelayedState(*_moved(self, *args, **kwargs))


class CustomRecurrentState(NamedTuple, Generic[S]):
    """State of recurrent neurons of one's own.

    Attributes:
        z: Spikes.
        neuron: The neuron's `State`.
    """

    z: Tensor
    neuron: S

    def to(self, *args: Any, **kwargs: Any) -> CustomRecurrentState[S]:
        """The state on another device or of another type, as `torch.Tensor.to`."""
        return CustomRecurrentState(*_moved(self, *args, **kwargs))


_ALONE: dict[str, Any] = {
    "alif": ALIFState,
    "stdp_alif": STDPALIFState,
    "izhikevich": IzhikevichState,
    "src": SRCState,
    "msrc": MSRCState,
    "bsrc": BSRCState,
}
_RECURRENT: dict[str, Any] = {
    "alif": ALIFRecurrentState,
    "stdp_alif": STDPALIFRecurrentState,
    "izhikevich": IzhikevichRecurrentState,
    "src": SRCRecurrentState,
    "msrc": MSRCRecurrentState,
    "bsrc": BSRCRecurrentState,
}


def alone(p: Layer, state: Any) -> Any:
    """A layer's state under its name in Norse's form.

    Args:
        p: The layer.
        state: Its state.
    """
    return state if isinstance(p, Custom) else _ALONE[p.dynamics_name](*state)


def of_layer(p: Layer, state: Any) -> Any:
    """The layer's part of a recurrent state, which may hold spikes that the layer keeps none of.

    Args:
        p: The layer.
        state: A recurrent state.
    """
    kind = p.dynamics.State
    if isinstance(state, DelayedState | CustomRecurrentState):
        return kind(*state.neuron)
    return kind(*(getattr(state, name) for name in kind._fields))


def recurrent(p: Layer, spikes: Tensor, state: Any, earlier: Tensor | None = None) -> Any:
    """A recurrent state.

    Args:
        p: The layer.
        spikes: Spikes of the last step.
        state: The layer's state.
        earlier: Spikes before them; None for delays of one step.
    """
    if earlier is not None:
        return DelayedState(spikes, earlier, alone(p, state))
    if isinstance(p, Custom):
        return CustomRecurrentState(spikes, state)
    return _RECURRENT[p.dynamics_name](**{"z": spikes, **state._asdict()})
