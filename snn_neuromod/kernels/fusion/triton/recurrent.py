"""Kernels over a whole sequence with weights among the neurons: one program for each sample, the time loop inside.

A program holds all neurons of its sample, so nothing waits for another program. Products with the spikes are
event-driven: those that are not zero are gathered in a list, and only their rows of the weights are summed. Gradients
are seldom zero, but they have no effect on spikes whose pseudo-derivative is: of the transposed product only the rows
of the others are computed. Where a pseudo-derivative is never zero, all rows are read and summed.

| argument | what |
|---|---|
| x, z, gz, gx | input, spikes and their gradients, (T, samples, N), of any floating-point type |
| total | input with that through the weights, which the reverse pass reads, (T, samples, N) |
| marks | moving states before each step that is a multiple of `every`, (steps, moving, samples, N) |
| alive | where LIVE: bytes, whether the gradient of a spike has an effect, (T, samples, N) |
| w | weights of all delays below one another, (M senders, N); reverse without `alive`: beside one another, (N, M) |
| senders | where DELAYED: neuron of each of the M, its delay in the upper 32 bits; else they are all, a step before |
| past | spikes before the first step, oldest first, (longest delay, samples, N) |
| arriving | where DELAYED: gradient that reaches spikes through the weights, zeros, (longest + T, samples, N) |
| listed, values | the list of each sample, (samples, room) |

The others are those of `sequence`.
"""

from __future__ import annotations

from snn_neuromod.kernels.fusion.triton.expressions import FUNCTIONS
from snn_neuromod.kernels.fusion.triton.steps import SENDERS, forward_step, reverse_step
from snn_neuromod.kernels.fusion.triton.writer import Plan, Writer, load

__all__ = ["source"]

PRODUCTS = '''
@triton.jit
def _sparse_product(v, lanes, listed, values, w, width, out, within, GROUP: tl.constexpr, REAL: tl.constexpr):
    """Sum of the rows of w times v; rows where v is zero are not read."""
    fired = v != 0
    one = fired.to(tl.int32)
    place = tl.cumsum(one, 0) - 1
    count = tl.sum(one, 0)
    tl.store(listed + place, lanes, mask=fired)
    tl.store(values + place, v, mask=fired)
    tl.debug_barrier()
    sums = tl.zeros([GROUP, out.shape[0]], REAL)
    for j in range(0, count, GROUP):
        k = j + tl.arange(0, GROUP)
        some = k < count
        row = tl.load(listed + k, mask=some, other=0)
        factor = tl.load(values + k, mask=some, other=0.0)
        mask = some[:, None] & within[None, :]
        rows = tl.load(w + row[:, None] * width + out[None, :], mask=mask, other=0.0)
        sums += rows * factor[:, None]
    tl.debug_barrier()
    return tl.sum(sums, 0)


@triton.jit
def _listed_product(needed, lanes, v, out, within, listed, values, spare, w, width,
                    GROUP: tl.constexpr, REAL: tl.constexpr):
    """Products of v with the rows of w that are needed; 0 for the others."""
    one = needed.to(tl.int32)
    place = tl.cumsum(one, 0) - 1
    count = tl.sum(one, 0)
    tl.store(listed + place, lanes, mask=needed)
    tl.store(spare + out, v, mask=within)
    tl.debug_barrier()
    v = tl.load(spare + out, mask=within, other=0.0)
    for j in range(0, count, GROUP):
        k = j + tl.arange(0, GROUP)
        some = k < count
        row = tl.load(listed + k, mask=some, other=0)
        mask = some[:, None] & within[None, :]
        rows = tl.load(w + row[:, None] * width + out[None, :], mask=mask, other=0.0)
        tl.store(values + row, tl.sum(rows * v[None, :], 1), mask=some)
    tl.debug_barrier()
    return tl.load(values + lanes, mask=needed, other=0.0)


@triton.jit
def _dense_product(v, lanes, values, spare, w, num, width, out, within, GROUP: tl.constexpr, REAL: tl.constexpr):
    """Sum of all rows of w times v."""
    tl.store(values + lanes, v)
    tl.debug_barrier()
    sums = tl.zeros([GROUP, out.shape[0]], REAL)
    for j in range(0, num, GROUP):
        k = j + tl.arange(0, GROUP)
        factor = tl.load(values + k, mask=k < num, other=0.0)
        mask = (k < num)[:, None] & within[None, :]
        rows = tl.load(w + k[:, None] * width + out[None, :], mask=mask, other=0.0)
        sums = tl.fma(rows, tl.broadcast_to(factor[:, None], rows.shape), sums)
    tl.store(spare + out, tl.sum(sums, 0), mask=within)
    tl.debug_barrier()
    return tl.load(spare + out, mask=within, other=0.0)
'''


def source(plan: Plan) -> str:
    """Text of a module with the kernels `forward` and `backward`; the plan's chunk is one step."""
    return "\n".join([FUNCTIONS, SENDERS, PRODUCTS, *_forward(plan), "", *_backward(plan), ""])


_SAMPLE = [
    "    sample = tl.program_id(0)",
    "    n = tl.arange(0, BLOCK)",
    "    m = n < N",
    "    first = sample * N",
    "    e = first + n",
    "    row = sample",
    "    col = n",
    "    lane = tl.arange(0, SENDERS)",
    "    sends = lane < M",
    "    listed += sample * room",
    "    values += 2 * sample * room",
    "    spare = values + room",
]
_SPOT = "spot = (now + longest - late).to(tl.int64) * wide + sample * N + who"
_KNOWN = "        who, late = _sender(lane, sends, senders, DELAYED)"
"""Read at every step, where it is needed, so that it takes no registers in between."""

_NUMBERS = ["M", "longest", "every", "room"]
_FIXED = ["w", "N", "M"]  # rows are then read four numbers at a time
_FLAGS = ["KEEP", "DELAYED", "SENDERS", "GROUP"]


def _forward(plan: Plan) -> list[str]:
    states = range(len(plan.step.states))
    pointers = [
        "x",
        "z",
        "total",
        "marks",
        "w",
        "senders",
        "past",
        "listed",
        "values",
        "alive",
    ]
    pointers += [*(f"s{k}" for k in states), *(f"l{k}" for k in states)]
    flags = [*_FLAGS, "LIVE"]
    w = Writer(plan, "forward", pointers, flags, numbers=_NUMBERS, place=_SAMPLE)
    out, ind = w.after_head, "        "
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in states]
    out += [
        "    at = first.to(tl.int64)",
        "    k_at = marks + at",
        f"    next = {load('x + at + n')}",
    ]
    out += [f"    sent = {load('past + (longest - 1) * wide + e')}", "    for now in range(T):"]
    out += [
        "        m0 = m",
        "        x0 = next",
        "        if KEEP:",
        "            if now % every == 0:",
    ]
    out += [
        f"                tl.store(k_at + {j} * wide + n, s{k}_v, mask=m)"
        for j, k in enumerate(plan.moving)
    ]
    out += [f"                k_at += {len(plan.moving)} * wide"]
    out.append(f"        next = {load('x + at + wide + n', 'm & (now + 1 < T)')}")
    out += [
        "        if DELAYED:",
        f"    {_KNOWN}",
        "            step = now - late",
        "            spot = step.to(tl.int64) * wide + sample * N + who",
        f"            v = {load('z + spot', 'sends & (step >= 0)')}",
        "            v += tl.load(past + spot + longest * wide, mask=sends & (step < 0), other=0.0)",
        "            x0 += _sparse_product(v, lane, listed, values, w, N, n, m, GROUP, REAL)",
        "        else:",
        "            x0 += _sparse_product(sent, n, listed, values, w, N, n, m, GROUP, REAL)",
        "        if KEEP:",
        "            tl.store(total + at + n, x0, mask=m)",
    ]
    after = forward_step(w, ind, "at + n")
    out += [f"{ind}s{k}_n = {after[k]}" for k in plan.moving]
    out += [f"{ind}s{k}_v = s{k}_n" for k in plan.moving] + [f"{ind}at += wide"]
    out += ["        if DELAYED:", "            tl.debug_barrier()"]
    out += [f"    tl.store(l{k} + e, s{k}_v, mask=m)" for k in states]
    return w.finish()


def _backward(plan: Plan) -> list[str]:
    states = range(len(plan.step.states))
    steady = [k for k in states if k not in plan.moving]
    pointers = [
        "x",
        "gz",
        "gx",
        "marks",
        "w",
        "senders",
        "arriving",
        "listed",
        "values",
        "alive",
    ]
    pointers += [f"s{k}" for k in steady] + [f"{a}{k}" for a in "ab" for k in states]
    pointers += [f"g{k}" for k in plan.wanted]
    w = Writer(
        plan,
        "backward",
        pointers,
        ["LAST", "AHEAD", *_FLAGS],
        numbers=_NUMBERS,
        place=_SAMPLE,
        fixed=_FIXED,
    )
    out, ind = w.after_head, "        "
    static = [k for k in plan.wanted if not plan.per_step[k]]
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in steady]
    out += [f"    a{k}_v = nothing" for k in states] + [f"    g{k}_v = nothing" for k in static]
    out += ["    if LAST:", "        pass"] + [
        f"        a{k}_v = {load(f'a{k} + e')}" for k in states
    ]
    out += [
        "    at = (T - 1) * wide + first",
        f"    k_at = marks + (T - 1) * {len(plan.moving)} * wide + first",
    ]
    out += ["    hop = nothing", *_load_step(plan, "    ", "v", "m")]
    out += ["    for u in range(T):", "        now = T - 1 - u", "        m0 = m"]
    out += ["        here = at", "        at -= wide", f"        k_at -= {len(plan.moving)} * wide"]
    ahead = _load_step(plan, f"{ind}    ", "n", "m & (now > 0)")
    out += ["        if AHEAD:", *ahead]
    out += [
        "        if DELAYED:",
        f"            hop = {load('arriving + here + longest * wide + n')}",
    ]
    out.append("        gz0 = gz_v + hop")
    names, values = reverse_step(w, ind, "here + n")
    out += [f"{ind}{n}_e = {v}" for n, v in zip(names, values, strict=True)]
    out += [f"{ind}{n}_v = {n}_e" for n in names]
    before = f"before = {load('arriving + spot', 'sends')}"
    out += [
        _KNOWN,
        "        if DELAYED and AHEAD:",
        f"            {_SPOT}",
        f"            {before}",
    ]
    if plan.gates:
        out += [
            "        step = now - late",
            "        behind = alive + step.to(tl.int64) * wide + sample * N + who",
            "        needed = tl.load(behind, mask=sends & (step >= 0), other=0) != 0",
            "        pushed = _listed_product(needed, lane, back, n, m, listed, values, spare, w, N, GROUP, REAL)",
        ]
    else:
        out.append(
            "        pushed = _dense_product(back, n, values, spare, w, N, M, lane, sends, GROUP, REAL)"
        )
    out += [
        "        if DELAYED:",
        f"    {_KNOWN}",
        f"            {_SPOT}",
        "            if not AHEAD:",
        f"                {before}",
        "                tl.debug_barrier()  # as in the product, if what was before was read ahead of it",
        "            tl.store(arriving + spot, before + pushed, mask=sends)",
        "            tl.debug_barrier()",
        "        else:",
        "            hop = pushed",
    ]
    out += ["        if not AHEAD:", *ahead]
    names = ["x", "gz", *(f"s{k}" for k in plan.moving)]
    out += [f"{ind}{name}_v = {name}_n" for name in names]
    out += [f"    tl.store(b{k} + e, a{k}_v, mask=m)" for k in states]
    out += [f"    tl.store(g{k} + e, g{k}_v, mask=m)" for k in static]
    return w.finish()


def _load_step(plan: Plan, ind: str, end: str, mask: str) -> list[str]:
    """Load what the reverse pass of a step reads."""
    marks = [(f"s{k}", f"k_at + {j} * wide + n") for j, k in enumerate(plan.moving)]
    return [
        f"{ind}{name}_{end} = {load(at, mask)}"
        for name, at in (("x", "x + at + n"), ("gz", "gz + at + n"), *marks)
    ]
