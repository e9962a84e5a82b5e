"""SRC in snnTorch's form."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NoReturn

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.layers.parameters import Value
from snn_neuromod.snntorch.src_family import SRCFamily


class SRC(SRCFamily):
    r"""Spiking Recurrent Cell in snnTorch's form; equations in `snn_neuromod.dynamics.src`.

    `spk, syn, h_s, h = src(input_, syn, h_s, h)`: synapse, slow variable, membrane. Spikes are graded; a neuron is said
    to spike where h > 0.5. It has neither threshold nor reset; the constructor takes keywords only.

    What differs from the layer `snn_neuromod.SRC`, so that it stands in the place of a `snntorch.Leaky`:

    | here | in the layer | reason |
    |---|---|---|
    | `start=-0.9`, its rest | near -0.4, the source's | from there its first spike takes eight steps at any current |
    | `z_hyp=0.7` | 0.9, the source's | it recovers within 25 steps several times, not twice |

    Args:
        num_neurons: Number of neurons; None for inputs of any shape, with parameters that all neurons share.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        b_max: Upper bound of the bias; None for none.
        start: Common value of h and h_s before the first step, in [-1, 1]; None: -0.4, or drawn once per neuron from
            U(-0.7, -0.1) where `num_neurons` is given.
        learn: Names of the parameters above that are learned.
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
        >>> neuron = SRC(init_hidden=True)
        >>> bool((torch.stack([neuron(x) for x in torch.full((50, 1, 3), 2.0).unbind(0)]) > 0.5).any())
        True
    """

    _input_scale = 2.0
    state_names = ("syn", "h_s", "h")
    _fields = ("i", "h_s", "h")

    def __init__(
        self,
        *,
        num_neurons: int | None = None,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 2.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.7,
        z_dep: Value = 0.0,
        b: Value = -6.0,
        b_max: float | None = -4.0,
        start: Value | None = -0.9,
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
        layer = layers.SRC(
            num_neurons, alpha=alpha, rho=rho, r=r, r_s=r_s, z=z, z_hyp=z_hyp, z_dep=z_dep, b=b, b_max=b_max,
            start=start, learn=learn, detach_recurrence=detach_recurrence, straight_through=not surrogate_disable,
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
