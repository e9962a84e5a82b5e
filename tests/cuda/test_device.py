"""What only a real device shows: graphs, streams, several devices, host synchronisations, memory errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm

STACKS: dict[str, Callable[[], Any]] = {
    "MSRC": lambda: nm.MSRC(40, learn=["r"]),
    "ALIF": lambda: nm.ALIF(40, refractory=2),
    "Izhikevich": lambda: nm.Izhikevich(40),
    "LeakyReadout": lambda: nm.LeakyReadout(40, 5),
    "Recurrent, bptt": lambda: nm.Recurrent(nm.ALIF(64), 40),
    "Recurrent, eprop": lambda: nm.Recurrent(nm.ALIF(64), 40, learning_rule="eprop"),
    "Recurrent, delays": lambda: nm.Recurrent(
        nm.ALIF(64, delay=(torch.arange(64) % 3 + 1).tolist()), 40
    ),
    "Recurrent MSRC": lambda: nm.Recurrent(nm.MSRC(64), 40),
}


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Waiting for the device is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it does not see everything
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def step(layer: Any, x: Tensor) -> list[Tensor]:
    inputs = [x, *layer.parameters()]
    grads = torch.autograd.grad(layer(x)[0].square().sum(), inputs, allow_unused=True)
    return [g for g in grads if g is not None]


@pytest.mark.parametrize("name", STACKS)
def test_nothing_waits_for_the_device(name: str, gpu: torch.device) -> None:
    layer = STACKS[name]().to(gpu)
    x = torch.rand(17, 3, 40, device=gpu, requires_grad=True)
    step(layer, x)
    with no_synchronisation():
        step(layer, x)


@pytest.mark.parametrize("name", STACKS)
def test_a_step_is_captured_in_a_graph(name: str, gpu: torch.device) -> None:
    layer = STACKS[name]().to(gpu)
    x = torch.rand(17, 3, 40, device=gpu, requires_grad=True)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        step(layer, x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(layer, x)
    with torch.no_grad():
        x.mul_(1.5)
    graph.replay()
    for a, b in zip(captured, step(layer, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("given", [False, True])
def test_each_replay_of_a_graph_draws_anew(given: bool, gpu: torch.device) -> None:
    x = torch.full((3, 100), 0.5, device=gpu)
    seeds = torch.arange(3, device=gpu) if given else None

    def encoded() -> Tensor:
        return torch.stack([
            nm.encoders.rate(x, 20, seeds=seeds), nm.encoders.latency(x, 20, jitter=3.0, seeds=seeds)
        ])  # fmt: skip

    encoded()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        spikes = encoded()
    graph.replay()
    first = spikes.clone()
    if seeds is not None:
        seeds.add_(3)
    graph.replay()
    assert (first != spikes).flatten(1).any(1).all()
    if seeds is not None:
        assert torch.equal(spikes, encoded())


def test_other_streams(gpu: torch.device) -> None:
    layer = nm.ALIF(40).to(gpu)
    x = torch.rand(400, 64, 40, device=gpu, requires_grad=True)
    expected = step(layer, x)
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(3)]
    found = []
    for stream in streams:
        with torch.cuda.stream(stream):
            found.append(step(layer, x))
    torch.cuda.synchronize()
    assert all(torch.equal(g, e) for grads in found for g, e in zip(grads, expected, strict=True))


def test_the_device_of_the_input(gpu: torch.device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    layer = nm.MSRC(40).to("cuda:1")
    x = torch.rand(17, 3, 40, device="cuda:1", requires_grad=True)
    assert all(g.device == x.device for g in step(layer, x))


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("name", ["MSRC", "Recurrent, bptt", "Recurrent, delays"])
@pytest.mark.filterwarnings("ignore")
def test_compiles(name: str, mode: str, gpu: torch.device) -> None:
    """Again and again, as what lies in the memory of a graph is overwritten then."""
    layer = STACKS[name]().to(gpu)
    x = torch.rand(17, 3, 40, device=gpu, requires_grad=True)
    expected = step(layer, x)
    compiled = torch.compile(layer, mode=mode, fullgraph=True)
    for _ in range(4):
        torch.compiler.cudagraph_mark_step_begin()
        found = [g.clone() for g in step(compiled, x)]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


RECURRENT: dict[str, Callable[[], Any]] = {
    "bptt": lambda: nm.Recurrent(nm.ALIF(600, learn=["tau_mem"]), 40),
    "delays": lambda: nm.Recurrent(nm.ALIF(600, delay=[1, 2, 3] * 200), 40),
    "khop": lambda: nm.Recurrent(nm.ALIF(600, delay=3), 40, learning_rule="khop"),
    "MSRC": lambda: nm.Recurrent(nm.MSRC(600), 40),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_threads_of_a_program_wait_for_one_another(name: str, gpu: torch.device) -> None:
    """What they hand on through memory is the same in each of many runs."""
    layer = RECURRENT[name]().to(gpu)
    x = 2 * torch.rand(100, 264, 40, device=gpu)
    x.requires_grad_()
    expected = step(layer, x)
    assert all(g.isfinite().all() and g.any() for g in expected)
    for _ in range(20):
        assert all(torch.equal(g, e) for g, e in zip(step(layer, x), expected, strict=True))


@pytest.mark.parametrize("check", ["memcheck", "synccheck"])
def test_no_memory_is_read_or_written_outside(check: str, gpu: torch.device) -> None:
    """Nor does a part of a program's threads wait where others do not."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        pytest.skip("needs compute-sanitizer")
    program = (
        "import torch, snn_neuromod as nm\n"
        "for make, size in ((lambda: nm.MSRC(37), 37), (lambda: nm.Recurrent(nm.ALIF(33), 37), 37),\n"
        "    (lambda: nm.Recurrent(nm.ALIF(33, delay=[1, 2, 3] * 11), 37), 37)):\n"
        "    x = torch.rand(13, 3, size, device='cuda', requires_grad=True)\n"
        "    make().cuda()(x)[0].sum().backward()\n"
        "torch.cuda.synchronize()\n"
    )
    command = [
        tool,
        "--tool",
        check,
        "--error-exitcode",
        "7",
        sys.executable,
        "-W",
        "ignore",
        "-c",
        program,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
