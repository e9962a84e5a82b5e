"""One step at a time, forwards and backwards, by a printed kernel: for loops over time that call a neuron at each step.

A step of some thousand neurons takes less than the calls around it, so nothing is done here that is not needed: one
call of compiled code each way, tensors for the results alone, and a `torch.autograd.Function` that keeps what the step
was given and nothing else. A backward pass that has to be differentiated itself takes the step again in plain PyTorch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels import backends, operator
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.c.prepared import caller
from snn_neuromod.kernels.fusion.c import TYPES
from snn_neuromod.kernels.fusion.graph import inputs
from snn_neuromod.kernels.fusion.jit import CompileError
from snn_neuromod.kernels.fusion.trace import NotElementwise, Step
from snn_neuromod.kernels.neurons import Neuron

__all__ = ["OneStep", "watched"]

_EACH = 32768
"""Neurons that are worth a thread."""
_MOST = 256
_SERVED = ("auto", "c")


def watched() -> bool:
    """Whether the step has to be PyTorch's own operations: something looks on, or another backend was asked for."""
    return operator.watched() or backends.REQUESTED.get() not in _SERVED


class OneStep:
    """A neuron's step as one call of compiled code.

    Args:
        neuron: Whose step it is.
    """

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron
        self._plans: dict[Any, _Plan | None] = {}

    @cached_property
    def over_time(self) -> Neuron:
        """The same step for whole sequences, whose kernels need not be exact."""
        return Neuron(self.neuron.module, self.neuron.options, self.neuron.name)

    def __call__(
        self, current: Tensor, params: Sequence[Tensor], state: Sequence[Tensor]
    ) -> list[Tensor] | None:
        """Take a step.

        Args:
            current: Input of the step, (batch, ..., neuron).
            params: Parameters, each broadcastable to the input.
            state: State before the step, each of the input's shape.

        Returns:
            Spikes and state after the step; None where the step in plain PyTorch has to serve.
        """
        dtype, shape = current.dtype, current.shape
        if type(current) is not Tensor or not current.is_cpu or current.is_neg():
            return None
        for tensor in state:
            if (
                tensor.dtype is not dtype
                or not tensor.is_cpu
                or tensor.shape != shape
                or tensor.is_neg()
            ):
                return None
        for tensor in params:
            if tensor.dtype is not dtype or not tensor.is_cpu or tensor.is_neg():
                return None
        # Without gradients too: the forward pass of a kernel is the same whatever it was printed for.
        needed = tuple([k for k, p in enumerate(params) if p.requires_grad])
        shapes = [p.shape for p in params]
        key = (shape, dtype, needed, torch.get_num_threads(), *shapes)
        plan = self._plans[key] if key in self._plans else self._plan(key, shapes)
        if plan is None:
            return None
        if torch.is_grad_enabled() and (
            needed or current.requires_grad or True in [s.requires_grad for s in state]
        ):
            learned = [params[k] for k in needed]
            return list(_apply(plan, params, current, *state, *learned))
        return plan.forward(current, params, state)

    def _plan(self, key: Any, params: Sequence[torch.Size]) -> _Plan | None:
        shape, dtype, needed, *_ = key
        plan = None
        if dtype in TYPES and shape.numel() and library.load()[0] and _fit(params, shape):
            with suppress(NotElementwise, CompileError):
                plan = _Plan(self.neuron, shape, dtype, needed, params)
        if len(self._plans) > _MOST:  # inputs of ever new shapes
            self._plans.clear()
        self._plans[key] = plan
        return plan


def _fit(params: Sequence[torch.Size], shape: torch.Size) -> bool:
    """Whether all broadcast to the input; what does not is an error of the step itself."""
    try:
        return bool(torch.broadcast_shapes(shape, *params) == shape)
    except RuntimeError:
        return False


def _through(step: Step, needed: Sequence[int]) -> int | None:
    """Number of a state like a synapse, through whose value after the step alone the step reads it and the input.

    That value is kept by the next step, too, and in the place of the input it gives the step again from a state of 0:
    input and state need not be kept.
    """
    graph, x = step.graph, step.graph.input("x")
    learned = [step.grad_params[k] for k in needed]
    for k, (before, after) in enumerate(zip(step.inputs("s"), step.after, strict=True)):
        if graph.substitute([after], {before: graph.const(0.0)})[0] is not x or after is x:
            continue
        others = [node for node in step.after if node is not after]
        roots = [step.spikes, *others, step.grad_current, *step.grad_before, *learned]
        read = inputs(graph.substitute(roots, {after: graph.input("after")}))
        if not read & {"x", f"s{k}"}:
            return k
    return None


class _Plan:
    """What does not change from call to call for inputs of one shape."""

    def __init__(
        self,
        neuron: Neuron,
        shape: torch.Size,
        dtype: torch.dtype,
        needed: tuple[int, ...],
        params: Sequence[torch.Size],
    ) -> None:
        self.neuron, self.shapes, self.needed = neuron, params, needed
        kernel, step = neuron.kernel(dtype), neuron.traced(dtype)
        self.function, self.kept = kernel.function, kernel.kept
        self.call = caller()
        self.without = [grad.number == 0 for grad in step.grad_before]
        self.wide = [k for k, p in enumerate(params) if p.numel() != 1 and p != shape[-1:]]
        size, threads = shape.numel(), torch.get_num_threads()
        strides: list[int] = []
        for k, p in enumerate(params):
            strides += [0, shape[-1] * (k in self.wide), int(p.numel() != 1)]
        given = [1, size, shape[-1], max(1, min(threads, size // _EACH)), 0]
        self.sizes = [(ctypes.c_int64 * (6 + len(strides)))(*given, k, *strides) for k in (0, 1)]
        self.places = [ctypes.addressof(sizes) for sizes in self.sizes]
        self.bytes, self.shape, self.dtype = size * dtype.itemsize, shape, dtype
        self.through = _through(step, needed)

    @cached_property
    def zeros(self) -> Tensor:
        """A state that is not kept, and gradients that are none: kernels write nothing else into these."""
        return torch.zeros(self.shape, dtype=self.dtype)

    def kept_of(
        self, current: Tensor, state: Sequence[Tensor], results: Sequence[Tensor]
    ) -> list[Tensor]:
        """What the backward pass is given of input and state."""
        k = self.through
        if k is None:
            return [current, *state]
        return [results[1 + k], *state[:k], *state[k + 1 :]]

    def taken_from(self, kept: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Input, state and parameters for the backward pass, out of what was kept."""
        current, *rest = kept
        if self.through is not None:
            again = torch.is_grad_enabled()
            rest.insert(self.through, self.zeros.clone().requires_grad_() if again else self.zeros)
        count = len(self.without)
        return current, rest[:count], rest[count:]

    def _params(self, params: Sequence[Tensor]) -> list[Tensor]:
        """Parameters as the kernel reads them, which have to live as long as it runs."""
        made = [p if p.is_contiguous() else p.contiguous() for p in params]
        for k in self.wide:
            made[k] = params[k].expand(self.shape).contiguous()
        return made

    def forward(
        self, current: Tensor, params: Sequence[Tensor], state: Sequence[Tensor]
    ) -> list[Tensor]:
        """Spikes and state after the step."""
        current, params = current.contiguous(), self._params(params)
        state = [s.contiguous() for s in state]
        results = [torch.empty_like(current) for _ in range(1 + len(state))]
        spikes, *after = [x.data_ptr() for x in results]
        copies: list[int] = []
        for to, s in zip(after, state, strict=True):
            copies += (to, s.data_ptr())
        self.call(
            self.function, self.places[0], 0, self.bytes, len(after), *copies,
            current.data_ptr(), spikes, 0, 0, *[p.data_ptr() for p in params], *after,
        )  # fmt: skip
        return results

    def backward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """Gradients of input, state and needed parameters."""
        current, params = current.contiguous(), self._params(params)
        before = [s.contiguous() for s in state]
        after = [None if g is None else g.resolve_neg().contiguous() for g in grads]
        spikes = torch.zeros_like(current) if after[0] is None else after[0]
        grad_current = torch.empty_like(current)
        absent = [zero and g is None for zero, g in zip(self.without, after[1:], strict=True)]
        grad_state = [self.zeros if no else torch.empty_like(current) for no in absent]
        sums = [torch.empty_like(current) for _ in self.needed]
        old = [s.data_ptr() for s in before]
        new = [x.data_ptr() for x in (*grad_state, *sums)]
        seeds = [0 if g is None else g.data_ptr() for g in after[1:]] + [0] * len(sums)
        absent += [False] * len(sums)
        pairs = [pair for no, *pair in zip(absent, new, seeds, strict=True) if not no]
        copies = [x for pair in pairs for x in pair]
        learned = dict(zip(self.needed, new[len(grad_state) :], strict=True))
        self.call(
            self.function, self.places[1], 0, self.bytes, len(pairs), *copies,
            current.data_ptr(), 0, spikes.data_ptr(), grad_current.data_ptr(),
            *[p.data_ptr() for p in params], *old, *[old[k] for k in self.kept],
            *new[: len(grad_state)], *[learned.get(k, 0) for k in range(len(params))],
        )  # fmt: skip
        found: list[Tensor | None] = [
            None if zero else g for zero, g in zip(self.without, grad_state, strict=True)
        ]
        found += [g.sum_to_size(self.shapes[k]) for k, g in zip(self.needed, sums, strict=True)]
        return [grad_current, *found]

    def again(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """The same as a graph, by the step in plain PyTorch."""
        # Views: a tensor that was given twice has two gradients.
        current, params, state = _view(current), [*map(_view, params)], [*map(_view, state)]
        spikes, after = self.neuron.plain(params, state, current)
        pairs = [
            (y, g)
            for y, g in zip([spikes, *after], grads, strict=True)
            if g is not None and y.requires_grad
        ]
        wanted = [current, *state, *(params[k] for k in self.needed)]
        inputs = [x for x in wanted if x.requires_grad]
        if not pairs or not inputs:
            return [None] * len(wanted)
        outputs, seeds = zip(*pairs, strict=True)
        found = iter(
            torch.autograd.grad(outputs, inputs, seeds, create_graph=True, allow_unused=True)
        )
        return [next(found) if x.requires_grad else None for x in wanted]


class _Step(torch.autograd.Function):
    """A step with its backward pass; takes its tensors once more for autograd to see."""

    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, params: Sequence[Tensor], current: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        state = rest[: len(rest) - len(plan.needed)]
        results = plan.forward(current, params, state)
        ctx.save_for_backward(*plan.kept_of(current, state, results), *params)
        ctx.set_materialize_grads(False)
        ctx.plan = plan
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        current, state, params = plan.taken_from(ctx.saved_tensors)
        follow = plan.again if torch.is_grad_enabled() else plan.backward
        return (None, None, *follow(current, params, state, grads))


_apply: Any = super(torch.autograd.Function, _Step).apply
"""`_Step.apply` without its questions about `torch.func`, which `watched` has asked."""


def _view(tensor: Tensor) -> Tensor:
    return tensor.view_as(tensor)
