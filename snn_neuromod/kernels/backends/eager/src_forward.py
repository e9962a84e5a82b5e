r"""Forward pass of the SRC family with few passes over memory, in plain PyTorch; symbols as in `dynamics.src`.

The same equations as `step`, arranged for speed: $\tanh a = 2 \sigma(2a) - 1$, since PyTorch's logistic function is
several times faster than its tanh on a CPU; factors of 2 folded into the coefficients; the synapse and the drive, to
which nothing feeds back, ahead of the membrane for a stretch of steps at once; both logistic functions of a step in one
call; results written where they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from snn_neuromod.dynamics import bsrc, msrc, src
from snn_neuromod.kernels.backends.eager.linearisation import Coefficient, accumulate, holds

Params: TypeAlias = "src.Params | msrc.Params | bsrc.Params"
State: TypeAlias = "src.State | bsrc.State"

# In elements: of an array that one thread does alone, of a round of the widest vectorised loop.
_ONE_THREAD, _VECTOR = 1 << 15, 32


def serves(names: Sequence[str], params: Sequence[Tensor], ndim: int) -> bool:
    """Whether `simulate` covers these parameters: none but the modulation may be given per step."""
    return all(p.ndim < ndim for name, p in zip(names, params, strict=True) if name != "h_s0")


def simulate(
    params: Params,
    state: State,
    current: Tensor,
    spikes: Tensor,
    tracks: Mapping[str, Tensor],
    *,
    stretch: int,
) -> State:
    """Run the neurons over a sequence.

    Args:
        params: Neuron parameters; `h_s0` may have a leading axis of T steps.
        state: State before the first step, each (batch, neuron).
        current: Input, (T, batch, neuron).
        spikes: Spikes of all steps, written here, (T, batch, neuron).
        tracks: States to keep, written here from index 1 on, each (T + 1, batch, neuron), and "drive_slope", dx/di of
            each step, (T, batch, neuron).
        stretch: Most steps of which the drive is computed at once.

    Returns:
        The state after the last step, which may share memory with `tracks`.
    """
    one = current.new_ones(())
    num_steps, size = current.shape[0], current.shape[1:]
    if current.device.type == "cpu":
        stretch = _reproducible(stretch, current[0].numel(), torch.get_num_threads())
    z, z_hyp, d_z = one * params.z, one * params.z_hyp, params.z_dep - params.z_hyp
    fast, minus_one, half = 2 * params.r, -one, -one * src.SLOPE * src.MIDPOINT
    leaky = holds((z != 0).any(), otherwise=True)
    slow = _slow_feedback(params, one, current)
    i, h, h_s, *h_u = state
    if isinstance(params, bsrc.Params):
        z_u, r_u, h_u0 = one * params.z_u, 2 * params.r_u, params.h_u0
    drive = _Drive(params, one)
    logistic = current.new_empty((2, *size))
    a, gate = logistic.unbind(0)
    scratch = {name: _rows(current, stretch) for name in ("x", "i", "h")}
    own = {name: current.new_empty(size) for name in ("h_s", "h_u")}

    def targets(name: str, start: int, stop: int) -> Tensor:
        return (
            tracks[name][start + 1 : stop + 1] if name in tracks else scratch[name][: stop - start]
        )

    for start in range(0, num_steps, stretch):
        stop = min(start + stretch, num_steps)
        i_all, h_all = targets("i", start, stop), targets("h", start, stop)
        slope = tracks["drive_slope"][start:stop] if "drive_slope" in tracks else None
        i = drive.synapse(current[start:stop], i, i_all)
        x = drive(i_all, scratch["x"][: stop - start], slope)
        for t, x_t, h_t in zip(range(start, stop), x.unbind(0), h_all.unbind(0), strict=True):
            slow(accumulate(x_t, fast, h, out=a), h_s, t)
            if h_u:
                accumulate(a, r_u, h_u[0] + h_u0, out=a)
                out = tracks["h_u"][t + 1] if "h_u" in tracks else own["h_u"]
                h_u = [torch.lerp(h, h_u[0], z_u, out=out)]
            torch.add(half, h, alpha=src.SLOPE, out=gate)
            logistic.sigmoid_()
            accumulate(z_hyp, d_z, gate, out=gate)
            out = tracks["h_s"][t + 1] if "h_s" in tracks else own["h_s"]
            h_s = torch.lerp(h, h_s, gate, out=out)
            if leaky:
                h = torch.lerp(torch.add(minus_one, a, alpha=2, out=a), h, z, out=h_t)
            else:
                h = torch.add(minus_one, a, alpha=2, out=h_t)
        torch.clamp(h_all, min=0, out=spikes[start:stop])
    return type(state)(i, h, h_s, *h_u)


@cache
def _reproducible(stretch: int, per_step: int, threads: int) -> int:
    """Longest stretch whose results do not depend on where a step lies in it, so that segments give the same run.

    On a CPU, PyTorch's loops round the last elements of a row, and of the part of it that goes to one thread, in
    another way than the rest. Rows of `_rows` and parts that end on a whole vector keep both in their place.
    """

    def steady(total: int) -> bool:
        parts = min(threads, -(-total // _ONE_THREAD))
        return parts <= 1 or (per_step % _VECTOR == 0 and total % (parts * _VECTOR) == 0)

    longest = 1
    while longest < stretch and steady((longest + 1) * per_step):
        longest += 1
    return longest


def _rows(current: Tensor, num_steps: int) -> Tensor:
    """Empty steps, each beginning on a whole vector."""
    size = current.shape[1:]
    padded = -(-size.numel() // _VECTOR) * _VECTOR
    return current.new_empty((num_steps, padded))[:, : size.numel()].view(num_steps, *size)


class _Drive:
    """Synapse and twice the drive plus bias of a stretch of steps."""

    def __init__(self, params: Params, one: Tensor) -> None:
        rho = one * params.rho
        bounded = torch.isfinite(rho)
        self._one, self._alpha, self._bias = one, params.alpha, one * 2 * params.b
        self._unbounded = None if holds(bounded.all(), otherwise=False) else ~bounded
        self._slope: Coefficient = 2 / rho
        self._gain: Coefficient = torch.where(bounded, 2 * rho, 0.0)
        if isinstance(params.rho, float):
            self._slope, self._gain = self._slope.item(), self._gain.item()

    def synapse(self, current: Tensor, i: Tensor, out: Tensor) -> Tensor:
        for current_t, i_t in zip(current.unbind(0), out.unbind(0), strict=True):
            i = accumulate(current_t, self._alpha, i, out=i_t)
        return i

    def __call__(self, i: Tensor, out: Tensor, slope: Tensor | None) -> Tensor:
        tanh = torch.mul(i, self._slope, out=out).sigmoid_()
        torch.add(-self._one, tanh, alpha=2, out=tanh)
        if slope is not None:
            torch.addcmul(self._one, tanh, tanh, value=-1, out=slope)
        x = accumulate(self._bias, self._gain, tanh, out=out)
        return x if self._unbounded is None else x.add_(2 * self._unbounded * i)


def _slow_feedback(
    params: Params, one: Tensor, current: Tensor
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Function that adds twice the slow feedback of a step to its first argument."""
    r_s = 2 * params.r_s
    if isinstance(params, src.Params):
        return lambda a, h_s, t: accumulate(a, r_s, h_s, out=a)
    h_s0 = torch.as_tensor(params.h_s0, dtype=current.dtype, device=current.device)
    if h_s0.ndim < current.ndim:
        return lambda a, h_s, t: accumulate(a, r_s, (h_s + h_s0).square_(), out=a)
    per_step = h_s0.expand(current.shape[0], *h_s0.shape[1:])
    return lambda a, h_s, t: accumulate(a, r_s, (h_s + per_step[t]).square_(), out=a)
