"""Kernel of one step of neurons with weights among them that are too many for one program; each step is a launch.

A program holds a block of a sample's neurons and reads all that was sent to them; rows of the weights are read where a
neuron spiked. Its reverse is the kernel of neurons on their own, a step at a time, between products of matrices.
Arguments are those of `recurrent`; `now` is the step, and the states are overwritten.
"""

from __future__ import annotations

from snn_neuromod.kernels.fusion.triton.expressions import FUNCTIONS
from snn_neuromod.kernels.fusion.triton.writer import Plan, Writer, load, whole

__all__ = ["source"]

_BLOCK = [
    "    sample = tl.program_id(0)",
    "    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)",
    "    m = n < N",
    "    e = sample * N + n",
]
_PRODUCT = """\
    at = now * wide + e
    sums = tl.zeros([GROUP, BLOCK], REAL)
    for j in range(0, M, GROUP):
        k = j + tl.arange(0, GROUP)
        some = k < M
        who = k
        late = tl.full([GROUP], 1, tl.int32)
        if DELAYED:
            who = tl.load(source + k, mask=some, other=0)
            late = tl.load(delay + k, mask=some, other=1)
        step = now - late
        spot = step.to(tl.int64) * wide + sample * N + who
        v = tl.load(z + spot, mask=some & (step >= 0), other=0.0).to(REAL)
        v += tl.load(past + spot + longest * wide, mask=some & (step < 0), other=0.0)
        reads = (some & (v != 0))[:, None] & m[None, :]
        rows = tl.load(w + k.to(tl.int64)[:, None] * N + n[None, :], mask=reads, other=0.0)
        sums += rows * v[:, None]
"""


def source(plan: Plan) -> str:
    """Text of a module with the kernel `forward`; the plan's chunk is one step."""
    states = range(len(plan.step.states))
    pointers = ["x", "z", "total", "marks", "w", "source", "delay", "past"]
    pointers += [f"s{k}" for k in states]
    numbers, flags = ["M", "longest", "every", "now"], ["KEEP", "DELAYED", "GROUP"]
    w = Writer(plan, "forward", pointers, flags, numbers=numbers, place=_BLOCK)
    out, ind = w.after_head, "    "
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in states]
    out += [*_PRODUCT.splitlines(), f"    x0 = {load('x + at')} + tl.sum(sums, 0)", "    m0 = m"]
    out += ["    if KEEP:", "        tl.store(total + at, x0, mask=m)"]
    out += ["        if now % every == 0:"]
    out += [f"            k_at = marks + (now // every) * {len(plan.moving)} * wide + e"]
    out += [
        f"            tl.store(k_at + {j} * wide, s{k}_v, mask=m)"
        for j, k in enumerate(plan.moving)
    ]
    body, graph, params, state = w.body("v")
    x = body.name(graph.input("x0"), "x0")
    own = w.params_at(graph, body, params, 0, out, ind)
    z, *after = plan.step.forward(graph, own, state, x)
    body.emit([z, *after], out, ind, exact=not plan.graded)
    out.append(f"    tl.store(z + at, {whole(body, z)}, mask=m)")
    out += [f"    tl.store(s{k} + e, {whole(body, after[k])}, mask=m)" for k in plan.moving]
    return "\n".join([FUNCTIONS, *w.finish(), ""])
