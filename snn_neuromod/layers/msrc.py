"""Layer of neuromodulable SRCs, mSRC."""

from __future__ import annotations

from collections.abc import Collection

from snn_neuromod.dynamics.msrc import Params, State
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.parameters import Value
from snn_neuromod.layers.src_family import Modulated, with_modulation


class MSRC(Modulated[State, Params]):
    r"""Neuromodulable SRC; equations in `snn_neuromod.dynamics.msrc`.

    One parameter, the modulation $h_{s0}$, sets the type of excitability: about 1.5 type 2, about 0.9 type 1, about 0.5
    type 2* (delayed first spike and hysteresis). Dimensionless; one step is the unit of time.

    Args:
        num_neurons: Number of neurons N; None for inputs of any shape.
        modulation: Modulation, which sets the type of excitability. A number, one per neuron, or a distribution for a
            heterogeneous layer; may be given per step in the call instead.
        learn_modulation: Learn it, one per neuron.
        alpha: Decay of the synapse per step, in [0, 1]; 0 has no memory.
        rho: Bound of the drive, > 0; inf for none. With 3 and no bias a neuron at rest never spikes at modulations
            below about 0.57 (type 2*) and above 1.2 (type 2), whose onset exceeds it (3.4 at 0.5, 4.92 at 1.5): raise
            rho there.
        r: Fast positive feedback.
        r_s: Slow feedback.
        z: Membrane update gate, in [0, 1).
        z_hyp: Gate of the slow variable at rest, in [0, 1).
        z_dep: Gate of the slow variable during a spike, in [0, 1).
        b: Bias.
        start: Common value of h and h_s before the first step, in [-1, 1]; -1 is rest.
        learn: Names of further parameters that are learned, one value per neuron (a 0-d tensor: one for all).
        detach_recurrence: Gradient of the SRC's source: none through h and h_s of the step before. Training fails
            without it.
        straight_through: Gradient of the SRC's source: identity through the output's ReLU.
        delay: Delay of the spikes that a `Recurrent` around the layer feeds back, in steps >= 1: one number or one per
            neuron.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If a parameter is outside its range or of a wrong shape, or `learn` names an unknown one, or one of
            the slow gates while the recurrence is detached, which leaves them without a gradient.

    Examples:
        >>> import torch
        >>> from snn_neuromod import Uniform
        >>> layer = MSRC(10, modulation=Uniform(0.4, 1.6), learn_modulation=True)
        >>> spikes, state = layer(3 * torch.rand(50, 8, 10))  # (T, batch, neuron)
        >>> spikes.sum().backward()
        >>> layer.modulation.grad.shape
        torch.Size([10])
    """

    dynamics_name = "msrc"

    def __init__(
        self,
        num_neurons: int | None,
        *,
        modulation: Value = 0.9,
        learn_modulation: bool = False,
        alpha: Value = 0.9,
        rho: Value = 3.0,
        r: Value = 4.0,
        r_s: Value = -7.0,
        z: Value = 0.0,
        z_hyp: Value = 0.9,
        z_dep: Value = 0.0,
        b: Value = 0.0,
        start: Value = -1.0,
        learn: Collection[str] = (),
        detach_recurrence: bool = True,
        straight_through: bool = True,
        delay: Delay = 1,
        backend: Backend | None = None,
    ) -> None:
        values = {
            "alpha": alpha, "rho": rho, "r": r, "r_s": r_s, "z": z, "z_hyp": z_hyp, "z_dep": z_dep, "b": b,
            "modulation": modulation,
        }  # fmt: skip
        learn = with_modulation(learn, learn_modulation)
        super().__init__(
            num_neurons, values, learn, start, detach_recurrence, straight_through, delay, backend
        )
