"""A compiled kernel of a step: where it is, and what there is to know of it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import source
from snn_neuromod.kernels.fusion.trace import Step


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


def compiled(step: Step, dtype: torch.dtype, name: str, *, exact: bool) -> Kernel:
    """Kernels of a step.

    Args:
        step: The traced step.
        dtype: float32 or float64.
        name: What the user knows it by.
        exact: Whether both passes compute what PyTorch would, operation by operation.

    Raises:
        CompileError: If they cannot be compiled.
    """
    made = source(step, dtype, exact=exact)
    library = jit.load(made.text, name)
    functions = address(library.snn_kernel), address(library.snn_recurrent)
    return Kernel(*functions, dtype, made.kept, made.zero, made.reads)
