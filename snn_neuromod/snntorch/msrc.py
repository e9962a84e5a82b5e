"""mSRC in snnTorch's form."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NoReturn, overload

from torch import Tensor

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.layers.parameters import Value
from snn_neuromod.snntorch.src_family import SRCFamily


class MSRC(SRCFamily):
    r"""Neuromodulable SRC in snnTorch's form; equations in `snn_neuromod.dynamics.msrc`.

    `spk, syn, h_s, h = msrc(input_, syn, h_s, h)`: synapse, slow variable, membrane. The modulation sets the type of
    excitability; `msrc(..., modulation=m)` replaces it at one step, so that another network can give it.

    What differs from the layer `snn_neuromod.MSRC`, so that it stands in the place of a `snntorch.Leaky`:

    | here | in the layer | reason |
    |---|---|---|
    | `b=1` | 0, the source's | a constant current: at 0 the first spike needs two thirds of the bounded drive |
    | `z_hyp=0.7` | 0.9, the source's | it recovers within 25 steps several times, not twice |
    | gradient of the membrane $\sqrt{1 - h^2}$ | $1 - h^2$ | at rest, $h$ near -1, the tanh passes a thousandth |

    Args:
        num_neurons: Number of neurons; None for inputs of any shape, with parameters that all neurons share.
        modulation: Modulation, which sets the type of excitability. A number, one per neuron, or a distribution to
            draw it from.
        learn_modulation: Learn it.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        wide_surrogate: The gradient of the membrane by what is in its tanh is $\sqrt{1 - h^2}$; False: the tanh's own,
            as also without `detach_recurrence` or with `surrogate_disable`.
        start: Common value of h and h_s before the first step, in [-1, 1].
        learn: Names of further parameters that are learned.
        detach_recurrence: Gradient of the source, which training needs: none through h and h_s of the step before.
        surrogate_disable: ReLU's own derivative at the output instead of the source's identity.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron with the highest membrane emits its spike; inputs are (batch, neuron).
        state_quant: Quantiser of the membrane, from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes.
        learn_graded_spikes_factor: Learn it.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If a keyword of snnTorch's is passed that has no meaning here.

    Examples:
        >>> import torch
        >>> neuron = MSRC(num_neurons=20, learn_modulation=True)
        >>> spk, syn, h_s, h = neuron(torch.rand(8, 20))
        >>> spk, syn, h_s, h = neuron(torch.rand(8, 20), syn, h_s, h, modulation=torch.rand(8, 1))
        >>> [name for name, _ in neuron.named_parameters()]
        ['layer.modulation']
    """

    _input_scale = 2.0
    state_names = ("syn", "h_s", "h")
    _fields = ("i", "h_s", "h")

    def __init__(
        self,
        *,
        num_neurons: int | None = None,
        modulation: Value = 0.9,
        learn_modulation: bool = False,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 4.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.7,
        z_dep: Value = 0.0,
        b: Value = 1.0,
        wide_surrogate: bool = True,
        start: Value = -1.0,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        state_quant: Any = False,
        output: bool = False,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
        **meaningless: NoReturn,
    ) -> None:
        self._refuse(meaningless)
        layer = layers.MSRC(
            num_neurons, modulation=modulation, learn_modulation=learn_modulation, alpha=alpha, rho=rho, r=r, r_s=r_s,
            z=z, z_hyp=z_hyp, z_dep=z_dep, b=b, start=start, learn=learn, detach_recurrence=detach_recurrence,
            straight_through=not surrogate_disable,
        )  # fmt: skip
        super().__init__(
            layer,
            surrogate_disable,
            init_hidden,
            inhibition,
            state_quant,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
        )
        self.wide_surrogate = wide_surrogate

    if TYPE_CHECKING:

        @overload
        def __call__(self, input_: Tensor, *, modulation: Tensor | None = None) -> Tensor: ...
        @overload
        def __call__(
            self, input_: Tensor, *states: Tensor | None, **named: Tensor | None
        ) -> tuple[Tensor, ...]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def forward(
        self,
        input_: Tensor,
        *states: Tensor | None,
        modulation: Tensor | None = None,
        **named: Tensor | None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Advance by one time step, as `Neuron.forward`.

        Args:
            input_: Weighted input, (batch, ..., neuron), floating point.
            *states: State after the step before, in the order of `state_names`; all or none.
            modulation: Replaces the neuron's modulation at this step; broadcastable to `input_`.
            **named: States by name.

        Returns:
            The spikes and the state, membrane last; the spikes alone with `init_hidden=True` and `output=False`.

        Raises:
            TypeError: If some states are missing, any is passed with `init_hidden=True`, or the input is not floating
                point.
            ValueError: If a state has another shape than the input, or the modulation does not broadcast to it.
        """
        return self._call(input_, states, named, modulation=modulation)
