"""What a user's editor and mypy see of the package, after it was installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

FILE = """\
import toy
import torch
import snn_neuromod as nm
from snn_neuromod import snntorch as nms, norse

x = torch.rand(20, 4, 5)
layer = nm.ALIF(5, tau_adapt=100.0, learn=["beta"])
spikes, state = layer(x)
net = nm.Recurrent(nm.MSRC(10), 5, learning_rule="eprop")
out, last = net(x)
hidden = nms.ALIF(0.9, init_hidden=True)(x[0])
spk, adapt, mem = nms.ALIF(0.9)(x[0], None, None)
z, s = norse.IzhikevichRecurrent(5, 10, learning_rule="eprop", clip_jacobian=1.0)(x)
z, one = norse.ALIFCell(refractory=2)(x[0])
own = nm.Custom(5, toy, learn=["decay"])
"""
REVEALED = {
    "spikes": "Tensor",
    "state": "dynamics.alif.State",
    "out": "Tensor",
    "last": "RecurrentState",
    "last.neuron": "dynamics.src.State",
    "hidden": "Tensor",
    "spk": "Tensor",
    "mem": "Tensor",
    "z": "Tensor",
    "s": "IzhikevichRecurrentState",
    "one": "ALIFState",
    "layer.step(x[0])[1]": "dynamics.alif.State",
    "nm.LeakyReadout(5, 3)(x)[1]": "dynamics.leaky_integrator.State",
    "nm.PopulationReadout(5, 5)(x)[0]": "Tensor",
    "nm.RecurrentStack([net])(x)[1]": "RecurrentState",
    "nm.SpikeLinear(5, 3)(x)": "Tensor",
    "nm.snntorch.RSTDPALIF(0.9, linear_features=5)": "snntorch.recurrent.RSTDPALIF",
    "nm.norse.ALIF()(x)[1]": "ALIFState",
    "nm.analysis.plot_fi_curve(nm.analysis.fi_curve(nm.dynamics.src, [1.0]))": "Axes",
    "layer.params()": "dynamics.alif.Params",
    "nm.MSRC(5).params()": "dynamics.msrc.Params",
    "own(x)[1]": "toy.State",
    "own.params()": "toy.Params",
    "nm.Recurrent(own, 5)(x)[1].neuron": "toy.State",
    "norse.Custom(toy)(x)[1]": "toy.State",
    "norse.CustomRecurrent(5, 5, toy)(x)[1].neuron": "toy.State",
    'nm.Custom(5, "toy")(x)[1]': "tuple[torch._tensor.Tensor, ...]",
    "nms.ALIF(0.9).reset_mem()": "Tensor",
    "nm.analysis.plot_fi_curve(nm.analysis.fi_curve(layer, [1.0], beta=torch.ones(5)))": "Axes",
    "nm.analysis.plot_fi_curve(nm.analysis.fi_curve(nms.SRC(), [1.0]))": "Axes",
    "nm.analysis.plot_fi_curve(nm.analysis.fi_curve(toy, [1.0]))": "Axes",
    "nms.RALIF(0.9, linear_features=5).init_rleaky()": "Tensor",
}
TOY = """\
from typing import NamedTuple
import torch

class Params(NamedTuple):
    decay: float = 0.9

class State(NamedTuple):
    v: torch.Tensor

def initial_state(current: torch.Tensor) -> State:
    return State(torch.zeros_like(current))

def step(params: Params, state: State, current: torch.Tensor) -> tuple[torch.Tensor, State]:
    v = params.decay * state.v + current
    return (v > 1).to(v), State(v)
"""
WRONG = {
    "nm.ALIF(5, tau_men=20.0)": "tau_men",
    'nm.Recurrent(nm.SRC(5), 3, learning_rule="epropp")': "learning_rule",
    "nm.Recurrent(nm.SRC(5), 3, delays=2)": "delays",
    "nms.Izhikevich(clip_jacobain=1.0)": "clip_jacobain",
    "nms.RSTDPALIF(0.9, linear_features=3, treshold=2.0)": "treshold",
    'nms.RALIF(0.9, linear_features=3, learning_rule="rtrl")': "learning_rule",
    "norse.ALIF(refactory=2)": "refactory",
    'norse.CustomRecurrent(3, 5, "m", learning_rule="epropp")': "learning_rule",
    'nm.Custom(5, "m", option={})': "option",
    "nm.Custom(5, torch)": "Custom",
    'nm.analysis.fi_curve("msrc", [1.0])': "fi_curve",
}
PASSED_OVER = (
    *("IPython", "PIL", "jedi", "prompt_toolkit", "pygments", "setuptools", "sympy", "traitlets"),
    *(f"numpy.{name}" for name in ("f2py", "testing")),
    *(f"torch.{name}" for name in (
        "_decomp", "_dynamo", "_export", "_functorch", "_higher_order_ops", "_inductor", "_library", "_logging",
        "_native", "_numpy", "_prims", "_refs", "_subclasses", "ao", "backends", "compiler", "cuda", "distributed",
        "distributions", "export", "func", "fx", "jit", "masked", "mtia", "onnx", "package", "profiler",
        "quantization", "sparse", "testing", "utils._sympy", "utils.benchmark", "utils.data", "xpu",
    )),
)  # fmt: skip
"""What no type of ours or the user's comes from: two thirds of all files that mypy would read."""
SETTINGS = f"""\
[mypy]
strict = true
[mypy-{",".join(f"{name}.*" for name in PASSED_OVER)}]
follow_imports = skip
"""


def checked(folder: Path, text: str, cache: Path) -> str:
    """What mypy says, in a folder where only what is installed can be found; what it knows of PyTorch is kept."""
    (folder / "mine.py").write_text(text, encoding="utf-8")
    (folder / "toy.py").write_text(TOY, encoding="utf-8")
    (folder / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "mine.py"]
    environment = {k: v for k, v in os.environ.items() if k not in ("MYPYPATH", "PYTHONPATH")}
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, check=False, env=environment
    )
    return result.stdout + result.stderr


def test_a_users_file(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No error in it but a wrong line's each; spikes are tensors, states have their class."""
    pytest.importorskip("norse")
    shown = "".join(f"reveal_type({name})\n" for name in REVEALED)
    cache = request.config.cache.mkdir("mypy")  # type: ignore[union-attr]
    said = checked(tmp_path, FILE + shown + "".join(f"{line}\n" for line in WRONG), cache)
    first = len((FILE + shown).splitlines()) + 1
    lines = dict.fromkeys(range(first, first + len(WRONG)), "")
    for number, message in re.findall(r"^mine.py:(\d+): error: (.*)$", said, re.MULTILINE):
        assert int(number) in lines, said
        lines[int(number)] += message
    for (line, name), message in zip(WRONG.items(), lines.values(), strict=True):
        assert f'"{name}"' in message, (line, said)
    types = re.findall(r'Revealed type is "(.*)"', said)
    for kind, (name, wanted) in zip(types, REVEALED.items(), strict=True):
        assert wanted in kind, (name, kind)
        assert "Any" not in kind, (name, kind)
