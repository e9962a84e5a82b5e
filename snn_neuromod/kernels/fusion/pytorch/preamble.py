"""What does not change with time: computed once for all steps, as tensors and as the numbers that they hold."""

from __future__ import annotations

from collections.abc import Callable

from snn_neuromod.kernels.fusion.graph import Node
from snn_neuromod.kernels.fusion.operations import OPERATIONS

__all__ = ["Preamble"]

_FORMS = {"real": "{args}.to(like.dtype)", "spike": "ceil(clamp({args}, 0, 1))"}


class Preamble:
    """Statements, and names for what they compute.

    Args:
        fixed: Whether a node does not change with time.
        number: Whether such a node is one number on a CPU.

    Attributes:
        inputs: Names of the inputs that are read.
        lines: The statements; "like" is a tensor of one step.
    """

    def __init__(self, fixed: Callable[[Node], bool], number: Callable[[Node], bool]) -> None:
        self._fixed, self._number = fixed, number
        self.inputs: list[str] = []
        self.lines: list[str] = []
        self._names: dict[tuple[str, object], str] = {}

    def fixed(self, node: Node) -> bool:
        """Whether a node does not change with time."""
        return node.op == "const" or self._fixed(node)

    def is_number(self, node: Node) -> bool:
        """Whether a fixed node can be had as a number."""
        return node.op == "const" or self._number(node)

    def tensor(self, node: Node) -> str:
        """A fixed node as a tensor."""
        if node.op == "input":
            if node.value not in self.inputs:
                self.inputs.append(str(node.value))
            return str(node.value)
        if node.op == "const":
            return self._constant(node.value)
        key = ("k", node)
        if key not in self._names:
            args = ", ".join(self.tensor(a) for a in node.args)
            form = _FORMS.get(node.op, f"{OPERATIONS[node.op].torch}({{args}})")
            self._add(key, form.format(args=args))
        return self._names[key]

    def number(self, node: Node) -> str:
        """A fixed node as a number."""
        if node.op == "const":
            return repr(node.value)
        return self._names.get(("q", node)) or self._add(("q", node), f"{self.tensor(node)}.item()")

    def mask(self, node: Node) -> str:
        """A fixed truth as 0 or 1."""
        known = self._names.get(("m", node))
        return known or self._add(("m", node), f"{self.tensor(node)}.to(like.dtype)")

    def _constant(self, value: object) -> str:
        key = ("o", repr(value))
        kind = ", dtype=bool" if isinstance(value, bool) else ""
        return self._names.get(key) or self._add(key, f"like.new_full((), {value!r}{kind})")

    def _add(self, key: tuple[str, object], text: str) -> str:
        name = f"{key[0]}{len(self._names)}"
        self._names[key] = name
        self.lines.append(f"{name} = {text}")
        return name
