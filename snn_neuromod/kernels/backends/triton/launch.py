"""Printed kernels, made once, and what it takes to start them."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from hashlib import sha256
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.kernels.backends.triton.available import emulated
from snn_neuromod.kernels.fusion.triton import sequence
from snn_neuromod.kernels.fusion.triton.writer import Plan

__all__ = ["Gradients", "Passes", "Sequences", "above", "like", "module", "start"]

BLOCK = 32
"""Neurons of a program where each is on its own."""

Gradients = tuple[Tensor, list[Tensor], dict[int, Tensor]]
"""Gradients of input, of first states, and of parameters by their place, before they are summed over those who share
one."""


def module(text: str) -> dict[str, Any]:
    """Names of a module that is printed; Triton finds its text as that of a file."""
    name = f"<snn_neuromod {sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    names: dict[str, Any] = {"__name__": "snn_neuromod.printed"}
    exec(compile(text, name, "exec"), names)
    return names


def start(
    kernel: Any,
    grid: Sequence[int],
    *arguments: Any,
    num_warps: int,
    maxnreg: int | None = None,
    **flags: Any,
) -> None:
    """Start a kernel on the device of its first argument, every operation rounded on its own.

    Args:
        kernel: The kernel.
        grid: Numbers of programs.
        *arguments: Its tensors and numbers.
        num_warps: Warps of a program.
        maxnreg: Registers of a thread that it may use; None: the compiler may spill some for more programs at a time.
        **flags: What is known when it is compiled.
    """
    if emulated():
        kernel[tuple(grid)](*arguments, **flags)
        return
    own: dict[str, Any] = {"num_warps": num_warps, "enable_fp_fusion": False}
    if maxnreg is not None and torch.version.hip is None:
        own["maxnreg"] = maxnreg
    with torch.cuda.device(arguments[0].device):
        kernel[tuple(grid)](*arguments, **flags, **own)


class Passes:
    """Forward and reverse pass of a neuron."""

    def __init__(self, plan: Plan, form: ModuleType) -> None:
        self.plan = plan
        names = module(form.source(plan))
        self._forward, self._backward = names["forward"], names.get("backward")

    def _gradients(self, spikes: Tensor, state: Sequence[Tensor]) -> Gradients:
        """Room for the gradients; that of the input is of the type of the spikes'."""
        shapes = {
            k: spikes.shape if self.plan.per_step[k] else spikes.shape[1:] for k in self.plan.wanted
        }
        dtype = self.plan.step.graph.dtype
        sums = {k: spikes.new_empty(shape, dtype=dtype) for k, shape in shapes.items()}
        return like(spikes), [like(s) for s in state], sums

    def _steady(self, state: Sequence[Tensor]) -> list[Tensor]:
        return [s.contiguous() for k, s in enumerate(state) if k not in self.plan.moving]

    def _start(
        self,
        kernel: Any,
        programs: int,
        tensors: Sequence[Tensor],
        params: Sequence[Tensor],
        shape: torch.Size,
        numbers: Sequence[int],
        **flags: Any,
    ) -> None:
        arguments, more = self._arguments(tensors, params, shape, numbers)
        start(kernel, (programs,), *arguments, **flags, **more)

    def _arguments(
        self,
        tensors: Sequence[Tensor],
        params: Sequence[Tensor],
        shape: torch.Size,
        numbers: Sequence[int],
    ) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of a kernel in their order, and the flags that are common to all."""
        import triton.language as tl

        views = [self._strided(k, params[k], shape) for k in self.plan.read]
        strides = [stride for _, own in views for stride in own]
        double = self.plan.step.graph.dtype == torch.float64
        sizes = (shape[0], shape[1:].numel(), shape[-1], *numbers)
        tensors = [*tensors, *(view for view, _ in views)]
        flags = {"REAL": tl.float64 if double else tl.float32, "EMULATED": emulated()}
        return [*tensors, *strides, *sizes], flags

    def _strided(self, k: int, param: Tensor, shape: torch.Size) -> tuple[Tensor, list[int]]:
        """A parameter and its strides along samples, neurons and steps."""
        if param.ndim == 0:
            return param, [0, 0, 0]
        if param.ndim == 1 and param.shape[0] == shape[-1]:
            return param, [0, param.stride(0), 0]
        steps, samples, num = shape[0], shape[1:-1].numel(), shape[-1]
        if self.plan.per_step[k]:
            view = param.expand(shape).reshape(steps, samples, num)
            return view, [view.stride(1), view.stride(2), view.stride(0)]
        view = param.expand(shape[1:]).reshape(samples, num)
        return view, [*view.stride(), 0]


def like(tensor: Tensor) -> Tensor:
    """Room for a tensor of this shape."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def above(grads: Sequence[Tensor | None], state: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of the last state; what stands in their place if there are none is not read."""
    if all(g is None for g in grads):
        return [*state]
    pairs = zip(grads, state, strict=True)
    return [torch.zeros_like(s) if g is None else g.contiguous() for g, s in pairs]


class Sequences(Passes):
    """Neurons on their own.

    Args:
        plan: The neuron, and what is fixed.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, sequence)

    def forward(
        self,
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        marks: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes and last states.

        Args:
            current: Input, (T, batch, ..., neuron).
            params: Parameters.
            state: States before the first step.
            marks: Room for what the reverse pass needs, (chunks, moving states, neurons), or None.
        """
        spikes, last, keep = like(current), [like(s) for s in state], marks is not None
        place = marks if marks is not None else spikes
        tensors = [current.contiguous(), spikes, place, *(s.contiguous() for s in state), *last]
        self._run(self._forward, tensors, params, current.shape, KEEP=keep)
        return spikes, last

    def backward(
        self,
        grad_spikes: Tensor,
        grad_state: Sequence[Tensor | None],
        current: Tensor,
        params: Sequence[Tensor],
        state: Sequence[Tensor],
        marks: Tensor,
    ) -> Gradients:
        """Gradients from those of spikes and last states."""
        found = self._gradients(grad_spikes, state)
        tensors = [current.contiguous(), grad_spikes.contiguous(), found[0], marks]
        tensors += [*self._steady(state), *above(grad_state, state), *found[1]]
        given = any(g is not None for g in grad_state)
        self._run(self._backward, [*tensors, *found[2].values()], params, current.shape, LAST=given)
        return found

    def _run(
        self,
        kernel: Any,
        tensors: Sequence[Tensor],
        params: Sequence[Tensor],
        shape: torch.Size,
        **flags: Any,
    ) -> None:
        programs = -(-shape[1:].numel() // BLOCK)
        flags |= {"BLOCK": BLOCK, "num_warps": 1}
        self._start(kernel, programs, tensors, params, shape, (), **flags)
