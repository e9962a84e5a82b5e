"""Kernels over a whole sequence, each neuron of each sample on its own: the time loop inside, forward and reverse.

A program owns a block of neurons, whose states stay in registers. It goes through time in chunks of K steps, written
out; the inputs of the next chunk are loaded before the steps of this one, so that memory and arithmetic overlap. The
forward pass keeps the states before each chunk ("marks"); the reverse pass recomputes the others from them. Steps of
the last chunk that lie behind the end change no state and no gradient.

| argument | what |
|---|---|
| x, z, gz, gx | input, spikes and their gradients, (T, E), of any floating-point type |
| marks | moving states before each chunk, (T / K rounded up, moving, E) |
| p<k>, p<k>r, p<k>c, p<k>t | parameter k, and its strides along samples, neurons and steps |
| s<k>, l<k> | state k before the first and after the last step, (E,) |
| a<k>, b<k> | their gradients: given (where LAST) and wanted |
| g<k> | gradient of parameter k, (E,), or (T, E) if it is given per step |

E = samples times N neurons. All numbers are run-time arguments, so that one kernel serves every size.
"""

from __future__ import annotations

from collections.abc import Sequence

from snn_neuromod.kernels.fusion.graph import Graph, Node
from snn_neuromod.kernels.fusion.triton.expressions import FUNCTIONS, Body
from snn_neuromod.kernels.fusion.triton.writer import Plan, Writer, decision, load, whole

__all__ = ["source"]


def source(plan: Plan) -> str:
    """Text of a module with the kernels `forward` and `backward`."""
    return "\n".join([FUNCTIONS, *_forward(plan), "", *_backward(plan), ""])


def _forward(plan: Plan) -> list[str]:
    states = range(len(plan.step.states))
    pointers = ["x", "z", "marks", *(f"s{k}" for k in states), *(f"l{k}" for k in states)]
    w = Writer(plan, "forward", pointers, ["KEEP"])
    out, K = w.after_head, plan.chunk
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in states]
    out += ["    x_at = x + e", "    z_at = z + e", "    k_at = marks + e"]
    out += [f"    x{k}_v = {load(f'x_at + o{k}', f'm & ({k} < T)')}" for k in range(K)]
    out += [f"    for c in range((T + {K - 1}) // {K}):", f"        now = c * {K}"]
    out += _within(K)
    out.append("        if KEEP:")
    out += [
        f"            tl.store(k_at + {j} * wide, s{k}_v, mask=m)"
        for j, k in enumerate(plan.moving)
    ]
    out += [f"            k_at += {len(plan.moving)} * wide", f"        x_at += o{K}"]
    for k in range(K):
        out.append(f"        n{k} = {load(f'x_at + o{k}', f'm & (now + {K + k} < T)')}")
    _steps(w)
    out += [f"        x{k}_v = n{k}" for k in range(K)] + [f"        z_at += o{K}"]
    out += [f"    tl.store(l{k} + e, s{k}_v, mask=m)" for k in states]
    return w.finish()


def _within(chunk: int) -> list[str]:
    """Which steps of a chunk come before the end."""
    return [
        line
        for k in range(chunk)
        for line in (f"        w{k} = now + {k} < T", f"        m{k} = m & w{k}")
    ]


def _steps(w: Writer) -> None:
    """Forward steps of a chunk."""
    plan, out, ind = w.plan, w.after_head, "        "
    body, graph, params, state = w.body()
    for k in range(plan.chunk):
        x = body.name(graph.input(f"x{k}"), f"x{k}_v")
        own = w.params_at(graph, body, params, k, ind)
        z, *after = plan.step.forward(graph, own, state, x)
        state = _guarded(graph, body, k, after, state)
        body.emit([z, *state], ind, exact=not plan.graded)
        out.append(f"{ind}tl.store(z_at + o{k}, {whole(body, z)}, mask=m{k})")
    out += [f"{ind}s{k}_n = {whole(body, state[k])}" for k in plan.moving]
    out += [f"{ind}s{k}_v = s{k}_n" for k in plan.moving]


def _guarded(
    graph: Graph, body: Body, k: int, after: Sequence[Node], before: Sequence[Node]
) -> list[Node]:
    """Values after step k of a chunk, or those before it where that step lies behind the end."""
    if k == 0:
        return list(after)
    within = body.name(graph.make("gt", graph.input("T"), graph.input(f"t{k}")), f"w{k}")
    return [graph.make("where", within, a, b) for a, b in zip(after, before, strict=True)]


def _backward(plan: Plan) -> list[str]:
    states = range(len(plan.step.states))
    steady = [k for k in states if k not in plan.moving]
    pointers = ["x", "gz", "gx", "marks", *(f"s{k}" for k in steady)]
    pointers += [f"{a}{k}" for a in "ab" for k in states] + [f"g{k}" for k in plan.wanted]
    w = Writer(plan, "backward", pointers, ["LAST"])
    out, K = w.after_head, plan.chunk
    sums = [k for k in plan.wanted if not plan.per_step[k]]
    out += [f"    s{k}_v = {load(f's{k} + e')}" for k in steady]
    out += [f"    a{k}_v = nothing" for k in states] + [f"    g{k}_v = nothing" for k in sums]
    out += ["    if LAST:", "        pass"] + [
        f"        a{k}_v = {load(f'a{k} + e')}" for k in states
    ]
    out += [
        f"    chunks = (T + {K - 1}) // {K}",
        f"    t = (chunks - 1) * {K}",
        "    at = t * wide + e",
    ]
    out.append(f"    k_at = marks + (chunks - 1) * {len(plan.moving)} * wide + e")
    _load_chunk(plan, out, "    ", "v", "m")
    out += ["    for u in range(chunks):", "        now = t", "        here = at", *_within(K)]
    out += [
        f"        t -= {K}",
        f"        at -= o{K}",
        "        more = m & (t >= 0)",
        f"        k_at -= {len(plan.moving)} * wide",
    ]
    _load_chunk(plan, out, "        ", "n", "more")
    _reverse(w)
    for name in [f"{v}{k}" for v in ("x", "gz") for k in range(K)] + [f"s{k}" for k in plan.moving]:
        out.append(f"        {name}_v = {name}_n")
    out += [f"    tl.store(b{k} + e, a{k}_v, mask=m)" for k in states]
    out += [f"    tl.store(g{k} + e, g{k}_v, mask=m)" for k in sums]
    return w.finish()


def _load_chunk(plan: Plan, out: list[str], ind: str, end: str, mask: str) -> None:
    """Load what the reverse pass of the chunk at t needs; only the last one, loaded first, reaches behind the end."""
    for j, k in enumerate(plan.moving):
        out.append(f"{ind}s{k}_{end} = {load(f'k_at + {j} * wide', mask)}")
    for name, order in (("x", 1), ("gz", -1)):
        for k in range(plan.chunk)[::order]:
            own = f"{mask} & (t + {k} < T)" if end == "v" else mask
            out.append(f"{ind}{name}{k}_{end} = {load(f'{name} + at + o{k}', own)}")


def _reverse(w: Writer) -> None:
    """Recompute the states of a chunk, then go back through its steps."""
    plan, out, ind, K = w.plan, w.after_head, "        ", w.plan.chunk
    body, graph, params, state = w.body()
    exact = not plan.graded
    history = []
    for k in range(K):
        x = body.name(graph.input(f"x{k}"), f"x{k}_v")
        own = w.params_at(graph, body, params, k, ind)
        history.append((own, state, x))
        z, *state = plan.step.forward(graph, own, state, x)
        body.emit([*state, *decision(z)] if k < K - 1 else decision(z), ind, exact=exact)
    adjoints = [body.name(graph.input(f"a{k}"), f"a{k}_v") for k in range(len(state))]
    given = [j for j in plan.wanted if plan.per_step[j]]
    static = [j for j in plan.wanted if not plan.per_step[j]]
    sums = [body.name(graph.input(f"g{j}"), f"g{j}_v") for j in static]
    for k in range(K - 1, -1, -1):
        own, state, x = history[k]
        gz = body.name(graph.input(f"gz{k}"), f"gz{k}_v")
        found = plan.step.reverse(graph, own, state, x, gz, adjoints)
        more = [graph.make("add", g, found.params[j]) for g, j in zip(sums, static, strict=True)]
        new = _guarded(graph, body, k, [*found.state, *more], [*adjoints, *sums])
        adjoints, sums = new[: len(adjoints)], new[len(adjoints) :]
        body.emit([found.current, *new, *(found.params[j] for j in given)], ind, exact=False)
        out.append(f"{ind}tl.store(gx + here + o{k}, {whole(body, found.current)}, mask=m{k})")
        for j in given:
            value = whole(body, found.params[j])
            out.append(f"{ind}tl.store(g{j} + here + o{k}, {value}, mask=m{k})")
    names = [f"a{k}" for k in range(len(adjoints))] + [f"g{j}" for j in static]
    out += [
        f"{ind}{n}_e = {whole(body, v)}" for n, v in zip(names, [*adjoints, *sums], strict=True)
    ]
    out += [f"{ind}{n}_v = {n}_e" for n in names]
