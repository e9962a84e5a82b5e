"""Kernels of every neuron compiled for sm_90 without a device: nothing spilled, no more registers than there are.

And those that layers start, as they start them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod.dynamics import NEURONS as KNOWN
from snn_neuromod.kernels.backends.triton import launch, synaptic
from snn_neuromod.kernels.backends.triton import sequence as backend
from snn_neuromod.kernels.backends.triton import wide as many
from snn_neuromod.kernels.backends.triton.launch import module
from snn_neuromod.kernels.backends.triton.recurrent import rows
from snn_neuromod.kernels.fusion.trace import trace
from snn_neuromod.kernels.fusion.triton import recurrent, sequence, wide
from snn_neuromod.kernels.fusion.triton.writer import Plan
from tests.cuda.ptx import Absent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton"),
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") == "1",
        reason="needs Triton's compiler, not its interpreter",
    ),
]
MOST = {"forward": 128, "backward": 255}
"""Registers of a thread."""

NUMBERS = re.compile(r"T|E|N|M|R|samples|longest|every|room|now|p\d+[rct]")
KINDS = {"listed": "*i32", "senders": "*i64", "alive": "*u8"}


def resources(kernel: Any, flags: dict[str, Any], warps: int, folder: Path) -> tuple[int, int, int]:
    """Registers, bytes of stack, and loads and stores of spilled registers."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    known = {**flags, "REAL": tl.float32, "EMULATED": False}
    fixed = {name: value for name, value in known.items() if name in names}
    signature = {
        n: "constexpr" if n in fixed else "i32" if NUMBERS.fullmatch(n) else KINDS.get(n, "*fp32")
        for n in names
    }
    constants = {(names.index(n),): value for n, value in fixed.items()}
    compiled = triton.compile(
        ASTSource(kernel, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "enable_fp_fusion": False},
    )
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"

    def told(*command: str) -> str:
        done = subprocess.run(
            [tools / command[0], *command[1:], binary], capture_output=True, text=True
        )
        return done.stdout + done.stderr

    usage, code = told("cuobjdump", "-res-usage"), told("nvdisasm", "-c")
    registers, stack = (int(re.findall(rf"{name}:(\d+)", usage)[-1]) for name in ("REG", "STACK"))
    return registers, stack, len(re.findall(r"\b(?:LDL|STL)\b", code))


def plan(neuron: str, chunk: int) -> Plan:
    dynamics = KNOWN[neuron]
    step = trace(dynamics.step, dynamics.Params, dynamics.State, dtype=torch.float32)
    none = (False,) * len(step.params)
    return Plan(step, none, none, chunk)


@pytest.mark.parametrize("direction", MOST)
@pytest.mark.parametrize("neuron", KNOWN)
def test_neurons_alone(neuron: str, direction: str, tmp_path: Path) -> None:
    kernel = module(sequence.source(plan(neuron, 10)))[direction]
    flags = {"KEEP" if direction == "forward" else "LAST": direction == "forward", "BLOCK": 32}
    registers, stack, spilled = resources(kernel, flags, 1, tmp_path)
    assert (stack, spilled) == (0, 0)
    assert registers <= MOST[direction]


@pytest.mark.parametrize("direction", MOST)
@pytest.mark.parametrize("neuron", ["alif", "msrc"])
@pytest.mark.parametrize("delayed", [False, True])
def test_recurrent(neuron: str, direction: str, delayed: bool, tmp_path: Path) -> None:
    kernel = module(recurrent.source(plan(neuron, 1)))[direction]
    flags: dict[str, Any] = {"KEEP": True, "DELAYED": delayed, "BLOCK": 256, "SENDERS": 256}
    forward = {"GROUP": 16, "LIVE": True}
    flags |= forward if direction == "forward" else {"GROUP": 64, "LAST": False}
    registers, stack, spilled = resources(
        kernel, flags, 8 if direction == "forward" else 16, tmp_path
    )
    assert (stack, spilled) == (0, 0)
    assert registers <= 128


@pytest.mark.parametrize("neuron", ["alif", "msrc"])
def test_reverse_pass_of_1024_neurons(neuron: str, tmp_path: Path) -> None:
    kernel, num = module(recurrent.source(plan(neuron, 1)))["backward"], 1024
    flags = {"KEEP": True, "DELAYED": False, "BLOCK": num, "SENDERS": num, "LAST": False}
    registers, stack, _ = resources(kernel, flags | {"GROUP": rows(16, num)}, 16, tmp_path)
    assert registers <= 128
    assert stack <= 64  # bytes; up to 872 with twice the rows


@pytest.mark.parametrize("direction", MOST)
@pytest.mark.parametrize("neuron", ["alif", "msrc"])
@pytest.mark.parametrize("delayed", [False, True])
def test_a_step_of_many_neurons(neuron: str, direction: str, delayed: bool, tmp_path: Path) -> None:
    kernel = module(wide.source(plan(neuron, 1)))[direction]
    flags = {"LIVE": neuron == "alif", "DELAYED": delayed, "BLOCK": many._BLOCK}
    forward, backward = (
        {"KEEP": True, "GROUP": many._GROUP},
        {"LAST": True, "GROUP": many._ROWS, "LANES": many._LANES},
    )
    flags |= forward if direction == "forward" else backward
    registers, stack, spilled = resources(kernel, flags, many._WARPS[direction], tmp_path)
    assert (stack, spilled) == (0, 0)
    assert registers <= 128


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("name", ["arrived", "sent_back"])
def test_gradients_of_and_through_weights(name: str, delayed: bool, tmp_path: Path) -> None:
    sizes = {
        "arrived": {"ROWS": synaptic._ROWS, "LANES": synaptic._LANES},
        "sent_back": {"STEPS": synaptic._STEPS, "LANES": synaptic._WIDE},
    }
    flags = {"DELAYED": delayed, **sizes[name]}
    warps = synaptic._WARPS[name]
    registers, stack, spilled = resources(synaptic.kernels()[name], flags, warps, tmp_path)
    assert (stack, spilled) == (0, 0)
    assert registers <= 64


BY_SYNAPSE = (torch.arange(36).view(6, 6) * 7) % 4 + 1
LAUNCHED: dict[str, tuple[Any, torch.dtype, torch.dtype]] = {
    "one neuron": (lambda: nm.Recurrent(nm.ALIF(1), 1), torch.float32, torch.float32),
    "half precision": (
        lambda: nm.Recurrent(nm.ALIF(6), 6, delay=BY_SYNAPSE, learning_rule="khop"),
        torch.float32, torch.bfloat16,
    ),
    "double precision": (
        lambda: nm.Recurrent(nm.MSRC(6, learn=["r"]), 6, delay=2), torch.float64, torch.float64,
    ),
}  # fmt: skip


@pytest.mark.parametrize("wide", [False, True], ids=["a program", "many"])
@pytest.mark.parametrize("name", LAUNCHED)
def test_what_layers_start_compiles(name: str, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the types and sizes that they give, of which the compiler knows whether they are 1 or multiples of 16."""
    from triton.runtime.driver import driver

    started = list[str]()

    def start(kernel: Any, grid: Any, *arguments: Any, num_warps: int, **flags: Any) -> None:
        started.append(kernel.__name__)
        options = {"num_warps": num_warps, "enable_fp_fusion": False}
        assert kernel.warmup(*arguments, grid=tuple(grid), **flags, **options) is not None

    monkeypatch.setattr(driver, "_active", Absent())
    monkeypatch.setattr(launch, "start", start)
    monkeypatch.setattr(backend, "missing", lambda tensor: None)
    monkeypatch.setattr(backend, "MOST_NEURONS", 0 if wide else backend.MOST_NEURONS)
    make, states, dtype = LAUNCHED[name]
    net = make().to(states)
    current = torch.rand(2, 3, net.w_rec.shape[0]).to(dtype).requires_grad_()
    with nm.kernels.use("triton"):
        first = net._at_rest(current[0].detach().to(states))
        spikes, _ = net.run(current, first, net.w_rec, rule=net.rule)
        spikes.sum().backward()
    assert {"forward", "backward", "arrived"} <= set(started)
