"""Kernels of one step of neurons with weights among them that are too many for one program; each step is a launch.

A program holds a block of a sample's neurons. Forwards it reads all that was sent to them, and rows of the weights
where a neuron spiked. Backwards it goes through the senders among its own neurons, those alone whose spikes a gradient
reaches, and multiplies their rows with the gradients of the input of the steps that read them, which earlier launches
wrote. Arguments are those of `recurrent`; `now` is the step. States, their gradients and those of parameters are
overwritten.
"""

from __future__ import annotations

from snn_neuromod.kernels.fusion.triton.expressions import FUNCTIONS
from snn_neuromod.kernels.fusion.triton.steps import SENDERS, forward_step, reverse_step
from snn_neuromod.kernels.fusion.triton.writer import Plan, Writer, load

__all__ = ["source"]

_BLOCK = [
    "    sample = tl.program_id(0)",
    "    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)",
    "    m = n < N",
    "    e = sample * N + n",
    "    row = sample",
    "    col = n",
]
_PRODUCT = """\
    at = now * wide + e
    sums = tl.zeros([GROUP, BLOCK], REAL)
    for j in range(0, M, GROUP):
        k = j + tl.arange(0, GROUP)
        some = k < M
        who, late = _sender(k, some, senders, DELAYED)
        step = now - late
        spot = step.to(tl.int64) * wide + sample * N + who
        v = tl.load(z + spot, mask=some & (step >= 0), other=0.0).to(REAL)
        v += tl.load(past + spot + longest * wide, mask=some & (step < 0), other=0.0)
        reads = (some & (v != 0))[:, None] & m[None, :]
        rows = tl.load(w + k.to(tl.int64)[:, None] * N + n[None, :], mask=reads, other=0.0)
        sums += rows * v[:, None]
"""


PRODUCT = '''
@triton.jit
def _sent_back(first, sample, now, T, N, M, wide, gx, w, senders, alive, listed, DELAYED: tl.constexpr,
               LIVE: tl.constexpr, LANES: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr, REAL: tl.constexpr):
    """Gradient of the spikes of a block of neurons, through the weights."""
    lane = tl.arange(0, LANES)
    begin, end = first, tl.minimum(first + BLOCK, N)
    if DELAYED:
        begin, end = first * 0, M
    found = tl.zeros([BLOCK], REAL)
    for j in range(begin, end, LANES):
        k = j + lane
        who, late = _sender(k, k < end, senders, DELAYED)
        needed = (k < end) & (now + late < T) & (who >= first) & (who < first + BLOCK)
        if LIVE:
            needed &= tl.load(alive + now * wide + sample * N + who, mask=needed, other=0) != 0
        one = needed.to(tl.int32)
        tl.store(listed + tl.cumsum(one, 0) - 1, k, mask=needed)
        tl.debug_barrier()
        count = tl.sum(one, 0)
        for i in range(0, count, GROUP):
            place = i + tl.arange(0, GROUP)
            own = place < count
            row = tl.load(listed + place, mask=own, other=0)
            to, after = _sender(row, own, senders, DELAYED)
            share = tl.zeros([GROUP, LANES], REAL)
            for p in range(0, N, LANES):
                c = p + lane
                mask = own[:, None] & (c < N)[None, :]
                rows = tl.load(w + row.to(tl.int64)[:, None] * N + c[None, :], mask=mask, other=0.0)
                at = (now + after).to(tl.int64) * wide + sample * N
                share += rows * tl.load(gx + at[:, None] + c[None, :], mask=mask, other=0.0).to(REAL)
            mine = own[:, None] & ((to - first)[:, None] == tl.arange(0, BLOCK)[None, :])
            found += tl.sum(tl.where(mine, tl.sum(share, 1)[:, None], 0.0), 0)
        tl.debug_barrier()
    return found
'''


def source(plan: Plan) -> str:
    """Text of a module with the kernels `forward` and `backward`; the plan's chunk is one step."""
    return "\n".join([FUNCTIONS, SENDERS, PRODUCT, *_forward(plan), "", *_backward(plan), ""])


def _forward(plan: Plan) -> list[str]:
    states = range(len(plan.step.states))
    pointers = ["x", "z", "total", "marks", "w", "senders", "past", "alive"]
    pointers += [f"s{k}" for k in states]
    numbers, flags = ["M", "longest", "every", "now"], ["KEEP", "LIVE", "DELAYED", "GROUP"]
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
    after = forward_step(w, ind, "at")
    out.append(
        "    tl.debug_barrier()  # threads that hold the same neuron read before one of them writes"
    )
    out += [f"    tl.store(s{k} + e, {after[k]}, mask=m)" for k in plan.moving]
    return w.finish()


def _backward(plan: Plan) -> list[str]:
    states, wanted = range(len(plan.step.states)), plan.wanted
    steady = [k for k in states if k not in plan.moving]
    pointers = ["x", "gz", "gx", "marks", "w", "senders", "alive", "listed"]
    pointers += [f"s{k}" for k in steady] + [f"a{k}" for k in states] + [f"g{k}" for k in wanted]
    flags = ["LAST", "LIVE", "DELAYED", "LANES", "GROUP"]
    w = Writer(plan, "backward", pointers, flags, numbers=["M", "now"], place=_BLOCK)
    out, ind = w.after_head, "    "
    out += ["    at = now * wide + e", "    m0 = m", f"    x_v = {load('x + at')}"]
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in steady]
    out += [
        f"    s{k}_v = {load(f'marks + (now * {len(plan.moving)} + {j}) * wide + e')}"
        for j, k in enumerate(plan.moving)
    ]
    sums = [f"g{k}" for k in wanted if not plan.per_step[k]]
    out += [
        "    later = m & (now + 1 < T)",
        *(f"    {g}_v = {load(f'{g} + e', 'later')}" for g in sums),
    ]
    out += ["    if LAST:", "        later = m"]
    out += [f"    a{k}_v = {load(f'a{k} + e', 'later')}" for k in states]
    out += [
        "    listed += (sample * tl.num_programs(1) + tl.program_id(1)) * LANES",
        "    gz0 = _sent_back(",
        "        tl.program_id(1) * BLOCK, sample, now, T, N, M, wide, gx, w, senders, alive, listed,",
        "        DELAYED, LIVE, LANES, GROUP, BLOCK, REAL,",
        "    )",
        f"    gz0 += {load('gz + at')}",
    ]
    names, values = reverse_step(w, ind, "at")
    out += [f"    tl.store({n} + e, {v}, mask=m)" for n, v in zip(names, values, strict=True)]
    return w.finish()
