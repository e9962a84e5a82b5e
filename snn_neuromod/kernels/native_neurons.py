"""Which calls the kernels in `kernels/c` can serve: their neurons, arguments and options."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels import native_src
from snn_neuromod.kernels.library import Structure, load, structure
from snn_neuromod.kernels.neurons import Neuron

MARK = 16
"""As in the C sources: steps between two kept states where the others are found again from the spikes."""

_PSI = {"shape", "gamma", "width", "scale", "refractory", "at_spike"}
_SIZES = "num_steps rows num threads "
_SYNAPSES = "w_from w past groups sources "


class Kernel(NamedTuple):
    """A neuron's kernels.

    Attributes:
        name: First part of the functions' names.
        arguments: Their arguments.
        options: The neuron's options that they know.
        learned: The parameters whose gradient they know.
        recurrent: Whether they know recurrent weights.
        every: The states that the forward pass keeps for the backward pass, and every how many steps.
        per_step: The parameters that may be given per step.
    """

    name: str
    arguments: type[Structure]
    options: set[str]
    learned: set[str]
    recurrent: bool
    every: dict[str, int]
    per_step: frozenset[str] = frozenset()


_ALIF = structure(
    _SIZES + "subtracts empties stdp refractory detach_reset shape",
    "at_spike while_held",
    "alpha rho beta v_th scale inverse_width current z_first "
    + _SYNAPSES
    + "v_state a_state held_state spikes v a "
    "held grad_spikes grad_current grad_v grad_a grad_z grad_alpha grad_rho grad_beta grad_v_th",
)
_IZHIKEVICH = structure(
    _SIZES + "detach_reset shape",
    "at_spike clip",
    "a b c d dt scale inverse_width current z_first "
    + _SYNAPSES
    + "v_state u_state spikes v u grad_spikes "
    "grad_current grad_v grad_u grad_z grad_a grad_b grad_c grad_d",
)
_LEAKY = structure(
    _SIZES + "normalise",
    "",
    "kappa share current first output grad_output grad_current grad_y grad_kappa",
)
_ALIF_PARAMS = {"alpha", "rho", "beta", "v_th"}
_ALIF_OPTIONS = {"psi", "refractory", "detach_reset"}
_ALIF_EVERY = {"v": 1, "a": MARK, "held": MARK}


def _src(states: str) -> Kernel:
    return Kernel(
        "src",
        native_src.ARGUMENTS,
        {"straight_through", "detach_recurrence"},
        set(native_src.PARAMS),
        False,
        dict.fromkeys(states.split(), MARK),
        frozenset({"h_s0"}),
    )


NEURONS = {
    "src": _src("i h h_s"),
    "msrc": _src("i h h_s"),
    "bsrc": _src("i h h_s h_u"),
    "alif": Kernel("alif", _ALIF, _ALIF_OPTIONS | {"reset"}, _ALIF_PARAMS, True, _ALIF_EVERY),
    "stdp_alif": Kernel("alif", _ALIF, _ALIF_OPTIONS, _ALIF_PARAMS, True, _ALIF_EVERY),
    "izhikevich": Kernel(
        "izhikevich",
        _IZHIKEVICH,
        {"psi", "detach_reset", "clip_jacobian"},
        {"a", "b", "c", "d"},
        True,
        {"v": 1, "u": MARK},
    ),
    "leaky_integrator": Kernel("leaky", _LEAKY, {"normalise"}, {"kappa"}, False, {}),
}


def status() -> str:
    """Whether the library serves, and why not."""
    return load()[1]


def unable(
    neuron: Neuron,
    current: Tensor,
    params: list[Tensor],
    recurrent: list[Tensor],
    delays: list[int],
    needed: list[bool],
) -> str | None:
    """Why the kernels cannot serve a call, None if they can; arguments as of `backends.choose`."""
    name = name_of(neuron)
    kernel = NEURONS.get(name)
    if kernel is None:
        return f"there is no kernel of {name}"
    if current.device.type != "cpu" or current.dtype not in (torch.float32, torch.float64):
        return f"the input must be float32 or float64 on the CPU, got {current.dtype} on {current.device}"
    tensors = [*params, *recurrent]
    if any(x.dtype != current.dtype or x.device.type != "cpu" for x in tensors):
        return "parameters and weights must have the dtype and device of the input"
    psi = neuron.options.get("psi")
    unknown = set(neuron.options) - kernel.options
    if psi is not None:
        unknown |= set(vars(psi)) - _PSI
    if unknown:
        return f"the kernel of {name} does not know {', '.join(sorted(unknown))}"
    if recurrent and not kernel.recurrent:
        return f"the kernel of {name} does not know recurrent weights"
    fields = neuron.module.Params._fields
    per_step = {f for f, p in zip(fields, params, strict=True) if p.ndim >= current.ndim}
    if per_step - kernel.per_step:
        return f"the kernel of {name} does not know {', '.join(sorted(per_step - kernel.per_step))} per step"
    if recurrent and any(p.ndim > 1 for p in params):
        return "the kernels with recurrent weights do not know parameters per sample"
    learned = {field for field, need in zip(fields, needed, strict=True) if need}
    if learned - kernel.learned:
        return f"the kernel of {name} gives no gradient of {', '.join(sorted(learned - kernel.learned))}"
    return None if load()[0] is not None else f"its library is {load()[1]}"


def name_of(neuron: Neuron) -> str:
    """The neuron's key in `NEURONS`, if it is there."""
    return str(neuron.module.__name__).rpartition(".")[2]
