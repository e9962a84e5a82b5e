"""The reverse pass of a step as a step of its own.

Its states are the adjoints of those of the step, its input is the gradient of the spikes, its spikes are the gradient
of the input; what it reads of the forward pass are parameters that change from step to step. So it is printed, and goes
through a sequence, as a step does, but from the last one to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from snn_neuromod.kernels.backends.eager.known import Known, Reads
from snn_neuromod.kernels.backends.eager.passes import Printed
from snn_neuromod.kernels.fusion.algebra import rewrite
from snn_neuromod.kernels.fusion.graph import Graph, live
from snn_neuromod.kernels.fusion.trace import Step, invariants

__all__ = ["Reverse", "reverse"]


class Reverse(NamedTuple):
    """A printed reverse pass.

    Attributes:
        printed: What is printed; its results are the gradients of the needed parameters at every step.
        reads: What its parameters are behind those of the step: "x" the input, "z" the spikes, "s0" a state before the
            step, "n0" after it, "c0" what is saved.
    """

    printed: Printed
    reads: tuple[str, ...]


def reverse(
    known: Known,
    reads: Reads,
    needed: Sequence[int],
    seeded: Sequence[int],
    *,
    recurrent: bool,
    bits: bool,
) -> Reverse:
    """Print the reverse pass of a step.

    Args:
        known: The step.
        reads: What the forward pass has kept.
        needed: Numbers of the parameters whose gradients are asked for.
        seeded: Numbers of the states whose last ones have a gradient.
        recurrent: Whether gradients of the input reach the spikes of steps before.
        bits: Whether it is for a CPU.
    """
    step, graph, invariant = known.step, Graph(known.step.graph.dtype), invariants()
    there = {"z", *(f"n{k}" for k in reads.states)}
    leaves = {node: name for node, name in known.leaves().items() if name in there}
    leaves |= {node: f"c{j}" for j, node in enumerate(reads.saved)}
    adjoints, silent = step.inputs("a"), step.silent(seeded)
    zero = {adjoints[k]: step.graph.const(0.0) for k in silent}
    roots = step.graph.substitute(step.gradients(needed), zero)
    names = {node: leaves.get(node, str(node.value)) for node in live(roots, stop=leaves)}
    names = {n: name for n, name in names.items() if n in leaves or name[0] in "xs"}
    given = {node: graph.input(f"p{len(step.params) + j}") for j, node in enumerate(names)}
    own = [graph.input(f"s{k}") for k in range(len(adjoints))]
    given |= {step.graph.input("gz"): graph.input("x"), **dict(zip(adjoints, own, strict=True))}

    current, *made = rewrite(graph, roots, given, invariant)
    after = [own[k] if k in silent else made[k] for k in range(len(own))]
    learned = made[len(own) :]
    swept = {node for node in live([current, *after]) if node.args and not invariant(node)}
    saved = [n for n in live(learned, stop=swept) if n in swept - {current, *after}]
    mirrored = Step(graph, (*step.params, *names.values()), step.states, (current, *after))
    stays = {f"s{k}" for k in range(len(own)) if k not in known.moving}
    kinds = [*known.kinds, *("tensor" if name in stays else "steps" for name in names.values())]
    printed = Printed(
        Known(mirrored, kinds), saved, learned, recurrent=recurrent, bits=bits, back=True
    )
    return Reverse(printed, tuple(names.values()))
