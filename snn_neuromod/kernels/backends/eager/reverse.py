"""Derivatives of a neuron's step along a sequence, printed from its Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch import Tensor

from snn_neuromod.kernels.backends.eager.known import Known
from snn_neuromod.kernels.backends.eager.linearisation import Linearisation
from snn_neuromod.kernels.fusion.algebra import rewrite
from snn_neuromod.kernels.fusion.graph import Graph, Node
from snn_neuromod.kernels.fusion.jacobian import flow
from snn_neuromod.kernels.fusion.pytorch.program import Part, Program

__all__ = ["Reverse"]


class Reverse:
    """Printed derivatives.

    Args:
        known: The step.
        states: Numbers of the states that the forward pass has kept.
        saved: Nodes that it has kept.
        needed: Parameters whose gradients are asked for.
        followed: Numbers of the states whose past is followed; None: all.
        seeded: Numbers of the states whose last ones have a gradient.
        bits: Whether it is for a CPU.
    """

    def __init__(
        self,
        known: Known,
        states: Collection[int],
        saved: Sequence[Node],
        needed: Sequence[str],
        followed: Collection[int] | None,
        seeded: Collection[int],
        *,
        bits: bool,
    ) -> None:
        found = flow(known.step, needed, followed=followed, seeded=seeded)
        jacobian = found.jacobian(known.fixed)
        graph = Graph(known.step.graph.dtype)
        names = known.leaves()
        there = {"z", *(f"n{k}" for k in states)}
        names = {node: name for node, name in names.items() if name in there}
        names |= {node: f"c{j}" for j, node in enumerate(saved)}
        given = {node: graph.input(name) for node, name in names.items()}
        self._edges = [*jacobian.lagged], [*jacobian.within]
        self._params = {name: [*column] for name, column in jacobian.params.items()}
        roots = [*jacobian.lagged.values(), *jacobian.within.values()]
        roots += [node for column in jacobian.params.values() for node in column.values()]
        part = Part({}, rewrite(graph, roots, given, known.fixed))
        self.program = Program([part], known.fixed, known.number, exact=False, bits=bits)
        self.reads = self.program.reads[0]

    def bind(
        self, like: Tensor, fixed: Mapping[str, Tensor]
    ) -> Callable[[Tensor, Callable[[str], Tensor]], Linearisation]:
        """The derivatives as a function of a tensor like the input of a segment and of what gives inputs by name.

        Args:
            like: A tensor of one step.
            fixed: Inputs that do not change with time, by name.
        """
        (function,) = self.program.bind(like, fixed)

        def linearise(segment: Tensor, get: Callable[[str], Tensor]) -> Linearisation:
            found = iter(function(segment, *map(get, self.reads)))
            lagged, within = ({edge: next(found) for edge in edges} for edges in self._edges)
            params = {name: {y: next(found) for y in ys} for name, ys in self._params.items()}
            return Linearisation(lagged, within, params)

        return linearise
