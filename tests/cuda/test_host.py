"""What runs on a CUDA device without the host: nothing is read there, and no loop over samples or steps is the host's.

On the meta device, which stands for a CUDA device here: its tensors have no values, so that reading one is an error. Of
operators (sequences, rate code) only shapes are computed; what they start is counted by `test_launches`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.backends import triton
from snn_neuromod.kernels.backends.triton import sequence
from snn_neuromod.learning.eprop import OnlineEprop
from snn_neuromod.learning.eprop.network import Decays
from tests.cuda.test_launches import Recorder

INPUTS, NEURONS, OUT = 5, 6, 3
Run = Callable[[Tensor], Any]


def backward(layer: Any) -> Run:
    layer.to("meta")
    return lambda x: layer(x)[0].square().sum().backward()


def recurrent(**options: Any) -> Any:
    return nm.Recurrent(nm.ALIF(NEURONS, learn=["beta"]), INPUTS, **options)


def online(layer: Any, **options: Any) -> Run:
    run = OnlineEprop(layer.to("meta"), nm.LeakyReadout(NEURONS, OUT, **options).to("meta"))

    def two_segments(x: Tensor) -> None:
        run.reset()
        for _ in range(2):  # the second is the first with traces
            y, spikes = run.segment(x)
            (y.square().sum() + spikes.sum()).backward()

    return two_segments


def rewiring() -> Run:
    net = recurrent(mask_rec=nm.connectivity.Random(sparsity=0.5)).to("meta")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    deep = nm.rewiring.DeepRewiring(net, optimizer, l1=0.1, temperature=0.1)

    def step(x: Tensor) -> None:
        net(x)[0].sum().backward()
        optimizer.step()
        deep.step()

    return step


BY_NEURON, BY_SYNAPSE = torch.arange(NEURONS) % 3 + 1, torch.arange(NEURONS**2).view(6, 6) % 4 + 1
RUNS: dict[str, Callable[[], Run]] = {
    "ALIF": lambda: backward(nm.ALIF(INPUTS, learn=["tau_mem"])),
    "MSRC": lambda: backward(nm.MSRC(INPUTS, learn=["r"])),
    "readout": lambda: backward(nm.LeakyReadout(INPUTS, OUT, feedback="random")),
    "readout, time constants": lambda: backward(
        nm.LeakyReadout(INPUTS, OUT, tau_out=[5.0, 20.0, 5.0], normalise=True, bias_inside=False)
    ),
    **{
        f"{rule}, delays {name}": lambda rule=rule, delay=delay: backward(
            recurrent(learning_rule=rule, delay=delay)
        )
        for rule in ("bptt", "eprop", "khop", "rflo")
        for name, delay in (("one", 1), ("neuron", BY_NEURON), ("synapse", BY_SYNAPSE))
    },
    "online": lambda: online(recurrent()),
    "online, random feedback": lambda: online(recurrent(delay=3), feedback="random"),
    "online, delays by neuron": lambda: online(recurrent(delay=BY_NEURON)),
    "online, delays by synapse": lambda: online(recurrent(delay=BY_SYNAPSE), bias=False),
    "online, stack": lambda: online(nm.RecurrentStack([nm.Recurrent(nm.MSRC(NEURONS), INPUTS)])),
    "rewiring": rewiring,
    "rate code": lambda: lambda x: nm.encoders.rate(x[0], 9, seeds=range(x.shape[1])),
    "rate code, generator": lambda: (
        lambda x: nm.encoders.rate(x[0], 9, generator=torch.Generator())
    ),
    "latency code": lambda: lambda x: nm.encoders.latency(x[0], 9),
    "latency code, linear": lambda: (
        lambda x: nm.encoders.latency(
            x[0], 9, mapping="linear", jitter=1.0, seeds=range(x.shape[1])
        )
    ),
}


class Device(Recorder):
    """Counts what starts a kernel on the device; seeds are drawn on the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = torch.utils._pytree.tree_leaves((args, kwargs))
        devices = [x.device if isinstance(x, Tensor) else x for x in given]
        if any(isinstance(d, torch.device) and d.type == "meta" for d in devices):
            return super().__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **(kwargs or {}))


def counted(make: Callable[[], Run], steps: int, samples: int) -> Counter[str]:
    """What a whole run starts, by name."""
    recorder = Device()
    with pytest.MonkeyPatch.context() as patch, nm.kernels.use("triton"):
        patch.setattr(triton, "missing", lambda tensor: None)
        patch.setattr(sequence, "missing", lambda tensor: None)
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
        run = make()
        x = torch.rand(steps, samples, INPUTS, device="meta", requires_grad=True)
        with recorder:
            run(x)
    return recorder.started


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_read_and_nothing_is_started_for_each_step_or_sample(name: str) -> None:
    found = [counted(RUNS[name], steps, samples) for steps, samples in ((9, 2), (9, 5), (23, 2))]
    assert found[0] == found[1] == found[2]
    assert found[0].total()


def test_which_outputs_share_a_time_constant_is_looked_at_once() -> None:
    readout = nm.LeakyReadout(NEURONS, OUT, tau_out=[20.0, 5.0, 20.0])
    decays, recorder = Decays(readout), Recorder()
    first = decays.groups(torch.float32)
    with recorder:
        again = decays.groups(torch.float32)
    assert not recorder.read
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.outputs, b.outputs)
        assert torch.equal(a.kappa, b.kappa)
    assert [g.outputs.tolist() for g in first] == [[1], [0, 2]]
    readout.filter.tau[0] = 5.0
    assert [g.outputs.tolist() for g in decays.groups(torch.float32)] == [[0, 1], [2]]
