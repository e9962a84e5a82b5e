"""The smaller calls in plain PyTorch, on any device: products with spikes, rate code and eligibility traces."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient, mix

CHUNK = 1 << 18
"""Random numbers made at a time, so that they stay in cache."""

BLOCK_ELEMENTS = 1 << 19
"""Synapses times samples that are advanced at once, so that they stay in cache."""


def product(job: Product) -> Tensor:
    """The product, (rows, outputs)."""
    x, weight, bias = job
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x.to(weight.dtype), weight, bias)


def weight_gradient(job: WeightGradient) -> Tensor:
    """The sum over rows of `grad` times `x`, (outputs, inputs)."""
    x, grad = job
    with torch.autocast(x.device.type, enabled=False):
        return grad.T @ x.to(grad.dtype)


def rate_code(job: RateCode) -> Tensor:
    """The spikes, uint8, (blank_steps + num_steps, sample, pixel)."""
    limit, key, num_steps, blank_steps = job
    shape = (blank_steps + num_steps, *limit.shape)
    spikes = torch.zeros(shape, dtype=torch.uint8, device=limit.device)
    sample, pixel = limit.nonzero().unbind(1)
    below, words = limit[sample, pixel], mix(pixel.to(torch.int32) ^ key[sample, 0])
    steps = torch.arange(num_steps, dtype=torch.int32, device=limit.device)
    flat, where = spikes[blank_steps:].flatten(1), sample * limit.shape[1] + pixel
    for some in steps.split(max(1, CHUNK // max(1, len(words)))):
        noise = mix(words + mix(some[:, None] ^ key[:, 1])[:, sample])
        fired = ((noise >> 8) & ((1 << 24) - 1)) < below
        flat[some[0] : some[-1] + 1].index_copy_(1, where, fired.to(torch.uint8))
    return spikes


def advance(job: Advance) -> None:
    """Take the traces on, in place, a few samples at a time."""
    batch, synapses, num = job.traces[0].shape
    on_cpu = job.traces[0].device.type == "cpu"
    size = max(1, BLOCK_ELEMENTS // max(1, num * synapses)) if on_cpu else batch
    for start in range(0, batch, size):
        _advance_block(job, slice(start, start + size))


def _advance_block(job: Advance, block: slice) -> None:
    """`advance` for some samples, in place wherever nothing reads the old trace any more."""
    traces = [trace[block] for trace in job.traces]
    reads = [[x for x in range(len(traces)) if (y, x) in job.factors] for y in range(len(traces))]
    seen = [(values[:, block].permute(1, 2, 0), mask) for values, mask in job.sources]
    waiting = list(range(len(traces)))
    late: dict[int, Tensor] = {}
    while waiting:
        unread = [y for y in waiting if not any(y in reads[z] for z in waiting if z != y)]
        y = unread[0] if unread else waiting[0]
        waiting.remove(y)
        trace = traces[y] if unread else traces[y].clone()
        num = trace.shape[-1]
        if y in reads[y]:
            trace.mul_(job.factors[y, y][block, None, :num])
        else:
            trace.zero_()
        for x in reads[y]:
            if x != y:
                trace.addcmul_(job.factors[y, x][block, None, :num], traces[x])
        if y in job.inputs:
            delta = job.inputs[y][:, block, :num].transpose(0, 1)
            for values, mask in seen:
                if mask is None:
                    trace.baddbmm_(values, delta)
                else:
                    trace.add_(torch.bmm(values, delta).mul_(mask.T))
        if not unread:
            late[y] = trace
    for y, trace in late.items():
        traces[y].copy_(trace)


def gather(job: Gather) -> Tensor:
    """The gradient, (synapse, neuron)."""
    if job.after is not None:
        advance(job.after)
    pairs = [(e, g) for e, g in zip(job.traces, job.grads, strict=True) if g is not None]
    total = pairs[0][1].new_zeros(pairs[0][0].shape[1], pairs[0][1].shape[1])
    for trace, grad in pairs:
        if trace.device.type != "cpu":
            total += torch.einsum("bin,bn->in", trace.expand(-1, -1, grad.shape[1]), grad)
            continue
        for trace_b, grad_b in zip(trace, grad, strict=True):
            total.addcmul_(trace_b, grad_b)
    return total
