r"""Learning rules in numpy from the run of a layer, as the papers write them; no automatic differentiation.

Each rule gives dL/dW_in and dL/dW_rec of a loss L whose derivatives by the spikes, Lambda[t] = dL/dz[t], are given
(what reaches the neurons from outside: the filtered error through the feedback weights, a rate regularisation).
e-prop, k-hop e-prop and BPTT stand here twice: with traces that run forwards for every synapse, and with a recursion
that runs backwards for every neuron.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.learning.oracles.neurons import Array, Trajectory, arriving


class Gradient(NamedTuple):
    """dL/dW, (neuron, input) and (neuron to, neuron from); absent self-connections are zero."""

    w_in: Array
    w_rec: Array


def eprop(run: Trajectory, signal: Array) -> Gradient:
    """Bellec et al. 2020: eligibility traces of every synapse times the learning signal, forwards in time."""
    return khop_traces(run, signal, 0)


def khop_traces(run: Trajectory, signal: Array, hops: int) -> Gradient:
    r"""Traces of every synapse of the whole layer that count up to `hops` recurrent spikes on the way (as MDGL's).

    $\epsilon_m[t] = J[t]\, \epsilon_m[t-1] + \frac{\partial x}{\partial I} (s[t]\,[m = 0] + W_\text{rec}\, e_{m-1})$,
    $e_m = \frac{\partial z}{\partial x}\, \epsilon_m$, with $e_{m-1}$ as late as the delays say.

    Args:
        run: From `simulate`.
        signal: Lambda, (T, batch, neuron).
        hops: k, >= 0; at least the number of steps: BPTT.
    """
    (num_steps, batch, n), inputs = run.z.shape, run.x.shape[-1]
    size = run.linear.drive.shape[-1]
    synapses = n * (inputs + n)
    own, spike, drive, read = run.linear
    eps = np.zeros((hops + 1, batch, n, size, synapses))
    e = np.zeros((hops + 1, num_steps, batch, n, synapses))
    for t in range(num_steps):
        for m in range(hops, -1, -1):
            eps[m] = np.einsum("bnij,bnjs->bnis", own[t], eps[m])
            if t:
                eps[m] += spike[t][..., None] * e[m, t - 1][:, :, None]
            into = _direct(run, t) if m == 0 else _through(run, e[m - 1], t)
            eps[m] += drive[t][..., None] * into[:, :, None]
            e[m, t] = np.einsum("bni,bnis->bns", read[t], eps[m])
    total = np.einsum("tbn,mtbns->s", signal, e)
    return split(total.reshape(n, inputs + n), inputs)


def _direct(run: Trajectory, t: int) -> Array:
    """dI_j / dW_j'i at fixed spikes, (batch, neuron, synapse of the layer)."""
    n = run.z.shape[-1]
    s = np.concatenate([np.repeat(run.x[t][:, None], n, 1), run.earlier(t)], -1)
    found = np.zeros((len(s), n, n, s.shape[-1]))
    found[:, range(n), range(n)] = s
    return found.reshape(len(s), n, -1)


def _through(run: Trajectory, e: Array, t: int) -> Array:
    """What traces of other neurons' spikes bring in through the recurrent weights, (batch, neuron, synapse)."""
    found = np.zeros(e.shape[1:])
    for d in np.unique(run.delay):
        if t >= d:
            found += np.einsum("ji,bis->bjs", run.w_rec * (run.delay == d), e[t - d])
    return found


def adjoint(run: Trajectory, signal: Array) -> Array:
    """e-prop turned round: adjoint of the input current, p (T, batch, neuron), backwards for every neuron."""
    own, spike, drive, read = run.linear
    p, later = np.zeros_like(signal), np.zeros_like(drive[0])
    for t in reversed(range(len(signal))):
        after, by_spike = np.zeros_like(later), np.zeros_like(signal[0])
        if t + 1 < len(signal):
            after = np.einsum("bnij,bni->bnj", own[t + 1], later)
            by_spike = (spike[t + 1] * later).sum(-1)
        later = read[t] * (signal[t] + by_spike)[..., None] + after
        p[t] = (drive[t] * later).sum(-1)
    return p


def back(run: Trajectory, p: Array) -> Array:
    """W_rec^T p[t + d]: what the recurrent weights bring back to the spikes, (T, batch, neuron)."""
    found = np.zeros_like(p)
    for d in np.unique(run.delay):
        if d < len(p):
            found[:-d] += p[d:] @ (run.w_rec * (run.delay == d))
    return found


def khop(run: Trajectory, signal: Array, hops: int) -> Array:
    r"""$\Lambda_k[t] = \Lambda[t] + W_\text{rec}^\top p_{k-1}[t+1]$; p of the last sweep."""
    p = adjoint(run, signal)
    for _ in range(hops):
        p = adjoint(run, signal + back(run, p))
    return p


def bptt(run: Trajectory, signal: Array) -> Array:
    """Backpropagation through time: p with all paths in one sweep."""
    own, spike, drive, read = run.linear
    p, later = np.zeros_like(signal), np.zeros_like(drive[0])
    for t in reversed(range(len(signal))):
        reaching = signal[t] + back(run, p)[t]
        if t + 1 < len(signal):
            reaching = reaching + (spike[t + 1] * later).sum(-1)
            later = np.einsum("bnij,bni->bnj", own[t + 1], later)
        later = read[t] * reaching[..., None] + later
        p[t] = (drive[t] * later).sum(-1)
    return p


def rflo(run: Trajectory, signal: Array) -> Gradient:
    """Murray 2019: one trace for each synapse that decays as the membrane does, e = psi eps; no path but that one."""
    own, _, drive, read = run.linear
    n, inputs = run.z.shape[-1], run.x.shape[-1]
    eps = np.zeros((run.z.shape[1], n, inputs + n))
    total = np.zeros((n, inputs + n))
    for t, signal_t in enumerate(signal):
        s = np.concatenate([np.repeat(run.x[t][:, None], n, 1), run.earlier(t)], -1)
        eps = own[t, ..., 0, 0, None] * eps + drive[t, ..., 0, None] * s
        total += np.einsum("bn,bns->ns", signal_t * read[t, ..., 0], eps)
    return split(total, inputs)


def rflo_adjoint(run: Trajectory, signal: Array) -> Array:
    r"""The same turned round, $p = \alpha p^+ + \psi \Lambda$."""
    own, _, drive, read = run.linear
    p, later = np.zeros_like(signal), np.zeros_like(signal[0])
    for t in reversed(range(len(signal))):
        kept = own[t + 1, ..., 0, 0] * later if t + 1 < len(signal) else 0
        later = read[t, ..., 0] * signal[t] + kept
        p[t] = drive[t, ..., 0] * later
    return p


def instant(run: Trajectory, signal: Array) -> Array:
    r"""What a layer's input gets at the same instant, through no past of its neurons: $\psi[t]\, \Lambda[t]$."""
    return (run.linear.read * run.linear.drive).sum(-1) * signal


def ottt(run: Trajectory, signal: Array, alpha: float) -> Gradient:
    r"""Xiao et al. 2022: presynaptic traces $\hat s[t] = \alpha\, \hat s[t-1] + s[t]$ times $\psi[t]\, \Lambda[t]$."""
    n, inputs = run.z.shape[-1], run.x.shape[-1]
    trace = np.zeros((run.z.shape[1], n, inputs + n))
    total = np.zeros((n, inputs + n))
    for t, now in enumerate(instant(run, signal)):
        s = np.concatenate([np.repeat(run.x[t][:, None], n, 1), run.earlier(t)], -1)
        trace = alpha * trace + s
        total += np.einsum("bn,bns->ns", now, trace)
    return split(total, inputs)


def gradient(run: Trajectory, p: Array) -> Gradient:
    """Sum over steps and batch of p times what came in."""
    n, inputs = run.z.shape[-1], run.x.shape[-1]
    total = np.zeros((n, inputs + n))
    for t, p_t in enumerate(p):
        s = np.concatenate([np.repeat(run.x[t][:, None], n, 1), arriving(run.z, run.delay, t)], -1)
        total += np.einsum("bn,bns->ns", p_t, s)
    return split(total, inputs)


def split(total: Array, inputs: int) -> Gradient:
    """Columns of the inputs and of the recurrent synapses."""
    w_rec = total[:, inputs:].copy()
    np.fill_diagonal(w_rec, 0.0)
    return Gradient(total[:, :inputs], w_rec)
