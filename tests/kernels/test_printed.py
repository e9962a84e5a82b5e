"""Layers on kernels printed from their step: every form of a call, against the reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.backends.c import jobs, library
from snn_neuromod.kernels.fusion import jit, plan
from snn_neuromod.kernels.fusion.printed.__main__ import files
from tests.fresh import Fresh
from tests.kernels.fused import Quadratic

ROOT = Path(__file__).parents[2]
PINNED = re.findall(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.M)[0]
STEPS, BATCH, NEURONS, INPUTS = 40, 3, 7, 5

needs_compiler = pytest.mark.skipif(jit.unable() is not None, reason=f"{jit.unable()}")


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jit.CACHE, str(request.config.cache.mkdir("kernels")))  # type: ignore[union-attr]


def triangle(distance: Tensor, unit: Any, held: Tensor | None = None) -> Tensor:
    """A spike function that is no Psi."""
    soft = torch.sigmoid(4 * distance)
    spikes = (distance > 0).to(distance.dtype)
    return soft - soft.detach() + spikes if held is None else spikes * ~held + 0 * soft


LAYERS = {
    "quadratic": lambda: nm.Custom(NEURONS, Quadratic, learn=["alpha"]),
    "callable psi": lambda: nm.ALIF(NEURONS, psi=triangle, learn=["beta"]),
    "msrc": lambda: nm.MSRC(NEURONS, learn=["r_s"]),
    "src attached": lambda: nm.SRC(NEURONS, detach_recurrence=False, straight_through=False),
    "bsrc": lambda: nm.BSRC(NEURONS),
}
DELAYS = {
    "one": 1,
    "three": 3,
    "by neuron": torch.arange(NEURONS) % 4 + 1,
    "by synapse": torch.randint(
        1, 5, (NEURONS, NEURONS), generator=torch.Generator().manual_seed(0)
    ),
}


def results(net: Any, x: Tensor, backend: str) -> dict[str, Tensor]:
    """Spikes, last state and all gradients."""
    x = x.clone().requires_grad_()
    net.zero_grad()
    with nm.kernels.use(backend):  # type: ignore[arg-type]
        spikes, state = net(x)
        weights = torch.linspace(-1, 1, spikes.numel(), dtype=spikes.dtype).reshape(spikes.shape)
        neuron_state = getattr(state, "neuron", state)
        loss = (spikes * weights).sum() + sum((s * s).sum() for s in neuron_state)
        loss.backward()
    found = {"spikes": spikes.detach(), "x": x.grad}
    found |= {f"state {k}": s.detach() for k, s in enumerate(neuron_state)}
    found |= {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    return found


def assert_same(net: Any, x: Tensor) -> None:
    found, right = results(net, x, "c"), results(net, x, "reference")
    assert found.keys() == right.keys()
    assert right["spikes"].any()
    for name, value in right.items():
        scale = value.abs().max().clamp(min=1e-6)
        assert (found[name] - value).abs().max() <= 1e-10 * scale, name
    assert right["x"].any()


def drive(layer: str, *shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    scale = 2.5 if "src" in layer else 0.7
    return scale * torch.rand(*shape, generator=draw, dtype=torch.float64)


@needs_compiler
@pytest.mark.parametrize("layer", ["quadratic", "callable psi"])
def test_without_recurrent_weights(layer: str) -> None:
    assert_same(LAYERS[layer]().double(), drive(layer, STEPS, BATCH, NEURONS))


@needs_compiler
@pytest.mark.parametrize("rule", ["bptt", "eprop", "khop", "rflo"])
@pytest.mark.parametrize("layer", ["quadratic", "callable psi"])
def test_every_rule(layer: str, rule: Any) -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(LAYERS[layer](), INPUTS, learning_rule=rule).double()
    assert_same(net, drive(layer, STEPS, BATCH, INPUTS))


@needs_compiler
@pytest.mark.parametrize("rule", ["bptt", "eprop"])
@pytest.mark.parametrize("layer", ["msrc", "src attached", "bsrc"])
def test_recurrent_src_family(layer: str, rule: Any) -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(LAYERS[layer](), INPUTS, learning_rule=rule).double()
    with torch.no_grad():
        net.w_rec.mul_(0.3)
    assert_same(net, drive(layer, 25, BATCH, INPUTS))


@needs_compiler
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("rule", ["bptt", "eprop"])
def test_delays(delay: str, rule: Any) -> None:
    torch.manual_seed(0)
    by_synapse = delay == "by synapse"
    layer = nm.Custom(NEURONS, Quadratic, learn=["v_th"], delay=1 if by_synapse else DELAYS[delay])
    given = {"delay": DELAYS[delay]} if by_synapse else {}
    net = nm.Recurrent(layer, INPUTS, learning_rule=rule, **given).double()
    assert_same(net, drive("quadratic", STEPS, BATCH, INPUTS))


@needs_compiler
def test_a_state_passed_on_gives_the_same_run() -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(nm.Custom(NEURONS, Quadratic), INPUTS)
    x = drive("quadratic", STEPS, BATCH, INPUTS).float()
    with nm.kernels.use("c"), torch.no_grad():
        whole, last = net(x)
        first, state = net(x[:17])
        second, end = net(x[17:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last.neuron.v, end.neuron.v)


@needs_compiler
def test_truncated_gradients_reach_the_first_segment() -> None:
    layer, x = nm.Custom(NEURONS, Quadratic).double(), drive("quadratic", STEPS, BATCH, NEURONS)
    found = []
    for backend in ("c", "reference"):
        given = x.clone().requires_grad_()
        with nm.kernels.use(backend):  # type: ignore[arg-type]
            _, state = layer(given[:20])
            spikes, _ = layer(given[20:], state)
        found.append(torch.autograd.grad(spikes.sum(), given)[0])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)
    assert found[0][:20].any()


class Drawing(Quadratic):
    """A step that draws random numbers."""

    @classmethod
    def step(cls, params: Any, state: Any, current: Tensor) -> Any:
        v = state.v * params.alpha + current + 0 * torch.rand_like(current)
        return torch.relu(v - params.v_th), cls.State(v)


@needs_compiler
def test_what_cannot_be_printed_stays_on_eager_and_says_why() -> None:
    layer = nm.Custom(NEURONS, Drawing)
    x = torch.rand(4, 2, NEURONS)
    spikes, _ = layer(x)
    with (
        nm.kernels.use("c"),
        pytest.raises(RuntimeError, match="is not an operation on each neuron alone"),
    ):
        layer(x)
    with nm.kernels.use("eager"):
        assert torch.equal(layer(x)[0], spikes)


@needs_compiler
def test_a_failing_compiler_leaves_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(text: str, name: str) -> Any:
        raise jit.CompileError("cc failed: no space left")

    monkeypatch.setattr(jit, "load", fails)
    layer, x = nm.Custom(NEURONS, Quadratic), torch.rand(4, 2, NEURONS)
    assert layer(x)[0].shape == x.shape
    with nm.kernels.use("c"), pytest.raises(RuntimeError, match="no space left"):
        layer(x)


def test_turned_off_by_the_environment(tmp_path: Path, fresh: Fresh) -> None:
    code = (
        "import torch, snn_neuromod as nm\n"
        "layer = nm.Custom(3, nm.dynamics.alif)\n"
        "layer(torch.rand(4, 2, 3))\n"
        "print(nm.kernels.info()['others'])\n"
    )
    result = fresh(code, **{jit.JIT: "0", jit.CACHE: str(tmp_path / "cache")})
    assert "SNN_NEUROMOD_JIT=0" in result.stdout
    assert result.stderr == ""
    assert not (tmp_path / "cache").exists()


@needs_compiler
def test_a_layer_compiles_to_one_graph() -> None:
    layer = nm.Custom(NEURONS, Quadratic, learn=["alpha"])
    x = drive("quadratic", 12, BATCH, NEURONS).float()
    compiled = torch.compile(lambda x: layer(x)[0].sum(), fullgraph=True, backend="aot_eager")
    compiled(x).backward()
    found = layer.alpha.grad.clone()
    layer.zero_grad()
    layer(x)[0].sum().backward()
    torch.testing.assert_close(found, layer.alpha.grad)


def test_neurons_of_the_package_come_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every option, and without a compiler."""
    if library.load()[0] is None:
        pytest.skip(f"C kernels: {library.load()[1]}")
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")
    x = torch.rand(20, 2, NEURONS)
    with nm.kernels.use("c"):
        for shape in nm.surrogate.Shape.__args__:
            psi = nm.Psi(shape, gamma=0.4, width=0.7, scale="none", refractory=-0.5, at_spike=0.2)
            nm.ALIF(NEURONS, psi=psi, reset="zero", refractory=3)(x)
        nm.MSRC(NEURONS, detach_recurrence=False)(x)
        nm.Izhikevich(NEURONS, clip_jacobian=2.0)(x)


@pytest.mark.parametrize(
    "neurons", [12_004, 12_032, 12_001, 5], ids=["tail", "whole", "uneven", "few"]
)
@pytest.mark.parametrize("threads", [1, 2])
def test_results_written_past_the_caches(neurons: int, threads: int) -> None:
    """From 4 MiB on, in rows of whole 16 bytes; the last tile of a row may be narrow."""
    layer, x = nm.LeakyIntegrator(neurons, learn=["tau"]), drive("leaky", 70, 1, neurons)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_same(layer, x)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [("fusion/call.h", "EVERY", plan.EVERY), ("c/kernels.c", "CARRIED", jobs.MOST)],
)
def test_numbers_that_both_languages_state(file: str, name: str, value: int) -> None:
    """By them Python makes room for what C writes."""
    found = re.findall(rf"^#define {name} (\d+)", (library.FOLDER / file).read_text(), flags=re.M)
    assert found == [str(value)]


def test_a_missing_library_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", lambda: (None, "not built: no compiler"))
    library.say_missing.cache_clear()
    with pytest.warns(UserWarning, match="not in use: not built: no compiler"):
        library.say_missing()
    library.say_missing()  # a second warning would be an error here


@pytest.mark.skipif(
    torch.__version__.partition("+")[0] != PINNED, reason=f"printed with PyTorch {PINNED}"
)
def test_files_are_what_the_generator_prints() -> None:
    folder = library.FOLDER / "fusion" / "printed"
    there = {
        path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".h", ".json")
    }
    assert there == files(), "run python -m snn_neuromod.kernels.fusion.printed"
