"""Reference loop over time: a step function applied to a sequence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError

StateT = TypeVar("StateT")


def scan(
    step: Callable[..., tuple[Tensor, StateT]],
    params: Any,
    state: StateT,
    inputs: Tensor,
    *,
    modulation: Tensor | None = None,
    w_rec: Tensor | None = None,
    spikes: Tensor | None = None,
    delay: int | Tensor = 1,
    hops: int | None = None,
    follow: Collection[str] | None = None,
    **options: Any,
) -> tuple[Tensor, StateT]:
    """Apply a neuron's `step` along the leading (time) axis.

    This is the specification that layers and kernels are tested against; it is differentiable by plain autograd.

    Args:
        step: `step(params, state, current, **options) -> (spikes, state)`.
        params: Parameters of the neuron.
        state: State before the first step.
        inputs: Input currents, (T, batch, ..., neuron), T >= 1.
        modulation: Modulation per step, broadcastable to `inputs`; replaces `params.h_s0` at each step.
        w_rec: Recurrent weights (neuron to, neuron from): adds W_rec z of an earlier step to the input.
        spikes: Spikes before the first step, (longest delay, batch, ..., neuron), oldest first, or (batch, ..., neuron)
            for those of the last step before it; None: silence. Read with `w_rec` only.
        delay: Steps back at which `w_rec` reads the spikes, >= 1: one number, (N,) by presynaptic neuron, or (N, N) by
            synapse (neuron to, neuron from).
        hops: How often a gradient passes through the recurrent weights; None: without limit. With k hops, k + 1 copies
            of the neurons run side by side: the first reads its own spikes without their gradient, each other those
            of the copy before it, and the last one counts. Zero is e-prop's oracle.
        follow: The states whose past the gradient follows; None: all.
        **options: Passed on to `step`.

    Returns:
        spikes: Outputs of all steps, (T, batch, ..., neuron).
        state: State after the last step.

    Raises:
        ValueError: If `inputs` has no time steps, or `modulation` does not fit the neuron or the inputs.

    Examples:
        >>> import torch
        >>> from snn_neuromod.dynamics import alif, scan
        >>> current = torch.rand(100, 8, 3)
        >>> spikes, state = scan(alif.step, alif.Params(), alif.initial_state(current[0]), current)
        >>> spikes.shape
        torch.Size([100, 8, 3])
    """
    if inputs.ndim == 0 or inputs.shape[0] == 0:
        raise ConfigError(
            f"scan: inputs must have at least one step, got shape {tuple(inputs.shape)}"
        )
    if modulation is not None and "h_s0" not in params._fields:
        raise ConfigError("scan: modulation must be None, only mSRC and BSRC have one")
    if modulation is not None and not _broadcasts(modulation, inputs):
        raise ConfigError(
            f"scan: modulation must broadcast to {tuple(inputs.shape)}, got {tuple(modulation.shape)}"
        )
    weights = {} if w_rec is None else _by_delay(w_rec, delay)
    past = _past(inputs[0], spikes, max(weights) if weights else 1)
    per_step = None if modulation is None else modulation.broadcast_to(inputs.shape).unbind(0)

    def step_at(t: int, state: StateT, current: Tensor) -> tuple[Tensor, StateT]:
        now = params if per_step is None else params._replace(h_s0=per_step[t])
        return step(now, state, current, **options)

    return loop(step_at, state, inputs, weights, past, hops=hops, follow=follow)


def loop(
    step: Callable[[int, StateT, Tensor], tuple[Tensor, StateT]],
    state: StateT,
    inputs: Tensor,
    weights: Mapping[int, Tensor],
    past: Sequence[Tensor],
    *,
    hops: int | None = None,
    follow: Collection[str] | None = None,
) -> tuple[Tensor, StateT]:
    """The loop of `scan`, nothing checked.

    Args:
        step: `step(t, state, current) -> (spikes, state)`.
        state: State before the first step.
        inputs: Input currents, (T, batch, ..., neuron).
        weights: Recurrent weights (neuron to, neuron from) by their delay.
        past: Spikes before the first step, oldest first, as many as the longest delay.
        hops: As of `scan`.
        follow: As of `scan`.

    Returns:
        As of `scan`.
    """
    emitted: list[Tensor] = []
    copies = 1 + (hops or 0) if weights else 1
    pasts, states = [list(past) for _ in range(copies)], [state] * copies
    for t, current in enumerate(inputs.unbind(0)):  # not inputs[t]: its backward is O(T^2)
        driven = [current] * copies
        for d, w in weights.items():
            for k in range(copies):
                z = pasts[max(k - 1, 0)][-d]
                driven[k] = driven[k] + (z.detach() if k == 0 and hops is not None else z) @ w.T
        for k in range(copies):
            z, states[k] = step(t, _followed(states[k], follow), driven[k])
            pasts[k].append(z)
        emitted.append(z)
    return torch.stack(emitted), states[-1]


def _followed(state: Any, follow: Collection[str] | None) -> Any:
    """A state without the gradient of what is not followed."""
    if follow is None:
        return state
    others = {name: s.detach() for name, s in state._asdict().items() if name not in follow}
    return state._replace(**others)


def _by_delay(w_rec: Tensor, delay: int | Tensor) -> dict[int, Tensor]:
    delay = torch.as_tensor(delay, device=w_rec.device)
    return {int(d): w_rec * (delay == d).to(w_rec.dtype) for d in delay.unique()}


def _past(current: Tensor, spikes: Tensor | None, longest: int) -> list[Tensor]:
    """Spikes before the first step, oldest first, as many as the longest delay."""
    given = (
        [] if spikes is None else [*spikes.unbind(0)] if spikes.ndim > current.ndim else [spikes]
    )
    return [torch.zeros_like(current)] * (longest - len(given)) + given


def _broadcasts(tensor: Tensor, target: Tensor) -> bool:
    pairs = zip(reversed(tensor.shape), reversed(target.shape), strict=False)
    return tensor.ndim <= target.ndim and all(size in (1, wanted) for size, wanted in pairs)
