"""A printed kernel as functions of tensors, prepared once for all sequences that look alike."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from snn_neuromod.errors import KindError
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.backends.c.recurrence import Wiring, wiring
from snn_neuromod.kernels.call import Adjoint, Call, is_fake, summed
from snn_neuromod.kernels.fusion.kernel import Kernel
from snn_neuromod.kernels.fusion.plan import EVERY


class Prepared:
    """A kernel with all that does not change between sequences that look alike: sizes, strides, what is kept.

    Args:
        call: One of the sequences, checked; without values, as while a graph is traced, it tells what would be kept.
        kernel: Its kernel.

    Raises:
        TypeError: If the tensors are not of the kernel's type or not on the CPU.
    """

    def __init__(self, call: Call, kernel: Kernel) -> None:
        current, params = call.current, call.params
        if current.dtype != kernel.dtype or not current.is_cpu:
            raise KindError(
                f"kernel: every tensor must be {kernel.dtype} on the CPU, got {current.dtype} on {current.device}"
            )
        self._kernel, self._call, self._row = kernel, caller(), current.shape[1:]
        # A recurrent layer keeps a whole input.
        self._reads = not call.recurrent and (any(call.needed) or kernel.reads)
        if is_fake(current):
            return
        tracks = self.kept(call)
        self._keeps = bool(tracks)
        self._marks = [track.shape for track in tracks.values()][bool(call.recurrent) :]
        self._looks = _looks(call, tracks.values())
        wide = [_spread(p, current) for p in params]
        self._copied = [k for k, w in enumerate(wide) if w.data_ptr() != params[k].data_ptr()]
        strides = [x for w in wide for x in (w.stride(0) if len(w) > 1 else 0, *w.stride()[1:])]
        numbers = [len(current), self._row.numel(), self._row[-1], torch.get_num_threads()]
        self._sizes = [
            (ctypes.c_int64 * (6 + len(strides)))(*numbers, self._keeps, back, *strides)
            for back in (0, 1)
        ]
        self._bytes = self._row.numel() * current.element_size()
        self._grads = [current.shape if len(w) > 1 else self._row for w in wide]

    def kept(self, call: Call) -> dict[str, Tensor]:
        """Empty tensors for what `forward` keeps.

        States before every stretch, and of a recurrent layer the whole input of every step. Some neurons need them for
        gradients of parameters alone.
        """
        if not call.keep or not (call.recurrent or self._reads):
            return {}
        current, names = call.current, call.neuron.module.State._fields
        stretches = -(-len(current) // EVERY)
        states = {
            names[k]: current.new_empty(stretches, *current.shape[1:]) for k in self._kernel.kept
        }
        return {"input": torch.empty_like(current), **states} if call.recurrent else states

    def reads(self, call: Call) -> bool:
        """Whether `backward` reads the input."""
        return self._reads

    def forward(self, call: Call) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run a sequence.

        Returns:
            spikes: (T, batch, ..., neuron).
            state: State after the last step.
            kept: What `backward` reads.
        """
        current, state = call.current.contiguous(), [s.contiguous() for s in call.state]
        spikes, last = torch.empty_like(current), [torch.empty_like(s) for s in state]
        marks = [current.new_empty(shape) for shape in self._marks]
        copies, rows = [*zip(last, state, strict=True)], [*last, *marks]
        if not call.recurrent:
            self._run(call, copies, [current, spikes, None, None], rows)
            return spikes, last, marks
        whole = torch.empty_like(current if self._keeps else current[:1])
        given = wiring(call, back=False)._replace(given=current)
        self._run(call, copies, [whole, spikes, None, None], rows, given)
        return spikes, last, [whole, *marks] if self._keeps else []

    def backward(
        self, call: Call, given: Adjoint
    ) -> tuple[Tensor, list[Tensor | None], list[Tensor]]:
        """Gradients of a sequence, those of its synapses left out.

        Args:
            call: The sequence; without recurrent weights its input is read where `reads` says so.
            given: What comes from after it, and from `forward`.

        Returns:
            The gradients of the input, of each parameter that needs one, and of the first state.

        Raises:
            RuntimeError: If a tensor is not what it was in the forward pass.
        """
        grad_spikes, grad_state, _, tracks = given
        if _looks(call, tracks) != self._looks:
            raise RuntimeError(
                f"{call.neuron.name}: tensors must have the shape, type and device in the backward pass that they had "
                "in the forward pass, got others; change parameters in place, not by .data"
            )
        current, marks = (tracks[0], tracks[1:]) if call.recurrent else (call.current, tracks)
        current, signal, wires = current.contiguous(), grad_spikes.contiguous(), None
        grad_current = torch.empty_like(current)
        if call.recurrent and call.paths.hops is None:
            wires = wiring(call, back=True)._replace(given=signal)
            signal = torch.empty_like(current[0])
        first, zero = [s.contiguous() for s in call.state], self._kernel.zero
        seeds = [None if g is None else g.expand(self._row).contiguous() for g in grad_state]
        adjoints = [torch.empty_like(s) for s in first]
        stay = () if any(seeds[k] is not None for k in zero) else zero
        carried = [None if k in stay else a for k, a in enumerate(adjoints)]
        pairs = zip(self._grads, call.needed, strict=True)
        grads = [current.new_empty(shape) if need else None for shape, need in pairs]
        sums = [(g, None) for g in grads if g is not None and g.ndim < current.ndim]
        absent = len(self._kernel.kept) - len(marks)
        rows = [*first, *marks, *[None] * absent, *carried, *grads]
        copies = [*zip(adjoints, seeds, strict=True), *sums]
        self._run(call, copies, [current, None, signal, grad_current], rows, wires)
        found = [
            None if g is None else summed(g, p) for g, p in zip(grads, call.params, strict=True)
        ]
        return grad_current, found, adjoints

    def _run(
        self,
        call: Call,
        copies: Sequence[tuple[Tensor, Tensor | None]],
        sequences: Sequence[Tensor | None],
        rows: Sequence[Tensor | None],
        given: Wiring | None = None,
    ) -> None:
        """Call the C function; arguments in the order of `driver.h` and `recurrent.h`."""
        params, function, groups = [*call.params], self._kernel.function, 0
        for k in self._copied:
            params[k] = _spread(params[k], call.current)
        tensors = [x for pair in copies for x in pair]
        tensors += [*sequences, *params, *self._kernel.numbers, *rows]
        if given is not None:
            numbers = (ctypes.c_int64 * len(given.groups))(*given.groups)
            function, groups = self._kernel.recurrent, ctypes.addressof(numbers)
            tensors += [given.past, given.weights, given.sources, given.given]
        sizes = self._sizes[sequences[2] is not None]
        self._call(
            function, ctypes.addressof(sizes), groups, self._bytes, len(copies),
            *[0 if t is None else t.data_ptr() for t in tensors],
        )  # fmt: skip


def caller() -> Callable[..., None]:
    """The function of the compiled library that calls a kernel, or the same through ctypes where there is none."""
    if library.load()[0] is not None:
        try:
            from snn_neuromod.kernels import _c  # type: ignore[attr-defined]
        except (ImportError, SystemError):  # built without the headers of Python
            return by_ctypes
        found: Callable[..., None] = _c.call
        return found
    return by_ctypes


def by_ctypes(
    kernel: int, sizes: int, groups: int, num_bytes: int, copies: int, *addresses: int
) -> None:
    """As `call` of `c/module.c`.

    Raises:
        MemoryError: If there is none for a tile.
    """
    pairs, rest = addresses[: 2 * copies], addresses[2 * copies :]
    for to, source in zip(pairs[::2], pairs[1::2], strict=True):
        ctypes.memmove(to, source, num_bytes) if source else ctypes.memset(to, 0, num_bytes)
    data = (ctypes.c_void_p * len(rest))(*rest)
    arguments = [sizes, ctypes.addressof(data)]
    if groups:
        synapses = (ctypes.c_void_p * 4)(*rest[-4:])
        arguments += [groups, ctypes.addressof(synapses)]
    kinds = [ctypes.c_void_p] * len(arguments)
    if ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(kernel)(*arguments):
        raise MemoryError("kernel: no memory for a tile")


def _looks(call: Call, tracks: Iterable[Tensor]) -> list[Any]:
    """What a kernel trusts; all but parameters is made contiguous for it."""
    looks = [(t.shape, t.dtype, t.device) for t in (*call.tensors, *tracks)]
    return [*looks, *[p.stride() for p in call.params]]


def _spread(param: Tensor, current: Tensor) -> Tensor:
    """A parameter as (steps or 1, rows, neurons), not copied where that can be."""
    shape = current.shape
    if param.ndim < current.ndim or len(param) == 1:
        wide = (param[0] if param.ndim == current.ndim else param).expand(shape[1:])[None]
    else:
        wide = param.expand(shape)
        wide = wide if wide.stride(0) else wide.contiguous()  # 0 tells what does not change
    return wide if wide.ndim == 3 else wide.reshape(len(wide), -1, shape[-1])
