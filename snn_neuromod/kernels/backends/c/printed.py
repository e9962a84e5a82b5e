"""Sequences run by C that is printed from the neuron's step and compiled at first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c import recurrence
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.kernel import DTYPES, Kernel, Kernels
from snn_neuromod.kernels.fusion.plan import EVERY, Variant
from snn_neuromod.kernels.fusion.trace import NotElementwise


def unable(call: Call) -> str | None:
    """Why no printed kernel can serve a sequence, None if one can; it is compiled here."""
    current = call.current
    if current.device.type != "cpu" or current.dtype not in DTYPES:
        return f"the input must be float32 or float64 on the CPU, got {current.dtype} on {current.device}"
    reason = jit.unable()
    if reason is not None:
        return reason
    try:
        _kernel(call, seeded=False)
    except (NotElementwise, jit.CompileError) as error:
        return f"no kernel can be printed from the step: {error}"
    return None


def kept(call: Call) -> dict[str, Tensor]:
    """Empty tensors for what the forward pass keeps.

    States before every stretch, and of a recurrent layer the whole input of every step.
    """
    if not call.keep:
        return {}
    current, names = call.current, call.neuron.module.State._fields
    stretches = -(-len(current) // EVERY)
    states = {
        names[k]: current.new_empty(stretches, *current.shape[1:])
        for k in _kernel(call, seeded=False).kept
    }
    return {"input": torch.empty_like(current), **states} if call.recurrent else states


def reads(call: Call) -> bool:
    """Whether `backward` reads the input: a recurrent layer keeps a whole one."""
    return not call.recurrent


def forward(call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Run a sequence; results as of `sequence.forward`."""
    kernel, params = _kernel(call, seeded=False), _params(call)
    if call.recurrent:
        wiring = recurrence.wiring(call, back=False)
        result, total = kernel.recurrent_forward(
            call.current, params, call.state, wiring, keep=call.keep
        )
        return result.spikes, result.last, [total, *result.kept] if call.keep else []
    result = kernel.forward(call.current, params, call.state, keep=call.keep)
    return result.spikes, result.last, result.kept


def backward(
    call: Call,
    grad_spikes: Tensor,
    grad_state: Sequence[Tensor | None],
    spikes: Tensor,
    tracks: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
    """Gradients of a sequence; arguments and results as of `sequence.backward`."""
    kernel = _kernel(call, seeded=any(g is not None for g in grad_state))
    current, states = (tracks[0], tracks[1:]) if call.recurrent else (call.current, tracks)
    through = call.recurrent and call.paths.hops is None
    wiring = recurrence.wiring(call, back=True) if through else None
    found = kernel.backward(
        current, _params(call), call.state, states, grad_spikes, grad_state, wiring
    )
    grads: list[Tensor | None] = [None] * len(call.params)
    for k, grad in zip(kernel.variant.needed, found.params, strict=True):
        shape = call.params[k].shape
        grads[k] = (grad if grad.ndim >= len(shape) else grad[None]).sum_to_size(shape)
    return found.current, grads, found.state


def _kernel(call: Call, seeded: bool) -> Kernel:
    needed = tuple(k for k, need in enumerate(call.needed) if need)
    per_step = tuple(k for k, p in enumerate(call.params) if _is_per_step(p, call))
    variant = Variant(needed, per_step, seeded)
    return _kernels(call).kernel(call.current.dtype, variant)


def _is_per_step(param: Tensor, call: Call) -> bool:
    return param.ndim == call.current.ndim and param.shape[0] > 1


def _params(call: Call) -> list[Tensor]:
    """Parameters with an axis of steps only where they change."""
    return [p[0] if p.ndim == call.current.ndim and p.shape[0] == 1 else p for p in call.params]


def _kernels(call: Call) -> Kernels:
    """The neuron's kernels, which live as long as it is known."""
    neuron, states = call.neuron, call.paths.states
    if states not in neuron.kernels:
        name, step = neuron.name, partial(neuron.module.step, **neuron.step_options())
        if neuron.described is not None:
            dynamics = neuron.described.dynamics
            name = getattr(dynamics, "__name__", type(dynamics).__name__)
        cut = step if states is None else _following(step, states)
        neuron.kernels[states] = Kernels(cut, neuron.module.Params, neuron.module.State, name=name)
    made: Kernels = neuron.kernels[states]
    return made


def _following(step: Any, states: Sequence[int]) -> Any:
    """The step with the past of the other states as constants."""

    def cut(params: Any, state: Any, current: Tensor) -> Any:
        held = [s if k in states else s.detach() for k, s in enumerate(state)]
        return step(params, type(state)(*held), current)

    return cut


def status() -> str:
    """Whether steps are printed and compiled, and why not."""
    reason = jit.unable()
    return f"off: {reason}" if reason else "compiled at first use"
