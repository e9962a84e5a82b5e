"""Printed kernels as functions of tensors."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import source
from snn_neuromod.kernels.fusion.plan import EVERY
from snn_neuromod.kernels.fusion.trace import Step, apart, trace

_T = TypeVar("_T")
DTYPES = (torch.float32, torch.float64)


class Result(NamedTuple):
    """Of the forward pass: spikes, last state, and what the reverse pass needs."""

    spikes: Tensor
    last: list[Tensor]
    kept: list[Tensor]


class Gradients(NamedTuple):
    """Of input, first state and needed parameters; of parameters in the shape of the input, or of a step of it."""

    current: Tensor
    state: list[Tensor]
    params: list[Tensor | None]


class Wiring(NamedTuple):
    """Weights among the neurons of a layer, contiguous, as `c/weights.h` takes them.

    Attributes:
        past: Spikes before the first step, (longest delay, ..., neuron), oldest first.
        weights: Of all groups of synapses with one delay, one after the other, rows padded to 64 bytes.
        groups: How many there are, the longest delay, and of each its delay and number of senders.
        sources: The neurons that send, int64, group after group; None: all.
        given: Input from outside, or gradients of the spikes; put in by `Kernel`.
    """

    past: Tensor
    weights: Tensor
    groups: Sequence[int]
    sources: Tensor | None = None
    given: Tensor | None = None


class Kernels:
    """All kernels of one step, traced, printed and compiled when they are first needed.

    Args:
        step: `step(params, state, current, **options) -> (spikes, state)`, elementwise.
        params_type: NamedTuple of its parameters.
        state_type: NamedTuple of its states.
        options: Named arguments of the step.
        name: What the user knows it by.
        exact: Whether both passes compute what PyTorch would, operation by operation.
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
        self.name, self._exact = name, exact
        self._tracing, self._printing = threading.Lock(), threading.Lock()
        self._steps: dict[torch.dtype, Step | Exception] = {}
        self._kernels: dict[torch.dtype, Kernel | Exception] = {}

    def step(self, dtype: torch.dtype) -> Step:
        """The traced step.

        Raises:
            NotElementwise: If no kernel can be printed from it.
        """
        with self._tracing:
            if dtype not in self._steps:
                self._steps[dtype] = _kept(lambda: trace(*self._described, dtype=dtype))
            return _found(self._steps[dtype], Step)

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

    def kernel(self, dtype: torch.dtype) -> Kernel:
        """Compiled kernels.

        Raises:
            NotElementwise: If no kernel can be printed from the step.
            CompileError: If it cannot be compiled.
        """
        with self._printing:
            if dtype not in self._kernels:
                self._kernels[dtype] = apart(lambda: _kept(lambda: self._compiled(dtype)))
            return _found(self._kernels[dtype], Kernel)

    def _compiled(self, dtype: torch.dtype) -> Kernel:
        made = source(self.step(dtype), dtype, exact=self._exact)
        library = jit.load(made.text, self.name)
        functions = library.snn_kernel, library.snn_recurrent
        return Kernel(*functions, dtype, made.kept, made.zero, made.reads)


def _kept(make: Callable[[], Any]) -> Any:
    """What was made, or the error: what fails once is not tried again."""
    try:
        return make()
    except (ValueError, jit.CompileError) as error:
        return error


def _found(outcome: _T | Exception, kind: type[_T]) -> _T:
    if isinstance(outcome, kind):
        return outcome
    raise outcome  # type: ignore[misc]


class Kernel:
    """A compiled kernel.

    Args:
        function: Its C function.
        recurrent: That of a layer with weights among its neurons.
        dtype: Its type.
        kept: Numbers of the states that the forward pass keeps.
        zero: Numbers of the states whose gradient is 0 if it is 0 at the end.
        reads: Whether the reverse pass reads the input where no parameter needs a gradient.
        numbers: Numbers of the options, one row; None: it has none.
    """

    def __init__(
        self,
        function: Any,
        recurrent: Any,
        dtype: torch.dtype,
        kept: Sequence[int],
        zero: Sequence[int],
        reads: bool,
        numbers: Tensor | None = None,
    ) -> None:
        self._function, self._recurrent, self.dtype = function, recurrent, dtype
        self.kept, self.zero, self.reads = kept, zero, reads
        self._numbers = [] if numbers is None else [*numbers.unbind(0)]

    @property
    def address(self) -> int:
        """Of the C function."""
        return ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def forward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        *,
        keep: bool,
        spikes: Tensor | None = None,
    ) -> Result:
        """Run a sequence.

        Args:
            current: Input, (T, ..., neuron), T >= 1.
            params: Parameters, each broadcastable to a step of the input, or with as many axes as that to the whole.
            state: State before the first step, each as a step of the input.
            keep: Whether there will be a reverse pass.
            spikes: Where spikes are written; None: made here.

        Returns:
            Spikes, last state and kept states, (stretches, ..., neuron).
        """
        current = current.contiguous()
        spikes = torch.empty_like(current) if spikes is None else spikes
        last = [_copy(s, current) for s in state]
        stretches = -(-len(current) // EVERY) if keep else 0
        kept = [current.new_empty(stretches, *current.shape[1:]) for _ in self.kept]
        self._run(current, params, [current, spikes, None, None], [*last, *kept], keep, False, None)
        return Result(spikes, last, kept)

    def recurrent_forward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        wiring: Wiring,
        *,
        keep: bool,
    ) -> tuple[Result, Tensor]:
        """Run a sequence of a layer with weights among its neurons.

        Args:
            current: As of `forward`, and so are the others.
            params: Parameters.
            state: State before the first step.
            wiring: The weights, (sources, neuron to).
            keep: Whether there will be a reverse pass.

        Returns:
            As of `forward`, and the whole input, of one step where nothing is kept.
        """
        current = current.contiguous()
        total, spikes = (
            torch.empty_like(current if keep else current[:1]),
            torch.empty_like(current),
        )
        last = [_copy(s, current) for s in state]
        stretches = -(-len(current) // EVERY) if keep else 0
        kept = [current.new_empty(stretches, *current.shape[1:]) for _ in self.kept]
        given = wiring._replace(given=current)
        self._run(current, params, [total, spikes, None, None], [*last, *kept], keep, False, given)
        return Result(spikes, last, kept), total

    def backward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        kept: Sequence[Tensor | None],
        grad_spikes: Tensor,
        grad_last: Sequence[Tensor | None],
        needed: Sequence[bool],
        wiring: Wiring | None = None,
    ) -> Gradients:
        """Gradients of a sequence.

        Args:
            current: As given to `forward`; the whole input of a layer with weights among its neurons.
            params: As given to `forward`.
            state: As given to `forward`.
            kept: From `forward`; nothing where it reads none.
            grad_spikes: Gradient of the spikes.
            grad_last: Gradients of the last state; None is 0.
            needed: Which parameters need a gradient.
            wiring: Weights that the gradient goes back through, (neuron to, sources); None: none.

        Returns:
            Gradients of the input, of the first state, and of the parameters that need one.
        """
        current, grad_spikes = current.contiguous(), grad_spikes.contiguous()
        first = [_copy(s, current) for s in state]
        adjoints = [
            torch.zeros_like(s) if g is None else _copy(g, current)
            for s, g in zip(first, grad_last, strict=True)
        ]
        grads = [
            torch.zeros_like(current if _is_per_step(p, current) else current[0]) if need else None
            for p, need in zip(params, needed, strict=True)
        ]
        grad_current = torch.empty_like(current)
        signal = grad_spikes
        if wiring is not None:
            signal, wiring = torch.empty_like(current[0]), wiring._replace(given=grad_spikes)
        kept = kept or [None] * len(self.kept)
        rows = [*first, *kept, *self._seeded(adjoints, grad_last), *grads]
        self._run(current, params, [current, None, signal, grad_current], rows, True, True, wiring)
        return Gradients(grad_current, adjoints, grads)

    def _run(
        self,
        like: Tensor,
        params: Sequence[Tensor],
        sequences: Sequence[Tensor | None],
        rows: Sequence[Tensor | None],
        keep: bool,
        reverse: bool,
        wiring: Wiring | None,
    ) -> None:
        """Call the C function; arguments in the order of `driver.h` and `recurrent.h`."""
        given = [_spread(p, like) for p in params]
        sizes = [len(like), like[0].numel(), like.shape[-1]]
        sizes += [torch.get_num_threads(), int(keep), int(reverse)]
        sizes += [x for p in given for x in (p.stride(0) if len(p) > 1 else 0, *p.stride()[1:])]
        tensors = [*sequences, *given, *self._numbers, *rows]
        arguments, function = [_numbers(sizes), self._pointers(tensors)], self._function
        if wiring is not None:
            function = self._recurrent
            tensors = [wiring.past, wiring.weights, None, wiring.given]
            arguments += [_numbers(wiring.groups), self._pointers(tensors)]
            if wiring.sources is not None:
                arguments[-1][2] = wiring.sources.data_ptr()
        if function(*arguments):
            raise MemoryError("kernel: no memory for a tile")

    def _seeded(
        self, adjoints: Sequence[Tensor], given: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """Gradients of states as the C function takes them: none where they are 0 and stay so."""
        if any(given[k] is not None for k in self.zero):
            return [*adjoints]
        return [None if k in self.zero else a for k, a in enumerate(adjoints)]

    def _pointers(self, tensors: Sequence[Tensor | None]) -> Any:
        for tensor in tensors:
            if tensor is not None and (tensor.dtype != self.dtype or tensor.device.type != "cpu"):
                raise TypeError(
                    f"kernel: every tensor must be {self.dtype} on the CPU, got {tensor.dtype} on {tensor.device}"
                )
        return (ctypes.c_void_p * len(tensors))(
            *(None if t is None else t.data_ptr() for t in tensors)
        )


def _numbers(numbers: Sequence[int]) -> Any:
    return (ctypes.c_int64 * len(numbers))(*numbers)


def _is_per_step(param: Tensor, current: Tensor) -> bool:
    """Whether a parameter changes with time."""
    return param.ndim == current.ndim and len(param) > 1


def _spread(param: Tensor, current: Tensor) -> Tensor:
    """A parameter as (steps or 1, rows, neurons), not copied where that can be."""
    shape = current.shape
    if not _is_per_step(param, current):
        wide = (param[0] if param.ndim == current.ndim else param).expand(shape[1:])[None]
    else:
        wide = param.expand(shape)
        wide = wide if wide.stride(0) else wide.contiguous()  # 0 tells what does not change
    return wide if wide.ndim == 3 else wide.reshape(len(wide), -1, shape[-1])


def _copy(tensor: Tensor, current: Tensor) -> Tensor:
    return tensor.expand(current.shape[1:]).clone(memory_format=torch.contiguous_format)
