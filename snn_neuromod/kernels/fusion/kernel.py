"""Kernels of a step, traced, printed and compiled when they are first needed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import source
from snn_neuromod.kernels.fusion.trace import Once, Step, trace

DTYPES = (torch.float32, torch.float64)


class Kernel(NamedTuple):
    """A compiled kernel, for tensors of one type.

    Attributes:
        function: Address of its C function.
        recurrent: Of that of a layer with weights among its neurons.
        dtype: The type.
        kept: Numbers of the states that the forward pass keeps.
        zero: Numbers of the states whose gradient is 0 if it is 0 at the end.
        reads: Whether the reverse pass reads the input where no parameter needs a gradient.
        numbers: Numbers of the options.
    """

    function: int
    recurrent: int
    dtype: torch.dtype
    kept: Sequence[int]
    zero: Sequence[int]
    reads: bool
    numbers: Sequence[Tensor] = ()


def address(function: Any) -> int:
    """Of a C function of a library, which stays loaded."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Kernels:
    """All that is traced, printed and compiled of one step, when it is first needed.

    Args:
        step: `step(params, state, current, **options) -> (spikes, state)`, elementwise.
        params_type: NamedTuple of its parameters.
        state_type: NamedTuple of its states.
        options: Named arguments of the step.
        name: What the user knows it by.
        exact: Whether both passes compute what PyTorch would, operation by operation.

    Attributes:
        once: Makes, and keeps, what else backends print of it.
    """

    def __init__(
        self,
        step: Callable[..., tuple[Tensor, Any]],
        params_type: Any,
        state_type: Any,
        options: Mapping[str, Any] | None = None,
        name: str = "a neuron",
        *,
        exact: bool = False,
    ) -> None:
        self._described = (step, params_type, state_type, dict(options or {}))
        self.name, self._exact, self.once = name, exact, Once()

    def step(self, dtype: torch.dtype, states: tuple[int, ...] | None = None) -> Step:
        """The traced step, with the past of these states followed alone; None: of all.

        Raises:
            NotElementwise: If no kernel can be printed from it.
        """
        whole = self.once(("step", dtype), lambda: trace(*self._described, dtype=dtype))
        return whole.following(states)

    @property
    def module(self) -> Any:
        """The step with the types of its parameters and states, as `neurons.Described` takes it."""
        step, params_type, state_type, options = self._described
        return SimpleNamespace(
            Params=params_type, State=state_type, step=partial(step, **options), __name__=self.name
        )

    def plain(
        self, params: Sequence[Tensor], state: Sequence[Tensor], current: Tensor
    ) -> list[Tensor]:
        """The step itself, in plain PyTorch: spikes and state after it."""
        step, params_type, state_type, options = self._described
        spikes, after = step(params_type(*params), state_type(*state), current, **options)
        return [spikes, *after]

    def kernel(self, dtype: torch.dtype, states: tuple[int, ...] | None = None) -> Kernel:
        """Compiled kernels; arguments as of `step`.

        Raises:
            NotElementwise: If no kernel can be printed from the step.
            CompileError: If it cannot be compiled.
        """
        return self.once(("c", dtype, states), lambda: self._compiled(dtype, states))

    def _compiled(self, dtype: torch.dtype, states: tuple[int, ...] | None) -> Kernel:
        made = source(self.step(dtype, states), dtype, exact=self._exact)
        library = jit.load(made.text, self.name)
        functions = address(library.snn_kernel), address(library.snn_recurrent)
        return Kernel(*functions, dtype, made.kept, made.zero, made.reads)
