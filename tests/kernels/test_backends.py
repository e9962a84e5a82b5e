"""Choice of the backend, and the library it comes from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import dynamics
from snn_neuromod.kernels import backends
from snn_neuromod.kernels.backends.c import library
from snn_neuromod.kernels.fusion import jit
from tests.fresh import Fresh
from tests.kernels.reference import make_case

OPTIONS = {
    "alif": {"psi": nm.Psi(), "reset": "subtract", "refractory": 0, "detach_reset": False},
}


def run(layer: nm.ALIF, current: torch.Tensor) -> tuple[torch.Tensor, set[str]]:
    """Gradient of the input, and the names of the operations in its graph."""
    spikes, _ = layer(current)
    names = {spikes.grad_fn.name()}
    return torch.autograd.grad(spikes.sum(), current)[0], names


def test_backends_agree() -> None:
    current = (torch.rand(30, 4, 10) * 0.5).double().requires_grad_()
    layer = nm.ALIF(10).double()
    found = {}
    for backend in ("auto", "eager", "reference"):
        with nm.kernels.use(backend):
            found[backend] = run(layer, current)
    assert found["eager"][0].abs().max() > 0
    for backend in ("auto", "reference"):
        torch.testing.assert_close(found[backend][0], found["eager"][0], rtol=1e-10, atol=1e-12)
    assert found["auto"][1] == found["eager"][1] != found["reference"][1]


@pytest.mark.parametrize("hops", [None, 0])
@pytest.mark.parametrize("neuron", ["msrc", "stdp_alif"])
def test_reference_has_weights_and_parameters_per_step(neuron: str, hops: int | None) -> None:
    options = {
        "msrc": {"straight_through": True, "detach_recurrence": True},
        "stdp_alif": {"psi": nm.Psi(), "refractory": 1, "detach_reset": True},
    }[neuron]
    name = "h_s0" if neuron == "msrc" else "beta"
    case = make_case(neuron, options, recurrent=True, hops=hops, **{name: torch.rand(20, 3, 4)})
    gradients = []
    for backend in ("reference", "eager"):
        with nm.kernels.use(backend):
            spikes, _ = case.operator()
            gradients.append(torch.autograd.grad(spikes.sum(), [case.current, case.w_rec]))
    for a, b in zip(*gradients, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_use_nests_and_is_undone() -> None:
    before = backends.requested()
    with nm.kernels.use("eager"):
        with nm.kernels.use("auto"):
            assert backends.requested() == "auto"
        assert backends.requested() == "eager"
    with pytest.raises(ZeroDivisionError), nm.kernels.use("eager"):
        _ = 1 / 0
    assert backends.requested() == before


def test_use_holds_in_its_own_thread_and_task() -> None:
    """Neither what another thread asked for, nor the order in which they leave, matters to this one."""
    before, inside, left = backends.requested(), threading.Event(), threading.Event()
    seen: dict[str, str] = {}

    def other() -> None:
        seen["start"] = backends.requested()
        with nm.kernels.use("reference"):
            inside.set()
            left.wait(10)
            seen["late"] = backends.requested()

    thread = threading.Thread(target=other)
    with nm.kernels.use("eager"):
        thread.start()
        assert inside.wait(10)
        assert backends.requested() == "eager"
    left.set()
    thread.join()
    assert seen == {"start": before, "late": "reference"}
    assert backends.requested() == before

    async def task(backend: nm.kernels.Backend) -> str:
        with nm.kernels.use(backend):
            await asyncio.sleep(0.01)
            return backends.requested()

    async def both() -> list[str]:
        return await asyncio.gather(task("eager"), task("reference"))

    assert asyncio.run(both()) == ["eager", "reference"]


every_layer = pytest.mark.parametrize(
    "layer", [nm.SRC, nm.MSRC, nm.BSRC, nm.ALIF, nm.STDPALIF, nm.Izhikevich, nm.LeakyIntegrator]
)


@every_layer
def test_a_layer_asks_before_the_process(layer: type[nm.layers.Layer]) -> None:
    """Autograd sees the reference's own steps, of the others one operator."""
    current = torch.rand(5, 2, 3).double().requires_grad_()
    for asked, process, operator in (
        ("reference", "eager", False),
        ("eager", "reference", True),
        ("auto", "reference", True),
        (None, "reference", False),
        (None, "eager", True),
    ):
        with nm.kernels.use(process):
            name = layer(3, backend=asked).double()(current)[0].grad_fn.name()
        assert (name == "_SequenceBackward") is operator, (asked, process)


def test_a_layer_that_asks_for_what_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")  # or a kernel is printed
    step = torch.rand(5, 2, 3)
    psi = nm.ALIF(3, backend="c", psi=lambda distance, unit, held: (distance > 0).float())
    with pytest.raises(RuntimeError, match=r"'c' was asked for by name and cannot.*_JIT=0"):
        psi(step)
    with nm.kernels.use("c"):
        nm.Recurrent(nm.SRC(3, backend="auto"), 2)(torch.rand(5, 2, 2))
    with pytest.raises(ValueError, match=r"ALIF: backend must be one of auto, .*, got 'cuda'"):
        nm.ALIF(3, backend="cuda")
    readout = nm.LeakyReadout(3, 2, backend="eager")
    assert readout.filter.backend == "eager"
    assert "backend='eager'" in repr(readout)
    assert nm.norse.ALIF(backend="eager").p.backend == "eager"


def test_a_compiled_layer_keeps_its_backend() -> None:
    current = torch.rand(5, 2, 3)
    for backend in ("eager", None):
        layer = nm.MSRC(3, backend=backend)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(current)[0], layer(current)[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nm.SRC(3, backend="reference"),
        lambda: nm.STDPALIF(3, backend="reference"),
        lambda: nm.Izhikevich(3, backend="reference"),
        lambda: nm.Recurrent(nm.ALIF(3, delay=2, backend="reference"), 3),
    ],
)
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_the_reference_compiles_to_one_graph(make: Callable[[], torch.nn.Module]) -> None:
    torch._dynamo.reset()
    layer, current = make(), torch.rand(5, 2, 3).mul_(3).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(run(current)[0].sum(), current) for run in (compiled, layer)
    )
    torch.testing.assert_close(found, expected)
    assert expected[0].any()


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_operators_are_whole_under_autocast(backend: str) -> None:
    """Half precision is brought to float32 before, and no product inside is of half precision."""
    case = make_case("alif", {**OPTIONS["alif"]}, recurrent=True, dtype=torch.float32)
    results = []
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), nm.kernels.use(backend):
            spikes, state = case.operator()
            (grad,) = torch.autograd.grad(spikes.sum(), case.w_rec)
        results.append([spikes, *state, grad])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_unknown_backend() -> None:
    known = "auto, reference, eager, c, triton"
    with pytest.raises(ValueError, match=f"backend must be one of {known}, got"):
        nm.kernels.use("cuda").__enter__()


def test_environment_variable(fresh: Fresh) -> None:
    asked = "print(nm.kernels.info()['requested'])\n"
    code = f"import snn_neuromod as nm\n{asked}with nm.kernels.use('reference'): {asked}"
    for value, requested in (("eager", "eager"), ("", "auto")):
        found = fresh(code, **{backends.ENVIRONMENT: value})
        assert found.stdout.split() == [requested, "reference"]
    wrong = fresh(code, **{backends.ENVIRONMENT: "fast"})
    assert wrong.returncode != 0
    assert f"{backends.ENVIRONMENT}: backend must be one of" in wrong.stderr


def test_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", lambda: (None, "not built: no compiler"))
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")  # printed kernels would serve in its place
    told = nm.kernels.info()
    assert told["c"] == "not built: no compiler"
    for neuron in dynamics.NEURONS:
        assert told[neuron] == (
            "eager: compiling at first use is turned off by SNN_NEUROMOD_JIT=0 (the library is not built: no compiler)"
        )
    assert told["one step"] == "plain PyTorch: the library is not built: no compiler"
    monkeypatch.delenv("SNN_NEUROMOD_JIT")
    if jit.unable() is None:
        assert nm.kernels.info()["alif"].startswith("c: printed and compiled at first use (the lib")
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")
    current = torch.rand(5, 2, 3)
    layer = nm.ALIF(3, refractory=9)  # options that nothing else here uses: kernels found are kept
    library.say_missing.cache_clear()
    with nm.kernels.use("auto"), pytest.warns(UserWarning, match="not built: no compiler"):
        layer(current)
    with nm.kernels.use("auto"):  # not said again
        layer(current)
    with nm.kernels.use("c"), pytest.raises(RuntimeError, match="not built: no compiler"):
        layer(current)


def test_what_serves_is_told() -> None:
    told = nm.kernels.info()
    if library.load()[0] is not None:
        assert {told[neuron] for neuron in dynamics.NEURONS} == {"c: printed in the package"}
    assert told["others"].split(":")[0] == ("eager" if jit.unable() else "c")


def test_library_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if library.load()[0] is None:
        pytest.skip(f"C kernels: {library.load()[1]}")
    monkeypatch.setattr(library, "source_hash", lambda: 1)
    loaded, reason = library.load.__wrapped__()
    assert loaded is None
    assert "built from other sources" in reason


def test_hash_changes_with_the_sources(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "fusion" / "printed").mkdir(parents=True)
    (tmp_path / "c" / "a.c").write_text("int a;\n")
    first = library.source_hash(tmp_path)
    (tmp_path / "c" / "notes.txt").write_text("not a source")
    assert library.source_hash(tmp_path) == first
    (tmp_path / "fusion" / "printed" / "b.h").write_text("int b;\n")
    assert library.source_hash(tmp_path) != first
