r"""Forward pass of the SRC family with few passes over memory, in plain PyTorch; symbols as in `dynamics.src`.

The same equations as `step`, arranged for speed: $\tanh a = 2 \sigma(2a) - 1$, since PyTorch's logistic function is several
times faster than its tanh on a CPU; all factors of 2 and the bound of the drive folded into the coefficients; results
written where they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from snn_neuromod.dynamics import bsrc, msrc, src

Params: TypeAlias = "src.Params | msrc.Params | bsrc.Params"
State: TypeAlias = "src.State | bsrc.State"


def serves(params: Params, ndim: int) -> bool:
    """Whether `simulate` covers these parameters: none but the modulation per step, the drive bounded everywhere or nowhere."""
    constant = all(
        torch.as_tensor(value).ndim < ndim
        for name, value in params._asdict().items()
        if name != "h_s0"
    )
    bounded = torch.isfinite(torch.as_tensor(params.rho))
    return constant and bool(bounded.all() or not bounded.any())


def simulate(
    params: Params, state: State, current: Tensor, spikes: Tensor, tracks: Sequence[Tensor]
) -> State:
    """Run the neurons over a sequence.

    Args:
        params: Neuron parameters; `h_s0` may have a leading axis of T steps.
        state: State before the first step, each (batch, neuron).
        current: Input, (T, batch, neuron).
        spikes: Spikes of all steps, written here, (T, batch, neuron).
        tracks: States, written here from index 1 on, each (T + 1, batch, neuron); empty if not wanted.

    Returns:
        The state after the last step, which may share memory with `tracks`.
    """
    one = current.new_ones(())
    alpha, z, z_hyp = one * params.alpha, one * params.z, one * params.z_hyp
    d_gate = one * (params.z_dep - params.z_hyp)
    bounded = bool(torch.isfinite(one * params.rho).all())
    offset = one * 2 * (params.b - params.rho if bounded else params.b)
    drive_gain, drive_slope = one * 4 * params.rho, one * 2 / params.rho
    feedback, minus_one, half_slope = one * 2 * params.r, -one, -one * src.SLOPE * src.MIDPOINT
    leaky = bool((z != 0).any())
    slow = _slow_feedback(params, one, current)
    i, h, h_s, *ultra_slow = state
    nowhere = [None] * current.shape[0]
    targets = [track[1:].unbind(0) for track in tracks] or [nowhere] * len(state)

    for t, (current_t, spikes_t) in enumerate(zip(current.unbind(0), spikes.unbind(0), strict=True)):
        i = torch.addcmul(current_t, alpha, i, out=targets[0][t])
        if bounded:
            a = torch.addcmul(offset, drive_gain, (i * drive_slope).sigmoid_())
        else:
            a = torch.add(offset, i, alpha=2)
        a.addcmul_(feedback, h)
        slow(a, h_s, t)
        gate = torch.add(half_slope, h, alpha=src.SLOPE).sigmoid_()
        gate = torch.addcmul(z_hyp, d_gate, gate, out=gate)
        if isinstance(params, bsrc.Params):
            h_u = ultra_slow[0]
            a.addcmul_(one * 2 * params.r_u, h_u + params.h_u0)
            ultra_slow = [torch.lerp(h, h_u, one * params.z_u, out=targets[3][t])]
        h_s = torch.lerp(h, h_s, gate, out=targets[2][t])
        if leaky:
            h = torch.lerp(torch.add(minus_one, a.sigmoid_(), alpha=2), h, z, out=targets[1][t])
        else:
            h = torch.add(minus_one, a.sigmoid_(), alpha=2, out=targets[1][t])
        torch.clamp(h, min=0, out=spikes_t)
    return type(state)(i, h, h_s, *ultra_slow)


def _slow_feedback(
    params: Params, one: Tensor, current: Tensor
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Function that adds twice the slow feedback of a step to its first argument."""
    r_s = one * 2 * params.r_s
    if isinstance(params, src.Params):
        return lambda a, h_s, t: a.addcmul_(r_s, h_s)
    h_s0 = torch.as_tensor(params.h_s0, dtype=current.dtype, device=current.device)
    if h_s0.ndim < current.ndim:
        return lambda a, h_s, t: a.addcmul_(r_s, (h_s + h_s0).square_())
    per_step = h_s0.expand(current.shape[0], *h_s0.shape[1:])
    return lambda a, h_s, t: a.addcmul_(r_s, (h_s + per_step[t]).square_())
