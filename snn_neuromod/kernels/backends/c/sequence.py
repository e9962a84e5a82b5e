"""Sequences run by the kernels in `kernels/c`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c.library import call as call_kernel
from snn_neuromod.kernels.backends.c.neurons import KERNELS
from snn_neuromod.kernels.backends.c.recurrence import wiring
from snn_neuromod.kernels.call import Call
from snn_neuromod.surrogate import Psi

_SHAPES = ("triangular", "exponential", "boxcar", "fast_sigmoid", "gaussian", "arctan")


def kept(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps, (T // every + 1, batch, ..., neuron)."""
    if not call.keep:
        return {}
    steps, current = call.current.shape[0], call.current
    return {
        name: current.new_empty(steps // every + 1, *current.shape[1:])
        for name, every in KERNELS[call.neuron.name].kept(call.neuron).items()
    }


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence.

    Returns:
        spikes: (T, batch, ..., neuron).
        state: State after the last step.
        kept: What `backward` reads.
    """
    tracks, spikes = (
        kept(call),
        torch.empty_like(call.current, memory_format=torch.contiguous_format),
    )
    current = call.current.contiguous()
    fields = call.neuron.module.State._fields
    last = {
        name: s.clone(memory_format=torch.contiguous_format)
        for name, s in zip(fields, call.state, strict=True)
        if name != "z"
    }
    if "v" in tracks:
        tracks["v"][0] = last["v"]
    given: dict[str, Tensor | None] = {f"{name}_state": s for name, s in last.items()}
    if call.recurrent:
        given |= _synapses(call, "w_from", back=False)
    _run("forward", call, {"current": current, "spikes": spikes, **given, **tracks})
    if "v" in tracks:
        last["v"] = tracks["v"][-1].clone()
    last["z"] = spikes[-1].clone()
    return spikes, [last[name] for name in fields], [*tracks.values()]


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence, those of its synapses left out.

    Args:
        call: The sequence; its input is read by neurons that read it, `Neuron.reads_input`.
        grad_spikes: (T, batch, ..., neuron).
        grad_state: Gradient of the last state, None where it is zero.
        spikes: What `forward` returned.
        tracks: What it kept.

    Returns:
        The gradients of the input, of each parameter that needs one, and of the first state.
    """
    kernel, fields = KERNELS[call.neuron.name], call.neuron.module.State._fields
    carry = [
        torch.zeros_like(s, memory_format=torch.contiguous_format)
        if grad is None
        else grad.expand_as(s).clone(memory_format=torch.contiguous_format)
        for s, grad in zip(call.state, grad_state, strict=True)
    ]
    grad_current = torch.empty_like(spikes)
    grads = [torch.zeros_like(spikes[0]) if need else None for need in call.needed]
    given: dict[str, Tensor | None] = {
        "grad_current": grad_current,
        **{f"grad_{name}": grad for name, grad in zip(fields, carry, strict=True)},
        **{f"grad_{name}": grad for name, grad in zip(call.params_by_name(), grads, strict=True)},
    }
    given |= {"grad_spikes": grad_spikes.contiguous(), "spikes": spikes}
    given |= dict(zip(kernel.kept(call.neuron), tracks, strict=True))
    if call.recurrent and call.paths.hops is None:
        given |= _synapses(call, "w", back=True)
    if "held" in fields:
        place = fields.index("held")
        given.pop("grad_held")
        carry[place].zero_()
        given["held_state"] = call.state[place].contiguous()
    _run("backward", call, given)
    return grad_current, _by_parameter(call, grads), carry


def _by_parameter(call: Call, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients per neuron and sample as those of the parameters."""
    return [
        None if grad is None else grad.sum_to_size(p.shape)
        for p, grad in zip(call.params, grads, strict=True)
    ]


def _run(direction: str, call: Call, tensors: Mapping[str, Tensor | None]) -> None:
    """Call a kernel of a neuron that is not of the SRC family."""
    neuron, kernel, shape = call.neuron, KERNELS[call.neuron.name], call.current.shape[1:]
    num, params = shape[-1], call.params
    if not call.recurrent and (num < 256 or any(p.ndim > 1 for p in params)):
        num = math.prod(shape)  # all samples as one row of neurons
        params = [p.expand(shape).reshape(-1) if p.ndim else p for p in params]
    given = {
        name: p if p.shape == (num,) and p.is_contiguous() else p.expand(num).contiguous()
        for name, p in zip(neuron.module.Params._fields, params, strict=True)
    }
    numbers: dict[str, float] = {
        "num_steps": call.current.shape[0],
        "rows": math.prod(shape) // num if num else 0,
        "num": num,
        "threads": torch.get_num_threads(),
    }
    options = neuron.options
    if "psi" in options:
        psi: Psi = options["psi"]
        numbers |= {"detach_reset": options["detach_reset"], "shape": _SHAPES.index(psi.shape)}
        numbers["at_spike"] = math.nan if psi.at_spike is None else psi.at_spike
        numbers["adapts"] = call.paths.states is None
        given["z_first"] = call.state[2].contiguous()
    if kernel.name == "alif":
        numbers |= _reset(call) | {"while_held": psi.refractory}
        given |= _scaled(psi, given["v_th"])
    else:
        clip = options.get("clip_jacobian")
        numbers["clip"] = math.inf if clip is None else clip
        given |= _scaled(psi, torch.full_like(given["dt"], neuron.module.PEAK))
    function = f"{kernel.name}_{direction}"
    call_kernel(function, kernel.structure, call.current.dtype, {**given, **tensors}, numbers)


def _reset(call: Call) -> dict[str, float]:
    """Form of the reset of an ALIF neuron, as flags of one equation."""
    stdp, reset = call.neuron.name == "stdp_alif", call.neuron.options.get("reset")
    return {
        "stdp": stdp,
        "subtracts": reset == "subtract",
        "empties": stdp or reset == "zero",
        "refractory": call.neuron.options["refractory"],
    }


def _scaled(psi: Psi, unit: Tensor) -> dict[str, Tensor]:
    scale = psi.gamma / unit if psi.scale == "threshold" else torch.full_like(unit, psi.gamma)
    return {"scale": scale, "inverse_width": 1 / (psi.width * unit)}


def _synapses(call: Call, weights: str, *, back: bool) -> dict[str, Tensor | None]:
    """Groups of synapses as the kernels take them."""
    found = wiring(call, back=back)
    return {
        "past": found.past,
        "groups": torch.tensor(found.groups),
        "sources": found.sources,
        weights: found.weights,
    }
