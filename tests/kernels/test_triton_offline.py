"""Kernels of every neuron compiled for sm_90 without a device: nothing spilled, no more registers than there are.

And those that layers start, as they start them.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
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
from snn_neuromod.kernels.backends.triton.registers import shared
from snn_neuromod.kernels.fusion.trace import trace
from snn_neuromod.kernels.fusion.triton import recurrent, sequence, wide
from snn_neuromod.kernels.fusion.triton.writer import Plan
from tests.cuda.ptx import Absent
from tests.cuda.test_neurons import BINARY, UNARY, Drawn, quadratic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton"),
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") == "1",
        reason="needs Triton's compiler, not its interpreter",
    ),
]
MOST = {"forward": 128, "backward": 255}
"""Registers of a thread."""

TRITON = tuple(map(int, version("triton").split(".")[:2])) if find_spec("triton") else ()
ASIDE = 8 if TRITON >= (3, 7) else 0
"""Bytes of stack: the assembler of Triton 3.7 puts two numbers aside in one kernel (BSRC, 1024), and one in another
with 80 registers."""

NUMBERS = re.compile(r"T|E|N|M|R|samples|longest|every|room|now|p\d+[rct]")
KINDS = {"listed": "*i32", "senders": "*i64", "alive": "*u8"}


def resources(
    kernel: Any,
    flags: dict[str, Any],
    warps: int,
    folder: Path,
    *,
    most: int | None = None,
    even: bool = False,
) -> tuple[int, int]:
    """Registers, and bytes of stack, where those lie that are spilled.

    Args:
        kernel: The kernel.
        flags: What is known when it is compiled.
        warps: Of a program.
        folder: For the compiled code.
        most: Registers that it may use.
        even: Whether the arguments of which the compiler may know it are multiples of 16.
    """
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
    multiples = {
        (k,): [["tt.divisibility", 16]]
        for k, p in enumerate(kernel.params)
        if even and not (p.is_constexpr or p.do_not_specialize or p.do_not_specialize_on_alignment)
    }
    compiled = triton.compile(
        ASTSource(kernel, signature=signature, constexprs=constants, attrs=multiples),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "enable_fp_fusion": False, "maxnreg": most},
    )
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    usage = subprocess.run(
        [tools / "cuobjdump", "-res-usage", binary], capture_output=True, text=True, check=True
    ).stdout
    registers, stack = (int(re.findall(rf"{name}:(\d+)", usage)[-1]) for name in ("REG", "STACK"))
    return registers, stack


def drawn(seed: int) -> Drawn:
    """A random step without a sine, for which the compiler's library asks for stack."""
    draw, smooth = random.Random(seed), [k for k, f in enumerate(UNARY) if f is not torch.sin]
    unary, binary = draw.choices(smooth, k=3), draw.choices(range(len(BINARY)), k=3)
    return Drawn(unary, binary, graded=seed % 2 == 0)


STEPS: dict[str, Any] = {**KNOWN, **{f"drawn {seed}": drawn(seed) for seed in range(3)}}
"""Every neuron of the package, and some that are not."""


def plan(neuron: str, chunk: int | None = None, *, learned: bool = False) -> Plan:
    dynamics = STEPS[neuron]
    step = trace(dynamics.step, dynamics.Params, dynamics.State, dtype=torch.float32)
    num = len(step.params)
    return Plan(step, (learned,) * num, (False,) * num, chunk or backend.chunk(step))


@pytest.mark.parametrize("direction", MOST)
@pytest.mark.parametrize("neuron", KNOWN)
def test_neurons_alone(neuron: str, direction: str, tmp_path: Path) -> None:
    kernel = module(sequence.source(plan(neuron)))[direction]
    flags = {"KEEP": True, "LAST": True, "BLOCK": 32}
    registers, stack = resources(kernel, flags, 1, tmp_path)
    assert stack == 0
    assert registers <= MOST[direction]


SIZES = [(neuron, num, True) for neuron in KNOWN for num in (256, 512, 1000, 1024)]
SIZES += [(neuron, 1024, True) for neuron in STEPS if neuron not in KNOWN]
SIZES += [(neuron, 1024, False) for neuron in KNOWN]


@pytest.mark.parametrize("direction", MOST)
@pytest.mark.parametrize(("neuron", "num", "delayed"), SIZES)
def test_recurrent(neuron: str, direction: str, num: int, delayed: bool, tmp_path: Path) -> None:
    """As it is started for so many neurons, every parameter learned for each neuron."""
    own = plan(neuron, 1, learned=True)
    flags = shared(own, direction, num, num if delayed else None)
    warps, most = flags.pop("num_warps"), flags.pop("maxnreg")
    flags |= {"KEEP": True, "DELAYED": delayed, "LIVE": bool(own.gates), "LAST": True}
    kernel = module(recurrent.source(own))[direction]
    registers, stack = resources(kernel, flags, warps, tmp_path, most=most, even=num % 16 == 0)
    assert stack <= ASIDE
    programs = 2 if direction == "forward" and num <= 256 else 1  # that share a multiprocessor
    assert registers * 32 * warps * programs <= 65536


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
    registers, stack = resources(kernel, flags, many._WARPS[direction], tmp_path)
    assert stack <= ASIDE
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
    registers, stack = resources(synaptic.kernels()[name], flags, warps, tmp_path)
    assert stack == 0
    assert registers <= 64


BY_SYNAPSE = (torch.arange(36).view(6, 6) * 7) % 4 + 1
LAUNCHED: dict[str, tuple[Any, torch.dtype, torch.dtype]] = {
    "one neuron": (lambda: nm.Recurrent(nm.ALIF(1), 1), torch.float32, torch.float32),
    "half precision": (
        lambda: nm.Recurrent(nm.ALIF(6), 6, delay=BY_SYNAPSE, learning_rule="khop"),
        torch.float32, torch.bfloat16,
    ),
    "few of one's own": (lambda: nm.Recurrent(quadratic(10), 10), torch.float32, torch.float32),
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
