"""Layer of bursting SRCs, BSRC."""

from __future__ import annotations

from collections.abc import Collection

from snn_neuromod.dynamics.bsrc import Params, State
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Value
from snn_neuromod.layers.src_family import Modulated, with_modulation


class BSRC(Modulated[State, Params]):
    r"""Bursting SRC; equations in `snn_neuromod.dynamics.bsrc`.

    An mSRC with an ultra-slow variable that groups its spikes into bursts. A reconstruction: `h_u0` is not in the
    source. Dimensionless; one step is the unit of time.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        modulation: Modulation, which sets the type of excitability. A number, one per neuron, or a distribution; may be
            given per step in the call.
        learn_modulation: Learn it, one per neuron.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none.
        r: Fast positive feedback.
        r_s: Slow feedback.
        r_u: Ultra-slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        z_u: Gate of the ultra-slow variable, in [0, 1).
        b: Bias.
        h_u0: Offset of the ultra-slow feedback; an addition to the source.
        start: Common value of h and h_s before the first step, in [-1, 1]; -1 is rest.
        learn: Names of further parameters that are learned, one value per neuron (a 0-d tensor: one for all).
        detach_recurrence: Gradient of the SRC's source: none through h, h_s and h_u of the step before.
        straight_through: Gradient of the SRC's source: identity through the output's ReLU.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1: one number or one per
            neuron.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> layer = BSRC(1)
        >>> spikes, state = layer(torch.zeros(2000, 1, 1))  # bursts without any input
        >>> int(((spikes[1:] > 0.5) & (spikes[:-1] <= 0.5)).sum()) > 20
        True
    """

    dynamics_name = "bsrc"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        modulation: Value = 0.7,
        learn_modulation: bool = False,
        alpha: Value = 0.5,
        rho: Value = 3.0,
        r: Value = 4.0,
        r_s: Value = -7.0,
        r_u: Value = -8.5,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        z_u: Value = 0.999,
        b: Value = 0.0,
        h_u0: Value = 0.55,
        start: Value = -1.0,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
        delay: Delay = 1,
        backend: Backend | None = None,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "r_u": r_u, "z": z, "z_hyp": z_hyp, "z_dep": z_dep,
            "z_u": z_u, "b": b, "modulation": modulation, "h_u0": h_u0,
        }  # fmt: skip
        learn = with_modulation(learn, learn_modulation)
        super().__init__(
            num_neurons, values, learn, start, detach_recurrence, straight_through, delay, backend
        )
