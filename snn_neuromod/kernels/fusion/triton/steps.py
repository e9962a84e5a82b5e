"""What kernels of neurons with weights among them share: a step each way, and who sent what arrives at it."""

from __future__ import annotations

from snn_neuromod.kernels.fusion.triton.writer import Writer, decision, whole

__all__ = ["SENDERS", "forward_step", "reverse_step"]

SENDERS = '''
@triton.jit
def _sender(k, some, senders, DELAYED: tl.constexpr):
    """Neuron and delay of these senders, and a delay of 1 of others."""
    if DELAYED:
        both = tl.load(senders + k, mask=some, other=4294967296)
        who, late = both.to(tl.int32), (both >> 32).to(tl.int32)
    else:
        who = k
        late = tl.zeros_like(k) + 1
    return who, late
'''


def forward_step(w: Writer, ind: str, at: str) -> list[str]:
    """A step, from x0 and s<k>_v; stores its spikes, `sent`, and where LIVE whether a gradient of them has an effect.

    Args:
        w: What is written.
        ind: Indentation.
        at: The name of its place, (step, sample, neuron).

    Returns:
        The states after it.
    """
    plan, out = w.plan, w.after_head
    body, graph, params, state = w.body()
    x = body.name(graph.input("x0"), "x0")
    own = w.params_at(graph, body, params, 0, ind)
    z, *after = plan.step.forward(graph, own, state, x)
    body.emit([z, *after], ind, exact=not plan.graded)
    out += [
        f"{ind}sent = tl.where(m, {whole(body, z)}, nothing)",
        f"{ind}tl.store(z + {at}, sent, mask=m)",
    ]
    if plan.gates:
        found = graph.substitute(plan.gates, plan.step.given(own, state, x))
        out.append(f"{ind}if LIVE:")
        body.emit(found, f"{ind}    ", exact=False)
        live = " | ".join(f"({body.text(gate)} != 0)" for gate in found)
        out.append(f"{ind}    tl.store(alive + {at}, ({live}).to(tl.uint8), mask=m)")
    return [whole(body, node) for node in after]


def reverse_step(w: Writer, ind: str, at: str) -> tuple[list[str], list[str]]:
    """The reverse of a step, from x_v, gz0, s<k>_v, a<k>_v and g<k>_v; stores what belongs to it.

    Args:
        w: What is written.
        ind: Indentation.
        at: The name of its place, (step, sample, neuron).

    Returns:
        Names of adjoints of states and of gradients of parameters that are no step's own, and their new values.
    """
    plan, out, states = w.plan, w.after_head, range(len(w.plan.step.states))
    static = [k for k in plan.wanted if not plan.per_step[k]]
    given = [k for k in plan.wanted if plan.per_step[k]]
    body, graph, params, state = w.body()
    x, gz = body.name(graph.input("x0"), "x_v"), body.name(graph.input("gz0"), "gz0")
    own = w.params_at(graph, body, params, 0, ind)
    body.emit(decision(plan.step.forward(graph, own, state, x)[0]), ind, exact=not plan.graded)
    adjoints = [body.name(graph.input(f"a{k}"), f"a{k}_v") for k in states]
    found = plan.step.reverse(graph, own, state, x, gz, adjoints)
    sums = [
        graph.make("add", body.name(graph.input(f"g{j}"), f"g{j}_v"), found.params[j])
        for j in static
    ]
    roots = [found.current, *found.state, *sums, *(found.params[j] for j in given)]
    body.emit(roots, ind, exact=False)
    out += [
        f"{ind}back = tl.where(m, {whole(body, found.current)}, nothing)",
        f"{ind}tl.store(gx + {at}, back, mask=m)",
    ]
    out += [f"{ind}tl.store(g{j} + {at}, {whole(body, found.params[j])}, mask=m)" for j in given]
    names = [f"a{k}" for k in states] + [f"g{j}" for j in static]
    return names, [whole(body, v) for v in [*found.state, *sums]]
