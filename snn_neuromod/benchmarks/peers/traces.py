"""e-prop with explicit eligibility traces per sample and synapse: forwards in time, or all steps at once."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.benchmarks.outcome import Outcome, Run, UnableError
from snn_neuromod.benchmarks.peers.torch_tools import tensors
from snn_neuromod.benchmarks.problems import INPUTS, Problem

__all__ = ["convolved", "forwards"]


def _simulate(problem: Problem, t: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Spikes and pseudo-derivatives of all steps, (T, batch, neuron)."""
    c = problem.constants
    v = torch.zeros_like(t["cotangent"][0, :, :1]).expand(-1, problem.size.neurons)
    a = z = v
    spikes, psi = [], []
    w_in, w_rec = t["w_in"].T, t["w_rec"].T
    for x in t["x"]:
        v = c["alpha"] * v + x @ w_in + z @ w_rec - c["v_th"] * z
        a = c["rho"] * a + z
        distance = v - c["v_th"] - c["beta"] * a
        z = (distance > 0).to(v.dtype)
        spikes.append(z)
        slope = (1 - distance.abs() / c["v_th"]).clamp(min=0)
        psi.append(c["gamma"] / c["v_th"] * slope)
    return torch.stack(spikes), torch.stack(psi)


def _presynaptic(x: Tensor, spikes: Tensor) -> Tensor:
    past = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
    return torch.cat([x, past], -1)


def _outcome(grad: Tensor, w_out: Tensor, spikes: Tensor) -> Outcome:
    w_in, w_rec = grad[:, :INPUTS], grad[:, INPUTS:].clone().fill_diagonal_(0.0)
    return Outcome([w_in, w_rec, w_out], spikes)


def _filter(kappa: float, spikes: Tensor) -> Tensor:
    out = spikes.clone()
    for t in range(1, len(out)):
        out[t].add_(out[t - 1], alpha=kappa)
    return out


@torch.no_grad()
def _forwards(problem: Problem, t: dict[str, Tensor]) -> Outcome:
    c = problem.constants
    spikes, psi = _simulate(problem, t)
    presynaptic = _presynaptic(t["x"], spikes)
    batch, n, synapses = problem.size.batch, problem.size.neurons, presynaptic.shape[-1]
    eps_v = presynaptic.new_zeros(batch, 1, synapses)
    eps_a, e, mean = (presynaptic.new_zeros(batch, n, synapses) for _ in range(3))
    grad = presynaptic.new_zeros(n, 1, synapses)
    for s, psi_t, signal in zip(presynaptic, psi, t["cotangent"] @ t["w_out"], strict=True):
        eps_v.mul_(c["alpha"]).add_(s.unsqueeze(1))
        eps_a.mul_(c["rho"]).add_(e)
        torch.sub(eps_v, eps_a, alpha=c["beta"], out=e).mul_(psi_t.unsqueeze(-1))
        mean.mul_(c["kappa"]).add_(e)
        grad.baddbmm_(signal.T.unsqueeze(1), mean.transpose(0, 1))
    w_out = torch.einsum("tbo,tbn->on", t["cotangent"], _filter(c["kappa"], spikes))
    return _outcome(grad[:, 0], w_out, spikes)


def forwards(problem: Problem) -> Run:
    """The traces of Bellec et al. step by step, in as few passes over memory as plain PyTorch allows.

    The membrane's trace is the same for all neurons and is kept once.
    """
    t = tensors(problem)
    return lambda: _forwards(problem, t)


@torch.no_grad()
def _convolved(problem: Problem, t: dict[str, Tensor]) -> Outcome:
    c = problem.constants
    steps, batch, n, _ = problem.size
    spikes, psi = _simulate(problem, t)
    presynaptic = _presynaptic(t["x"], spikes).permute(1, 2, 0)
    synapses = presynaptic.shape[1]
    back = torch.arange(steps - 1, -1, -1, dtype=psi.dtype, device=psi.device)

    def smooth(x: Tensor, decay: float) -> Tensor:
        kernel = (decay**back).expand(x.shape[1], 1, steps)
        return functional.conv1d(x, kernel, padding=steps - 1, groups=x.shape[1])[..., :steps]

    eps = smooth(presynaptic, c["alpha"]).unsqueeze(1).expand(-1, n, -1, -1)
    e = torch.einsum("tbn,bnst->bnst", psi, eps)
    e = smooth(e.reshape(batch, n * synapses, steps), c["kappa"]).reshape(batch, n, synapses, steps)
    signal = torch.einsum("tbo,on->bnt", t["cotangent"], t["w_out"])
    grad = (signal.unsqueeze(2) * e).sum((0, 3))
    filtered = smooth(spikes.permute(1, 2, 0), c["kappa"])
    return _outcome(grad, torch.einsum("tbo,bnt->on", t["cotangent"], filtered), spikes)


def convolved(problem: Problem) -> Run:
    """LIF traces of all steps kept at once, filters as convolutions over time: the algorithm of eprop-PyTorch.

    Raises:
        UnableError: If the traces do not fit into memory.
    """
    steps, batch, n, _ = problem.size
    needed = 4 * 4 * steps * batch * n * (n + INPUTS)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.6 * there:
        raise UnableError(f"its traces take {needed / 1e9:.0f} GB")
    t = tensors(problem)
    return lambda: _convolved(problem, t)
