"""How many kernels a forward and a backward pass start, and that nothing is read on the host meanwhile."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import snn_neuromod as nm
from snn_neuromod.kernels import backends, neurons, operator
from snn_neuromod.kernels.backends.triton import launch, sequence
from snn_neuromod.kernels.call import Call
from tests.cuda.test_neurons import USERS
from tests.layers.cases import DEFAULTS, LayerCase

FREE = {
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "new_empty_strided",
    "lift_fresh",
    "detach",
}
FREE |= {"_unsafe_view", "expand", "t"}
READS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "item"}


class Recorder(TorchDispatchMode):
    """Counts operations that start a kernel on a device, and those that wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.read = Counter[str](), Counter[str]()
        self.made = list[weakref.ref[Tensor]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name in READS:
            self.read[name] += 1
        elif name not in FREE and not func.is_view and func.namespace != "snn_neuromod":
            self.started[name] += 1
        found = func(*args, **(kwargs or {}))
        tensors = torch.utils._pytree.tree_leaves(found)
        self.made += [weakref.ref(t) for t in tensors if isinstance(t, Tensor) and t.numel()]
        return found


def recorded(make: Callable[[], Any], num_steps: int, device: torch.device) -> Recorder:
    """What the operators of a forward and a backward pass start."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return _recorded(make, num_steps, device, monkeypatch)


def _recorded(
    make: Callable[[], Any], num_steps: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> Recorder:
    recorder, serves = Recorder(), backends.REGISTRY["triton"][Call]
    original = launch.start

    def start(*arguments: Any, **flags: Any) -> None:
        recorder.started["kernel"] += 1
        with torch.utils._python_dispatch._disable_current_modes():
            original(*arguments, **flags)

    monkeypatch.setattr(launch, "start", start)

    def opened(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            with recorder:
                return function(*arguments)

        return run

    own = serves._replace(forward=opened(serves.forward))
    monkeypatch.setitem(backends.REGISTRY["triton"], Call, own)
    monkeypatch.setattr(operator, "gradients", opened(operator.gradients))
    monkeypatch.setattr(neurons, "_KNOWN", {})  # with plans that hold what was patched
    with nm.kernels.use("triton"):
        layer = make().to(device)
        x = torch.rand(num_steps, 2, 5, device=device, requires_grad=True)
        y = layer(x)[0]
        y.backward(torch.ones_like(y))
    return recorder


class Network(torch.nn.Module):
    """A recurrent layer with a readout."""

    def __init__(self, neuron: Any, rule: Any, delay: Any) -> None:
        super().__init__()
        self.hidden = nm.Recurrent(neuron(6), 5, learning_rule=rule, delay=delay)
        self.readout = nm.LeakyReadout(6, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.readout(self.hidden(x)[0])


@pytest.mark.parametrize("case", [*DEFAULTS, USERS], ids=str)
def test_a_layer(case: LayerCase, device: torch.device) -> None:
    found = [recorded(lambda: case.make(5), steps, device) for steps in (7, 23)]
    assert not found[0].read
    assert found[0].started == found[1].started
    assert found[0].started.total() <= 6


BY_SYNAPSE = (torch.arange(36).view(6, 6) * 7) % 4 + 1


@pytest.mark.parametrize(("neuron", "rule", "delay"), [
    (nm.ALIF, "bptt", 1),
    (nm.MSRC, "bptt", [1, 2, 1, 2, 3, 3]),
    (nm.ALIF, "eprop", BY_SYNAPSE),
    (nm.ALIF, "rflo", 3),
    (nm.ALIF, "bptt", BY_SYNAPSE),
    (nm.ALIF, "khop", [1, 2, 1, 2, 3, 3]),
])  # fmt: skip
def test_a_recurrent_layer_with_readout(
    neuron: Any, rule: str, delay: Any, device: torch.device
) -> None:
    make = lambda: Network(neuron, rule, delay)  # noqa: E731
    found = [recorded(make, steps, device) for steps in (7, 23)]
    assert not found[0].read
    assert found[0].started == found[1].started
    assert found[0].started.total() <= 12


@pytest.mark.parametrize("delay", [1, 3, BY_SYNAPSE], ids=["one", "three", "synapse"])
def test_no_tensor_outlives_a_run(delay: Any, device: torch.device) -> None:
    """What were made while a CUDA graph is captured would lie in the graph's memory."""
    found = recorded(lambda: Network(nm.ALIF, "khop", delay), 7, device)
    gc.collect()
    assert found.made
    assert not [t for t in found.made if t() is not None]


@pytest.mark.parametrize("delay", [1, BY_SYNAPSE], ids=["one", "synapse"])
def test_a_step_of_many_neurons_is_one_kernel(
    delay: Any, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forwards and backwards, and nothing else depends on the number of steps."""
    monkeypatch.setattr(sequence, "MOST_NEURONS", 5)
    found = [
        recorded(lambda: nm.Recurrent(nm.MSRC(6, learn=["r"]), 5, delay=delay), steps, device)
        for steps in (7, 12)
    ]
    assert not any(f.read for f in found)
    assert found[1].started - found[0].started == Counter(kernel=2 * (12 - 7))
    assert (found[0].started - Counter(kernel=2 * 7)).total() <= 12
