"""Networks of Norse's, and of this package's forms for Norse, as NIR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("norse")

import norse.torch as theirs

from snn_neuromod import norse as ours
from snn_neuromod.nir import from_nir, to_nir
from tests.nir.interpreters import run
from tests.nir.networks import by_norse, through_file

T, B, IN, N = 60, 3, 6, 8


def stimulus() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(T, B, IN, generator=generator) < 0.4).float()


def weights(low: float = -0.2, high: float = 1.0) -> nn.Linear:
    layer = nn.Linear(IN, N)
    layer.weight.data.uniform_(low, high)
    return layer


def neuron(name: str, cell: bool) -> Any:
    """A neuron of Norse's or in its form, over steps or over sequences."""
    end = "Cell" if cell else ""
    taus = {"tau_mem_inv": torch.linspace(80.0, 200.0, N)}
    if name == "LIF":
        return getattr(theirs, name + end)(theirs.LIFParameters(**taus, v_th=torch.tensor(0.4)))
    if name == "LIFBox":
        leak = {"v_leak": torch.tensor(0.2), "v_reset": torch.tensor(-0.1)}
        return theirs.LIFBoxCell(theirs.LIFBoxParameters(**taus, v_th=torch.tensor(0.5), **leak))
    if name == "LIFBox subtract":
        method = theirs.functional.reset.reset_subtract
        p = theirs.LIFBoxParameters(v_th=torch.tensor(0.3), reset_method=method)
        return theirs.LIFBoxCell(p)
    if name == "LI":
        return getattr(theirs, name + end)(theirs.LIParameters(**taus))
    if name == "LIBox":
        return theirs.LIBoxCell(theirs.LIBoxParameters(**taus, v_leak=torch.tensor(0.1)))
    if name == "IAF":
        return getattr(theirs, name + end)(theirs.IAFParameters(v_th=torch.tensor(2.0)))
    return getattr(ours, name + end)(ours.ALIFParameters(tau_mem_inv=taus["tau_mem_inv"]))


def recurrent(name: str, cell: bool) -> Any:
    end = "RecurrentCell" if cell else "Recurrent"
    torch.manual_seed(1)
    if name == "LIF":
        made = getattr(theirs, "LIF" + end)(IN, N, theirs.LIFParameters(v_th=torch.tensor(0.4)))
    else:
        made = getattr(ours, "ALIF" + end)(IN, N, delay=1 if cell else 2)
    made.input_weights.data.abs_()
    return made


def output_of(net: Any, x: Tensor, cell: bool) -> Tensor:
    with torch.no_grad():
        if not cell:
            return net(x)[0]
        state, outputs = None, []
        for step in x:
            y, state = net(step, state)
            outputs.append(y)
        return torch.stack(outputs)


def check(net: Any, cell: bool, path: Path, tolerance: float = 0.0) -> Any:
    x = stimulus()
    expected = output_of(net, x, cell)
    assert expected.std() > 0.05
    graph = through_file(to_nir(net), path)
    held = {k: v for k, v in graph.metadata.items() if k != "dt"}
    for output in (
        from_nir(graph)(x)[0].detach(),
        torch.tensor(run(graph, x.double().numpy(), 1e-3, **held)).float(),
    ):
        torch.testing.assert_close(output, expected, rtol=tolerance, atol=tolerance)
    return graph


@pytest.mark.parametrize("name", ["LIF", "LIFBox", "LIFBox subtract", "LI", "LIBox", "IAF", "ALIF"])
def test_cells(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = theirs.SequentialState(weights(), neuron(name, cell=True))
    check(net, True, tmp_path, tolerance=1e-5 if name.startswith("LI") and "F" not in name else 0.0)


@pytest.mark.parametrize("name", ["LIF", "LI", "IAF", "ALIF"])
def test_sequences(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = theirs.SequentialState(theirs.Lift(weights()), nn.Dropout(0.0), neuron(name, cell=False))
    check(net, False, tmp_path, tolerance=1e-5 if name == "LI" else 0.0)


@pytest.mark.parametrize("name", ["LIF", "ALIF"])
@pytest.mark.parametrize("cell", [False, True])
def test_recurrent_neurons(name: str, cell: bool, tmp_path: Path) -> None:
    graph = check(theirs.SequentialState(recurrent(name, cell)), cell, tmp_path)
    assert any(isinstance(node, nir.NIRGraph) for node in graph.nodes.values())


def test_norse_reads_its_own_neurons_back() -> None:
    torch.manual_seed(0)
    p = theirs.LIFBoxParameters(tau_mem_inv=torch.linspace(80.0, 200.0, N), v_th=torch.tensor(0.3))
    net = theirs.SequentialState(weights(), theirs.LIFBoxCell(p))
    x = stimulus()
    assert torch.equal(by_norse(to_nir(net), x, dt=1e-3), output_of(net, x, cell=True))
    hard = theirs.SequentialState(
        theirs.Lift(weights()),
        ours.ALIF(ours.ALIFParameters(beta=0.0), num_neurons=N, reset="zero"),
    )
    expected = output_of(hard, x, cell=False)
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(by_norse(to_nir(hard), x, dt=1e-3), expected)


def test_what_cannot_be_written() -> None:
    for layer, words in (
        (ours.MSRCCell(), "MSRCCell cannot be written: its tanh"),
        (ours.IzhikevichCell(), "product of the membrane"),
        (theirs.LSNNCell(), "LSNNCell cannot be written: Norse's LSNN"),
        (theirs.LIFAdExCell(), "LIFAdExCell cannot be written: known are"),
    ):
        with pytest.raises(TypeError, match=f"to_nir: node '1': .*{words}"):
            to_nir(theirs.SequentialState(weights(), layer))
