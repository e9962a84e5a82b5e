"""Graphs of others: run as an explicit Euler simulation that knows nothing of this package runs them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snn_neuromod as nm
from snn_neuromod.errors import ConfigError, DataError
from snn_neuromod.nir import from_nir, modules
from snn_neuromod.nir.reading import file
from tests.nir.interpreters import Array, run

PAPER = Path(__file__).parents[3] / "shared" / "data" / "nir"
N, B, T, DT = 5, 3, 150, 0.1  # ms
RNG = np.random.default_rng


def events(*shape: int, rate: float = 0.3, seed: int = 0, gain: float = 1.0) -> Array:
    return (RNG(seed).random((T, B, *shape)) < rate) * gain


def check(graph: Any, x: Array, *, live: bool = True, dt: float = DT, **conventions: Any) -> Tensor:
    """The network equals the simulation, and its spikes tell something."""
    expected = run(graph, x, 1e-3 * dt, **conventions)
    net = from_nir(graph, dt, dtype=torch.float64, **conventions)
    output, _ = net(torch.tensor(x))
    if live:
        assert set(np.unique(expected)) == {0.0, 1.0}
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=0, atol=1e-10)
    return output


def chain(*nodes: Any) -> Any:
    """A graph of nodes one after another."""
    names = ["input", *(f"n{k}" for k in range(len(nodes) - 2)), "output"]
    return nir.NIRGraph(
        dict(zip(names, nodes, strict=True)), list(pairwise(names)), type_check=False
    )


def ends(*shape: int) -> tuple[Any, Any]:
    return nir.Input(np.array(shape)), nir.Output(np.array(shape))


def spread(low: float, high: float, *shape: int, seed: int = 0) -> Array:
    return RNG(seed).uniform(low, high, shape or (N,))


def lif(*shape: int, **values: Any) -> Any:
    shape = shape or (N,)
    given = {
        "tau": spread(1e-3, 4e-3, *shape, seed=1),
        "r": spread(0.5, 2.0, *shape, seed=2),
        "v_leak": spread(-0.1, 0.1, *shape, seed=3),
        "v_threshold": spread(0.1, 0.2, *shape, seed=4),
        "v_reset": spread(-0.2, 0.05, *shape, seed=5),
    }
    return nir.LIF(**{**given, **values})


def cuba(kind: Any, **values: Any) -> Any:
    given = {
        "tau_syn": spread(5e-4, 1e-3, seed=1),
        "tau_mem": spread(1e-3, 3e-3, seed=2),
        "r": spread(0.5, 2.0, seed=3),
        "v_leak": spread(-0.1, 0.1, seed=4),
        "w_in": spread(0.5, 2.0, seed=5),
    }
    if kind is nir.CubaLIF:
        given |= {"v_threshold": spread(0.1, 0.2, seed=6), "v_reset": spread(-0.2, 0.05, seed=7)}
    return kind(**{**given, **values})


def integrate_fire(unit: float = 1.0) -> Any:
    return nir.IF(spread(0.1, 0.9) / unit, spread(0.5, 1.5, seed=1), spread(-0.5, 0.2, seed=2))


@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("synapse", ["old", "new"])
def test_neurons_that_spike(reset: str, synapse: str) -> None:
    check(chain(nir.Input(np.array([N])), lif(), nir.Output(np.array([N]))), events(N), reset=reset)
    source, sink = ends(N)
    graph = chain(source, cuba(nir.CubaLIF), sink)
    check(graph, events(N), reset=reset, synapse=synapse)
    # the other convention is another network
    other = {"old": "new", "new": "old"}[synapse]
    there = run(graph, events(N), 1e-3 * DT, reset=reset, synapse=other)
    here = run(graph, events(N), 1e-3 * DT, reset=reset, synapse=synapse)
    assert (there != here).any()


@pytest.mark.parametrize("unit_step", [False, True])
@pytest.mark.parametrize("reset", ["value", "subtract"])
def test_integrate_and_fire(unit_step: bool, reset: str) -> None:
    source, sink = ends(N)
    unit = 1.0 if unit_step else 1e-3 * DT
    check(chain(source, integrate_fire(unit), sink), events(N), unit_step=unit_step, reset=reset)
    integrator = chain(source, nir.I(spread(0.1, 0.9) / unit), sink)
    check(integrator, events(N), unit_step=unit_step, live=False)


def test_neurons_without_spikes_and_nodes_without_state() -> None:
    source, sink = ends(N)
    li = nir.LI(spread(1e-3, 4e-3), spread(0.5, 2.0, seed=1), spread(-1.0, 1.0, seed=2))
    for node in (li, cuba(nir.CubaLI), nir.Scale(spread(-2, 2)), nir.Threshold(spread(-0.5, 1.5))):
        output = check(chain(source, node, sink), events(N), live=False)
        assert output.std() > 0.01
    check(chain(source, cuba(nir.CubaLI), sink), events(N), live=False, synapse="new")


@pytest.mark.parametrize("shape", [(), (1,), (2, 3, 4)])
def test_parameters_of_any_shape(shape: tuple[int, ...]) -> None:
    features = shape if len(shape) == 3 else (N,)
    source, sink = ends(*features)
    for node in ((lif(*shape) if shape else nir.LIF(*map(np.array, (2e-3, 1.5, 0.0, 0.15)))),):
        check(chain(source, node, sink), events(*features))
    uniform = {"tau": 2e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.1, "v_reset": 0.0}
    node = nir.LIF(**{key: np.full(shape, value) for key, value in uniform.items()})
    check(chain(source, node, sink), events(*features))


def test_delays() -> None:
    source, sink = ends(N)
    graph = chain(source, nir.Delay(1e-3 * DT * np.arange(N)), lif(), sink)
    check(graph, events(N))
    net, x = from_nir(graph, DT), torch.tensor(events(N)).float()
    whole, _ = net(x)
    first, state = net(x[:2])  # shorter than the longest delay
    second, state = net(x[2:70], state)
    third, _ = net(x[70:], state)
    assert torch.equal(torch.cat([first, second, third]), whole)
    with pytest.raises(ConfigError, match="dt must divide the delays of node 'n0'"):
        from_nir(graph, 0.07)


def test_convolutions_and_pools() -> None:
    rng = RNG(0)
    weight = rng.normal(size=(4, 1, 3, 3))
    nodes = [
        nir.Conv2d((12, 12), weight, (2, 1), (1, 2), (1, 2), 2, rng.normal(size=4)),
        nir.LIF(*(np.full((4, 6, 12), v) for v in (2e-3, 3.0, 0.0, 0.2))),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 0])),
        nir.AvgPool2d(np.array([2, 3]), np.array([1, 2]), np.array([1, 0])),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(rng.normal(size=(N, 40)) / 2, rng.normal(size=N)),
        lif(),
    ]
    graph = chain(nir.Input(np.array([2, 12, 12])), *nodes, nir.Output(np.array([N])))
    check(graph, events(2, 12, 12))
    conv = nir.Conv1d(10, rng.normal(size=(N, 2, 3)), 2, 1, 1, 1, rng.normal(size=N))
    graph = chain(
        nir.Input(np.array([2, 10])), conv, nir.Flatten({"input": None}, -2, -1), *ends(N)[1:]
    )
    check(graph, events(2, 10), live=False)


def recurrent(neuron: Any, *, nested: bool, affine: bool = True, extra: bool = False) -> Any:
    rng = RNG(7)
    weight, bias = rng.normal(size=(N, N)), rng.normal(size=N) / 10
    w = nir.Affine(weight, bias) if affine else nir.Linear(weight)
    inner = {"lif": neuron, "w": w}
    loop = [("lif", "w"), ("w", "lif")]
    if extra:  # a loop of two populations
        inner |= {"other": lif(), "back": nir.Linear(rng.normal(size=(N, N)))}
        loop = [("lif", "w"), ("w", "other"), ("other", "back"), ("back", "lif")]
    source, sink = ends(N)
    nodes = {"input": source, **inner, "output": sink}
    edges = [("input", "lif"), *loop, ("lif", "output")]
    if not nested:
        return nir.NIRGraph(nodes, edges)
    outer = {
        "input": nir.Input(np.array([N])),
        "rnn": nir.NIRGraph(nodes, edges),
        "output": ends(N)[1],
    }
    return nir.NIRGraph(outer, [("input", "rnn"), ("rnn", "output")])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("extra", [False, True])
def test_recurrent_graphs(nested: bool, affine: bool, extra: bool) -> None:
    for neuron in (lif(), cuba(nir.CubaLIF)):
        graph = recurrent(neuron, nested=nested, affine=affine, extra=extra)
        check(graph, events(N))
        net, x = from_nir(graph, DT), torch.tensor(events(N)).float()
        whole, _ = net(x)
        first, state = net(x[:40])
        second, _ = net(x[40:], state)
        assert torch.equal(torch.cat([first, second]), whole)
        kind = modules.Loop if extra else modules.Recurrence
        assert any(isinstance(layer, kind) for layer in net.layers)
        name = "rnn.w" if nested else "w"
        assert net[name].weight.shape == (N, N)


def test_a_loop_without_neurons_is_refused_and_one_of_integrators_is_not() -> None:
    source, sink = ends(N)
    weights = nir.Linear(0.1 * RNG(0).normal(size=(N, N)))
    nodes = {"input": source, "a": weights, "b": nir.Scale(np.full(N, 0.5)), "output": sink}
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]
    with pytest.raises(DataError, match="loops must have a neuron in them"):
        from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT)
    nodes["b"] = nir.LI(np.full(N, 2e-3), np.ones(N), np.zeros(N))
    output, _ = from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT)(torch.rand(T, B, N))
    assert output.std() > 0.01


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
@pytest.mark.parametrize("rule", ["bptt", "eprop", "khop", "rflo", nm.learning.rules.KHop(T)])
def test_imported_neurons_learn(rule: Any, kind: str) -> None:
    if kind == "CubaLIF":
        graph, tau = recurrent(cuba(nir.CubaLIF), nested=False), "tau_mem"
    else:
        graph, tau = recurrent(lif(), nested=False), "tau"
    net = from_nir(graph, DT, learning_rule=rule, learn=[tau, "v_threshold"], dtype=torch.float64)
    exact = from_nir(graph, DT, learn=[tau, "v_threshold"], dtype=torch.float64)
    x = torch.tensor(events(N))
    for network in (net, exact):
        (network(x)[0] * torch.linspace(0, 1, T)[:, None, None]).sum().backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert {n.rpartition(".")[2] for n in gradients} == {"weight", "bias", tau, "v_threshold"}
    assert all(g is not None and g.any(-1).all() for g in gradients.values())
    same = [
        torch.allclose(p.grad, q.grad, rtol=1e-8, atol=1e-10)
        for p, q in zip(net.parameters(), exact.parameters(), strict=True)
    ]
    assert all(same) if rule == "bptt" or not isinstance(rule, str) else not any(same)


def test_gradients_are_those_of_the_unrolled_equations() -> None:
    graph = recurrent(lif(), nested=False)
    net = from_nir(graph, DT, dtype=torch.float64)
    x = torch.tensor(events(N))
    weight = net["w"].weight
    node = graph.nodes["lif"]
    tau, r, leak, th, v_reset = (
        torch.tensor(getattr(node, k)) for k in ("tau", "r", "v_leak", "v_threshold", "v_reset")
    )
    bias = torch.tensor(graph.nodes["w"].bias)
    v, z, outputs = torch.zeros(B, N).double(), torch.zeros(B, N).double(), []
    for current in x:
        drive = current + z @ weight.T + bias
        v = v + 1e-3 * DT / tau * (leak - v + r * drive)
        z = nm.Psi()(v - th, th)
        v = v + z * (v_reset - v)
        outputs.append(z)
    scale = torch.linspace(0, 1, T)[:, None, None]
    expected = torch.autograd.grad((torch.stack(outputs) * scale).sum(), weight)[0]
    found = torch.autograd.grad((net(x)[0] * scale).sum(), weight)[0]
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


SUBTRACT = {"reset": "subtract"}
GRAPHS: list[tuple[str, tuple[int, ...], float, dict[str, Any]]] = [
    ("lif_norse", (1,), 1.0, {}),
    ("cnn_sinabs", (2, 34, 34), 0.1, {"unit_step": True}),
    ("cnn_sinabs", (2, 34, 34), 0.1, {"unit_step": True, "reset": "subtract"}),
    ("braille_noDelay_bias_zero", (12,), 0.1, {}),
    ("braille_noDelay_bias_zero", (12,), 0.1, {"synapse": "new"}),
    ("braille_noDelay_bias_zero", (12,), 0.1, SUBTRACT),
]


@pytest.mark.skipif(not PAPER.exists(), reason="the graphs of NIR's paper are not here")
@pytest.mark.parametrize(("name", "shape", "dt", "conventions"), GRAPHS)
def test_graphs_of_nirs_paper(
    name: str, shape: tuple[int, ...], dt: float, conventions: dict[str, Any]
) -> None:
    path = PAPER / f"{name}.nir"
    x = events(*shape, rate=0.2)[: 30 if name == "cnn_sinabs" else T]
    expected = run(nir.read(path), x, 1e-3 * dt, **conventions)
    assert 0 < expected.mean() < 1
    output, _ = from_nir(path, dt, dtype=torch.float64, **conventions)(torch.tensor(x))
    assert np.array_equal(output.detach().numpy(), expected)


@pytest.mark.skipif(not PAPER.exists(), reason="the graphs of NIR's paper are not here")
def test_two_neurons_of_nirs_paper() -> None:
    """Its second neuron is for spikes of height 1 / dt; those of height 1 leave it below its threshold."""
    graph, x = nir.read(PAPER / "two_lif_neurons.nir"), events(1)
    membrane = nir.LI(graph.nodes["lif2"].tau, graph.nodes["lif2"].r, graph.nodes["lif2"].v_leak)
    for last in (graph.nodes["lif2"], membrane):
        graph.nodes["lif2"] = last
        output = check(graph, x, live=False)
    assert output.std() > 0.001
    graph.edges = [("in", "linear1"), ("linear1", "lif1"), ("lif1", "out")]
    graph.nodes = {name: graph.nodes[name] for name in ("in", "linear1", "lif1", "out")}
    check(graph, x)


def test_shapes_that_a_file_says_wrongly_do_not_matter(tmp_path: Path) -> None:
    """One of the paper's files gives its output another shape than its neuron."""
    nodes = {
        "input": nir.Input(np.array([N])),
        "n": lif(),
        "output": nir.Output(np.array([1, 1, N])),
    }
    graph = nir.NIRGraph(nodes, [("input", "n"), ("n", "output")], type_check=False)
    nir.write(tmp_path / "a.nir", graph)
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "a.nir")
    output, _ = from_nir(tmp_path / "a.nir", DT)(torch.tensor(events(N)).float())
    assert output.any()


def unknown() -> Any:
    source, sink = ends(N)
    return chain(source, nir.ir.graph.Identity({"input": np.array([N])}), sink)


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (unknown, {}, DataError, "node 'n0' must be one of Linear, Affine, .* got Identity"),
        (lambda: chain(*ends(N)), {"dt": 0.0}, ConfigError, "dt must be > 0"),
        (lambda: chain(*ends(N)), {"dt": float("nan")}, ConfigError, "dt must be > 0"),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {},
            ConfigError,
            "dt must be given .* node 'n0' needs",
        ),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {"dt": 9.0},
            ConfigError,
            "dt must be at most twice",
        ),
        (
            lambda: chain(ends(N)[0], lif(tau=np.zeros(N)), ends(N)[1]),
            {"dt": 0.1},
            DataError,
            "node 'n0' must have tau > 0",
        ),
        (
            lambda: chain(ends(N)[0], lif(r=np.full(N, np.nan)), ends(N)[1]),
            {"dt": 0.1},
            DataError,
            "node 'n0' must have finite parameters, got r",
        ),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {"dt": 0.1, "learn": ["beta"]},
            ConfigError,
            "learn must name parameters of the graph's neurons, got beta",
        ),
        (
            lambda: chain(*ends(N)),
            {"dt": 0.1, "reset": "hard"},
            ConfigError,
            "reset must be one of value, subtract, got 'hard'",
        ),
        (
            lambda: nir.NIRGraph({"o": ends(N)[1]}, [], type_check=False),
            {},
            DataError,
            "one input, got 0",
        ),
        (lambda: 3, {}, DataError, "graph must be a NIRGraph or a path, got int"),
        (
            lambda: chain(ends(N)[0], nir.Affine(np.ones((N, N)), np.ones(N + 1)), ends(N)[1]),
            {},
            DataError,
            "node 'n0' must fit together, got",
        ),
    ],
)
def test_errors(
    make: Callable[[], Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        from_nir(make(), **options)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.nir").write_bytes(b"not a graph")
    with pytest.raises(DataError, match=r"a.nir: .*must be a NIR graph"):
        from_nir(tmp_path / "a.nir", DT)
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "absent.nir", DT)
    nir.write(tmp_path / "b.nir", nir.NIRGraph(dict(zip("ab", ends(N), strict=True)), [("a", "b")]))
    import h5py  # with nir

    with h5py.File(tmp_path / "b.nir", "r+") as file:
        del file["node"]["edges"]
    with pytest.raises(DataError, match=r"b.nir.*must be a NIR graph"):
        from_nir(tmp_path / "b.nir", DT)


def test_files_that_are_damaged_are_named(tmp_path: Path) -> None:
    """HDF5 has no checksums: what still is a graph is one."""
    path = tmp_path / "c.nir"
    nir.write(path, chain(ends(N)[0], lif(), ends(N)[1]))
    whole, said = path.read_bytes(), []
    for place in range(200, 1000, 50):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            from_nir(path, DT)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all("c.nir" in message for message in said)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "does not survive"),
        ("while True: pass", "cannot be read in"),
    ],
)
def test_what_hdf5_does_not_survive_ends_another_process(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some damaged files end its library, or keep it for ever; which depends on its version."""
    path = tmp_path / "d.nir"
    nir.write(path, chain(*ends(N)))
    monkeypatch.setattr(file, "_SECONDS", 1.0)
    monkeypatch.setattr(file, "_CODE", code)
    with pytest.raises(DataError, match=rf"d.nir: .*{said}"):
        from_nir(path, DT)


def test_a_folder_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be a NIR graph, got .*Error: .*Is a directory"):
        from_nir(tmp_path, DT)


@pytest.mark.parametrize(("name", "value"), [("executable", None), ("frozen", True)])
def test_a_program_with_its_interpreter_inside_is_not_started_again(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.nir"
    nir.write(path, chain(*ends(N)))
    monkeypatch.setattr(file.sys, name, value, raising=False)
    monkeypatch.setattr(file.subprocess, "run", None)
    x = torch.ones(2, 1, N)
    assert torch.equal(from_nir(path, DT)(x)[0], x)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"e.nir: from_nir: must be a NIR graph, got"):
        from_nir(path, DT)


def test_a_threshold_of_zero_has_a_gradient() -> None:
    source, sink = ends(N)
    graph = chain(
        source, nir.Linear(RNG(0).normal(size=(N, N))), lif(v_threshold=np.zeros(N)), sink
    )
    net: nn.Module = from_nir(graph, DT)
    net(torch.randn(T, B, N))[0].sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
