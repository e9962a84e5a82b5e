"""The network of a run as a NIR file and as an ONNX graph, which give what the network gives."""

from __future__ import annotations

import errno
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib")
):
    pytest.skip(
        "pytorch_lightning, mlxtend or matplotlib is not installed", allow_module_level=True
    )

import snn_neuromod as nm
from lightning_modules.cli import main
from lightning_modules.export import network_of
from lightning_modules.export_network import exportable
from lightning_modules.export_onnx import StepNetwork, write_onnx
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.networks import FeedForward
from snn_neuromod.errors import RunError
from snn_neuromod.nir import from_nir, to_nir

TINY = [
    "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1",
    "--trainer.max_epochs=1",
]  # fmt: skip
T, B = 30, 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run."""
    root = tmp_path_factory.mktemp("runs")
    main(["fit", "-c", "smoke/alif_eprop", "--trainer.default_root_dir", str(root), *TINY])
    return root / "smoke" / "alif_eprop" / "version_0"


def spikes(features: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(T, B, features, generator=generator) < 0.2).float()


def test_a_run_becomes_a_nir_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(run), "--format", "nir"])
    assert capsys.readouterr().out == f"nir {run / 'network.nir'}\n"
    network, x = network_of(run / "checkpoints" / "last.ckpt"), spikes(784)
    with torch.no_grad():
        expected = network(x)
        output, _ = from_nir(run / "network.nir")(x)
    assert torch.equal(output, expected.outputs)
    assert expected.spikes[0].any()
    other = run / "checkpoints" / "quarter.nir"
    main(["export", str(run / "checkpoints" / "last.ckpt"), "--dt", "0.25", "--output", str(other)])
    again = from_nir(other)
    assert torch.equal(again(x)[0], expected.outputs)
    assert {m.dt for m in again.modules() if isinstance(m, nm.ALIF)} == {0.25}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "required: RUN"),
        (["nowhere"], 2, "RUN must be a checkpoint or the folder of a run, got nowhere"),
        (["nowhere", "--format", "pb"], 2, "argument --format: invalid choice: 'pb'"),
    ],
)
def test_wrong_commands(
    args: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["export", *args])
    assert error.value.code == code
    assert words in capsys.readouterr().err


def test_what_a_format_cannot_hold(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = exportable(FeedForward([6, 5, 2], num_classes=2, neuron=nm.MSRC))
    monkeypatch.setattr("lightning_modules.export.exportable", lambda _: network)
    with pytest.raises(SystemExit):
        main(["export", str(run), "--output", str(run / "none.nir")])
    message = capsys.readouterr().err
    assert "snn-neuromod: error: to_nir: node 'layers.0.neuron': MSRC cannot be written" in message
    assert not (run / "none.nir").exists()
    monkeypatch.setattr("lightning_modules.export_onnx.importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        main(["export", str(run), "--format", "onnx"])
    assert "pip install onnx onnxscript" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["nir", "onnx"])
def test_an_export_that_fails_leaves_the_one_before(
    form: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")
    before = sorted(run.iterdir())
    target = run / f"kept.{form}"
    target.write_bytes(b"the one before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as stop:
        main(["export", str(run), "--format", form, "--output", str(target)])
    assert stop.value.code == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert target.read_bytes() == b"the one before"
    target.unlink()
    assert sorted(run.iterdir()) == before


def networks() -> dict[str, Any]:
    def alif(n: int) -> nm.ALIF:
        return nm.ALIF(n, v_th=0.4)

    def populations(n: int, classes: int) -> nm.PopulationReadout:
        return nm.PopulationReadout(n, classes, decay=0.9)

    def biased(n: int, classes: int) -> nm.LeakyReadout:
        return nm.LeakyReadout(n, classes, bias=True)

    return {
        "sum of spikes": FeedForward(
            [6, 8, 2], num_classes=2, neuron=alif, bias=True, input_gain=2.0
        ),
        "populations": FeedForward([6, 8], num_classes=2, neuron=alif, readout=populations),
        "readout with bias": FeedForward(
            [6, 8], num_classes=2, neuron=alif, readout=biased, recurrent=True
        ),
        "frames": FramewiseNetwork([6, 8, 7], neuron=alif, num_classes=3, readout=biased),
    }


@pytest.mark.parametrize("name", networks())
def test_every_network_and_readout(name: str) -> None:
    torch.manual_seed(0)
    network, x = networks()[name].eval(), spikes(6)
    for weight in network.parameters():
        if weight.ndim == 2:
            weight.data.abs_()
    if getattr(network.readout, "bias", None) is not None:
        network.readout.bias.data.uniform_(-1, 1)
    with torch.no_grad():
        expected = network(x)
        taken = exportable(network)
        torch.testing.assert_close(taken(x), expected.outputs, rtol=1e-4, atol=1e-5)
        output, _ = from_nir(to_nir(taken))(x)
        torch.testing.assert_close(output, expected.outputs, rtol=1e-4, atol=1e-4)
        step = StepNetwork(taken)
        states, stepped = step.example(B)[1:], []
        for t in x:
            y, *states = step(t, *states)
            stepped.append(y)
        torch.testing.assert_close(torch.stack(stepped), expected.outputs, rtol=1e-4, atol=1e-4)
    assert expected.outputs.std() > 0.1


def test_networks_that_no_tool_could_step() -> None:
    def frames(**options: Any) -> FramewiseNetwork:
        return FramewiseNetwork([6, 8], neuron=nm.ALIF, num_classes=3, **options)

    with pytest.raises(RunError, match="bidirectional must be off"):
        exportable(frames(bidirectional=True))
    with pytest.raises(RunError, match="readout_rate must be 'step'"):
        exportable(frames(readout_rate="frame", n_repeat=2))
    with pytest.raises(RunError, match="must be a FeedForward or a FramewiseNetwork, got Linear"):
        exportable(torch.nn.Linear(2, 2))
    with pytest.raises(RunError, match="delays must be one step for ONNX"):
        StepNetwork(exportable(frames(delay=2)))
    notes = exportable(frames(n_repeat=5, output_delay=2)).notes
    assert [note.split()[0] for note in notes] == ["present", "the"]


@pytest.mark.parametrize("name", networks())
def test_onnx_runs_step_by_step(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    ort = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network, x = networks()[name].eval(), spikes(6)
    write_onnx(exportable(network), tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]  # its weights inside
    session = ort.InferenceSession(str(tmp_path / "network.onnx"))
    names = [given.name for given in session.get_inputs()]
    values = [v.numpy() for v in StepNetwork(exportable(network)).example(B)[1:]]
    outputs = []
    for t in x:
        y, *values = session.run(None, dict(zip(names, [t.numpy(), *values], strict=True)))
        outputs.append(torch.tensor(y))
    with torch.no_grad():
        torch.testing.assert_close(torch.stack(outputs), network(x).outputs, rtol=1e-3, atol=1e-3)
