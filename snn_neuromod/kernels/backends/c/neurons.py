"""Which sequences the kernels in `kernels/c` can serve: their neurons, arguments and options."""

from __future__ import annotations

from typing import NamedTuple

import torch

from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.neurons import Neuron

MARK = 16
"""As in the C sources: steps between two kept states where the others are found again from the spikes."""

_PSI = {"shape", "gamma", "width", "scale", "refractory", "at_spike"}


class Kernel(NamedTuple):
    """A neuron's kernels.

    Attributes:
        name: First part of the functions' names.
        structure: Their arguments, as the sources name them.
        options: The neuron's options that they know.
        learned: The parameters whose gradient they know.
        recurrent: Whether they know recurrent weights.
        every: The states that the forward pass keeps for the backward pass, and every how many steps.
        membrane: Place of the one state whose past they can follow alone; None: they follow that of all.
    """

    name: str
    structure: str
    options: set[str]
    learned: set[str]
    recurrent: bool
    every: dict[str, int]
    membrane: int | None = None

    def kept(self, neuron: Neuron) -> dict[str, int]:
        """States kept for the backward pass, and every how many steps."""
        unread = set() if neuron.options.get("refractory") else {"held"}
        return {name: steps for name, steps in self.every.items() if name not in unread}


_ALIF_OPTIONS = {"psi", "refractory", "detach_reset"}
_ALIF = Kernel(
    "alif",
    "ALIF",
    _ALIF_OPTIONS | {"reset"},
    {"alpha", "rho", "beta", "v_th"},
    True,
    {"v": 1, "a": MARK, "held": MARK},
    membrane=0,
)

KERNELS = {
    "alif": _ALIF,
    "stdp_alif": _ALIF._replace(options=_ALIF_OPTIONS),
    "izhikevich": Kernel(
        "izhikevich",
        "IZHIKEVICH",
        {"psi", "detach_reset", "clip_jacobian"},
        {"a", "b", "c", "d"},
        True,
        {"v": 1, "u": MARK},
        membrane=0,
    ),
}


def unable(call: Call) -> str | None:
    """Why the kernels cannot serve a sequence, None if they can."""
    neuron, current = call.neuron, call.current
    kernel = KERNELS.get(neuron.name)
    if kernel is None:
        return f"there is no kernel of a {neuron.name}"
    if current.device.type != "cpu" or current.dtype not in (torch.float32, torch.float64):
        return f"the input must be float32 or float64 on the CPU, got {current.dtype} on {current.device}"
    psi = neuron.options.get("psi")
    unknown = neuron.options.keys() - kernel.options
    if psi is not None and not _PSI.issuperset(vars(psi)):
        unknown |= vars(psi).keys() - _PSI
    if unknown:
        return f"the kernel of {neuron.name} does not know {', '.join(sorted(unknown))}"
    if call.recurrent and not kernel.recurrent:
        return f"the kernel of {neuron.name} does not know recurrent weights"
    if call.paths.states is not None and call.paths.states != (kernel.membrane,):
        return f"the kernel of {neuron.name} cannot follow the past of these states alone"
    for name, p, need in zip(neuron.module.Params._fields, call.params, call.needed, strict=True):
        if p.ndim >= current.ndim:
            return f"the kernel of {neuron.name} does not know {name} per step"
        if p.ndim > 1 and call.recurrent:
            return "the kernels with recurrent weights do not know parameters per sample"
        if need and name not in kernel.learned:
            return f"the kernel of {neuron.name} gives no gradient of {name}"
    return None if library.load()[0] is not None else f"its library is {library.load()[1]}"
