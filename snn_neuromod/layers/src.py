"""Layer of Spiking Recurrent Cells, SRC."""

from __future__ import annotations

import math
from collections.abc import Collection

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.src import Params, State
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Uniform, Value
from snn_neuromod.layers.src_family import SRCFamily


class SRC(SRCFamily[State, Params]):
    r"""Spiking Recurrent Cell; equations in `snn_neuromod.dynamics.src`.

    Every quantity is dimensionless and one step is the unit of time. The input is the weighted current W s.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        b_max: Upper bound of the bias, kept in the forward pass; None for none.
        start: Common value of h and h_s before the first step, in [-1, 1]; by default drawn once per neuron, as in the
            source, from U(-0.7, -0.1), and saved with the layer.
        learn: Names of the parameters alpha to b that are learned: a number becomes one value per neuron, a 0-d tensor
            stays one for all.
        detach_recurrence: Gradient of the source: none through h and h_s of the step before, only through the synapse.
            Training fails without it; False is backpropagation without approximation.
        straight_through: Gradient of the source: identity through the output's ReLU.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1: one number or one per
            neuron.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> layer = SRC(10, learn=["b"])
        >>> spikes, state = layer(3 * torch.rand(50, 8, 10))  # (T, batch, neuron)
        >>> spikes.shape, state.h.shape
        (torch.Size([50, 8, 10]), torch.Size([8, 10]))
    """

    dynamics_name = "src"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 2.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        b: Value = -6.0,
        b_max: float | None = -4.0,
        start: Value | None = None,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
        delay: Delay = 1,
        backend: Backend | None = None,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "z": z, "z_hyp": z_hyp, "z_dep": z_dep, "b": b,
        }  # fmt: skip
        if start is None:
            start = -0.4 if num_neurons is None else Uniform(-0.7, -0.1)
        ranges = (
            {}
            if b_max is None
            else {"b": Range(-math.inf, b_max, fix="; pass a higher b_max, or None")}
        )
        super().__init__(
            num_neurons,
            values,
            learn,
            start,
            detach_recurrence,
            straight_through,
            delay,
            backend,
            ranges,
        )
