"""The "c" backend: sequences run by the kernels in `kernels/c`, with the arguments and results of the eager form.

Gradients of the recurrent weights are summed event by event while spikes are rare, else they are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels import native_src
from snn_neuromod.kernels.delays import Synapses, past_gradient, synapses, weight_gradients
from snn_neuromod.kernels.library import call
from snn_neuromod.kernels.native_neurons import NEURONS, Kernel, name_of
from snn_neuromod.kernels.neurons import Neuron
from snn_neuromod.kernels.spikes import rare, weight_gradient
from snn_neuromod.surrogate import Psi

_SHAPES = ("triangular", "exponential", "boxcar", "fast_sigmoid", "gaussian", "arctan")


class _Call(NamedTuple):
    """One call of a kernel: sizes and tensors that forward and backward share."""

    neuron: Neuron
    kernel: Kernel
    dtype: torch.dtype
    numbers: dict[str, float]
    tensors: dict[str, Tensor | None]

    def run(self, direction: str, **tensors: Tensor | None) -> None:
        call(
            f"{self.kernel.name}_{direction}",
            self.kernel.arguments,
            self.dtype,
            {**self.tensors, **tensors},
            self.numbers,
        )


def _prepare(
    neuron: Neuron,
    current: Tensor,
    params: Sequence[Tensor],
    state: Sequence[Tensor],
    recurrent: Sequence[Tensor],
) -> _Call:
    """Sizes, options and parameters as the kernels take them."""
    kernel, shape = NEURONS[name_of(neuron)], current.shape[1:]
    num = shape[-1]
    if not recurrent and (num < 256 or any(p.ndim > 1 for p in params)):
        values = [p.expand(shape).reshape(-1) for p in params]  # all samples as one row of neurons
        num = math.prod(shape)
    else:
        values = [p.expand(num) for p in params]
    given = dict(zip(neuron.module.Params._fields, values, strict=True))
    numbers: dict[str, float] = {
        "num_steps": current.shape[0],
        "rows": math.prod(shape) // num if num else 0,
        "num": num,
        "threads": torch.get_num_threads(),
    }
    tensors = dict(given)
    options = neuron.options
    if "psi" in options:
        psi: Psi = options["psi"]
        numbers |= {"detach_reset": options["detach_reset"], "shape": _SHAPES.index(psi.shape)}
        numbers["at_spike"] = math.nan if psi.at_spike is None else psi.at_spike
        tensors["z_first"] = state[2]
    if kernel.name == "alif":
        numbers |= _reset(neuron) | {"while_held": psi.refractory}
        tensors |= _scaled(psi, given["v_th"])
    elif kernel.name == "izhikevich":
        clip = options.get("clip_jacobian")
        numbers["clip"] = math.inf if clip is None else clip
        tensors |= _scaled(psi, torch.full_like(given["dt"], neuron.module.PEAK))
    else:
        kappa = given["kappa"]
        numbers["normalise"] = options["normalise"]
        tensors["share"] = 1 - kappa if options["normalise"] else torch.ones_like(kappa)
        tensors["first"] = state[0]
    return _Call(
        neuron,
        kernel,
        current.dtype,
        numbers,
        {name: x.contiguous() for name, x in tensors.items()},
    )


def _reset(neuron: Neuron) -> dict[str, float]:
    """Form of the reset of an ALIF neuron, as flags of one equation."""
    stdp, reset = name_of(neuron) == "stdp_alif", neuron.options.get("reset")
    return {
        "stdp": stdp,
        "subtracts": reset == "subtract",
        "empties": stdp or reset == "zero",
        "refractory": neuron.options["refractory"],
    }


def _scaled(psi: Psi, unit: Tensor) -> dict[str, Tensor]:
    scale = psi.gamma / unit if psi.scale == "threshold" else torch.full_like(unit, psi.gamma)
    return {"scale": scale, "inverse_width": 1 / (psi.width * unit)}


def _every(neuron: Neuron) -> dict[str, int]:
    """States kept for the backward pass, and every how many steps."""
    every = dict(NEURONS[name_of(neuron)].every)
    if not neuron.options.get("refractory"):
        every.pop("held", None)
    return every


def new_tracks(neuron: Neuron, current: Tensor) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps, (T // every + 1, batch, ..., neuron)."""
    steps = current.shape[0]
    return {
        name: current.new_empty(steps // every + 1, *current.shape[1:])
        for name, every in _every(neuron).items()
    }


def made(neuron: Neuron, current: Tensor, tracks: Sequence[Tensor]) -> dict[str, Tensor] | None:
    """The tracks by name if these kernels wrote them, else None."""
    if name_of(neuron) not in NEURONS:
        return None
    every = _every(neuron)
    sizes = [current.shape[0] // steps + 1 for steps in every.values()]
    return dict(zip(every, tracks, strict=True)) if sizes == [len(x) for x in tracks] else None


def forward(
    neuron: Neuron,
    current: Tensor,
    params: list[Tensor],
    state: Sequence[Tensor],
    recurrent: list[Tensor],
    delays: Sequence[int],
    sources: Sequence[Tensor],
    spikes: Tensor,
    tracks: dict[str, Tensor],
) -> list[Tensor]:
    """Run a sequence.

    Args:
        neuron: The neuron.
        current: Input, (T, batch, ..., neuron).
        params: Parameters.
        state: State before the first step.
        recurrent: Spikes before the first step, (longest delay, batch, ..., neuron), and the recurrent weights of each
            delay, or nothing.
        delays: The distinct delays in steps.
        sources: The neurons that send with each delay, or nothing: all.
        spikes: Spikes of every step, written here.
        tracks: From `new_tracks`, or nothing if there will be no backward pass; written here.

    Returns:
        State after the last step.
    """
    if neuron.src_family:
        return native_src.forward(neuron, current, params, state, spikes, tracks)
    prepared = _prepare(neuron, current, params, state, recurrent)
    fields = neuron.module.State._fields
    if prepared.kernel.name == "leaky":
        prepared.run("forward", current=current.contiguous(), output=spikes)
        return [spikes[-1]]
    last = {
        name: s.clone(memory_format=torch.contiguous_format)
        for name, s in zip(fields, state, strict=True)
    }
    if "v" in tracks:
        tracks["v"][0] = last["v"]
    weights: dict[str, Tensor | None] = {}
    if recurrent:
        weights = _layout(recurrent, delays, _fewer(sources, spikes))
        weights["w_from"] = _joined([w.T for w in recurrent[1:]])
    running = {f"{name}_state": s for name, s in last.items() if name != "z"}
    prepared.run(
        "forward", current=current.contiguous(), spikes=spikes, **running, **tracks, **weights
    )
    last["z"] = spikes[-1]
    if "v" in tracks:
        last["v"] = tracks["v"][-1]
    return list(last.values())


def backward(
    neuron: Neuron,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    current: Tensor,
    params: list[Tensor],
    state: list[Tensor],
    recurrent: list[Tensor],
    delays: Sequence[int],
    sources: Sequence[Tensor],
    spikes: Tensor,
    tracks: dict[str, Tensor],
    through_time: bool,
    needed: list[bool],
) -> list[Tensor]:
    """Gradients of a sequence; arguments and results are those of the backward operator."""
    if neuron.src_family:
        return native_src.backward(
            neuron, grad_spikes, grad_state, current, params, state, tracks, needed
        )
    prepared = _prepare(neuron, current, params, state, recurrent)
    fields = neuron.module.State._fields
    carry = {
        f"grad_{name}": torch.zeros_like(s, memory_format=torch.contiguous_format)
        if grad is None
        else grad.expand_as(s).clone(memory_format=torch.contiguous_format)
        for name, s, grad in zip(fields, state, grad_state, strict=True)
    }
    grad_current = torch.empty_like(spikes)
    learned = {
        f"grad_{name}": torch.zeros_like(spikes[0])
        for name, need in zip(neuron.module.Params._fields, needed, strict=True)
        if need
    }
    extra: dict[str, Tensor | None] = {}
    if prepared.kernel.name == "leaky":
        names = ("grad_output", "output")
    else:
        names, sources = ("grad_spikes", "spikes"), _fewer(sources, spikes)
        groups = synapses(recurrent[1:], delays, sources) if recurrent else []
        if groups and through_time:
            extra = {**_layout(recurrent, delays, sources), "w": _joined(recurrent[1:])}
        if "held" in fields:
            carry["grad_held"].zero_()
            extra["held_state"] = state[fields.index("held")].contiguous()
    written = {name: grad for name, grad in carry.items() if name != "grad_held"}
    prepared.run(
        "backward",
        **dict(zip(names, (grad_spikes.contiguous(), spikes), strict=True)),
        current=current.contiguous(),
        grad_current=grad_current,
        **tracks,
        **written,
        **extra,
        **learned,
    )
    grad_params = [
        learned[f"grad_{name}"].sum_to_size(p.shape) if need else torch.zeros_like(p)
        for name, p, need in zip(neuron.module.Params._fields, params, needed, strict=True)
    ]
    grad_recurrent = []
    if recurrent:
        past = recurrent[0]
        through = groups if through_time else []
        grad_recurrent = [
            past_gradient(through, grad_current, past),
            *(_weight_gradient(group, grad_current, past, spikes) for group in groups),
        ]
    return [grad_current, *grad_params, *carry.values(), *grad_recurrent]


def _fewer(sources: Sequence[Tensor], spikes: Tensor) -> Sequence[Tensor]:
    """Nothing where all neurons send with every delay, which is faster than to pick them."""
    return sources if any(len(s) < spikes.shape[-1] for s in sources) else ()


def _layout(
    recurrent: Sequence[Tensor], delays: Sequence[int], sources: Sequence[Tensor]
) -> dict[str, Tensor | None]:
    """Groups of synapses as the kernels take them, without their weights."""
    past, *weights = recurrent
    sizes = [size for d, w in zip(delays, weights, strict=True) for size in (d, w.shape[1])]
    return {
        "past": past.contiguous(),
        "groups": torch.tensor([len(weights), len(past), *sizes]),
        "sources": torch.cat([*sources]) if sources else None,
    }


def _joined(weights: Sequence[Tensor]) -> Tensor:
    """All weights in one row, each matrix with rows of whole vectors of 64 bytes."""
    padded = [functional.pad(w, (0, -w.shape[1] % (64 // w.element_size()))) for w in weights]
    return torch.cat([w.flatten() for w in padded]) if len(padded) > 1 else padded[0].contiguous()


def _weight_gradient(group: Synapses, delta: Tensor, past: Tensor, spikes: Tensor) -> Tensor:
    """Sum of delta times the spikes that it read, (neuron to, sources)."""
    if len(spikes) <= group.delay or not rare(spikes.flatten(0, -2)):
        (dense,) = weight_gradients([group], delta, past, spikes)
        return dense
    early, seen = group.delay, group.select(spikes[: -group.delay]).contiguous()
    (first,) = weight_gradients([group], delta[:early], past, spikes[:early])
    rows = seen.reshape(-1, seen.shape[-1])
    return first.add_(weight_gradient(rows, delta[early:].reshape(-1, spikes.shape[-1])))
