"""A neuron of one's own in snnTorch's form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.traits import Dynamics, traits
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import Value
from snn_neuromod.snntorch.src_family import AroundLayer


class Custom(AroundLayer):
    r"""A neuron of your own in snnTorch's form, given by the equations of one step; see `snn_neuromod.Custom`.

    `spk, *states = neuron(input_, *states)`: the fields of its `State` in their order, but the membrane last, as
    snnTorch has it. The membrane is the last that `MEMBRANE` of the neuron names, else the first field.

    Args:
        dynamics: The neuron's equations, or the name of a module that can be imported.
        num_neurons: Number of neurons; None for inputs of any shape, with parameters that all neurons share.
        params: Values in the place of the defaults of `Params`.
        options: Keyword arguments of `step`.
        ranges: Ranges of parameters, in which those that are learned are kept.
        learn: Names of the parameters that are learned.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron with the highest membrane emits its spike; inputs are (batch, neuron).
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes.
        learn_graded_spikes_factor: Learn it.

    Raises:
        TypeError: If `dynamics` lacks one of its parts.
        ValueError: If a parameter is unknown, missing or outside its range, `step` is not elementwise, or a state has
            the name of something else that the module has.

    Examples:
        >>> import torch
        >>> neuron = Custom("snn_neuromod.dynamics.alif", init_hidden=True)
        >>> bool(torch.stack([neuron(x) for x in torch.ones(9, 1, 3).unbind(0)]).any())
        True
        >>> neuron.state_names
        ('a', 'z', 'held', 'v')
    """

    _meaningless: ClassVar[Mapping[str, str]] = {
        "reset_mechanism": "its reset belongs to its step",
    }

    def __init__(
        self,
        dynamics: str | Dynamics[Any, Any],
        *,
        num_neurons: int | None = None,
        params: Mapping[str, Value] | None = None,
        options: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Range] | None = None,
        learn: Collection[str] = (),
        init_hidden: bool = False,
        inhibition: bool = False,
        output: bool = False,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
    ) -> None:
        layer = layers.Custom(
            num_neurons, dynamics, params=params, options=options, ranges=ranges, learn=learn
        )
        found = traits(layer.dynamics)
        membrane = found.membrane[-1]
        names = (*(n for n in layer.dynamics.State._fields if n != membrane), membrane)
        taken = [n for n in names if hasattr(type(self), n) or n in ("layer", "threshold")]
        if taken:
            raise ConfigError(
                f"{type(self).__name__}: a state must not be called {taken[0]}, got {', '.join(names)}; rename it"
            )
        self.__dict__.update(state_names=names, _fields=names, spike_level=found.spike_level or 0.0)
        super().__init__(
            layer,
            False,
            init_hidden,
            inhibition,
            False,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
        )
