"""Run folders of version 0.1: checkpoints load, predict what they predicted, and training goes on from them."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib", "soundfile", "kaldi_native_fbank")
):
    pytest.skip(
        "pytorch_lightning, mlxtend, matplotlib or the audio packages are missing",
        allow_module_level=True,
    )

from lightning_modules.cli import main
from tests.golden.cases import FOLDER
from tests.golden.runs import RUNS, network_of, scratch_folder
from tests.golden.storage import load

pytestmark = pytest.mark.parametrize("name", RUNS)


def test_a_checkpoint_gives_the_same_outputs(name: str) -> None:
    golden = load(FOLDER / name / "outputs.pt.gz")
    network = network_of(name, FOLDER / name / "checkpoints" / "last.ckpt").eval()
    with torch.no_grad():
        outputs, spikes = network(golden["x"])
    assert golden["outputs"].abs().max() > 0
    assert_close(outputs, golden["outputs"], rtol=1e-3, atol=1e-3)
    assert_close(list(spikes), golden["spikes"], rtol=1e-3, atol=1e-3)


def test_predict_writes_what_it_wrote(name: str) -> None:
    golden = FOLDER / name
    with scratch_folder() as folder:
        run = folder / "runs" / "version_0"
        shutil.copytree(golden, run, ignore=shutil.ignore_patterns("predictions*"))
        main(["predict", "--ckpt_path", "runs/version_0"])
        kept = [path for path in golden.rglob("*") if "predictions" in str(path) and path.is_file()]
        assert kept
        for path in kept:
            found = (run / path.relative_to(golden)).read_text()
            if path.suffix == ".csv":
                assert_close(scores(found), scores(path.read_text()), rtol=1e-3, atol=1e-3)
            else:
                assert found == path.read_text()


def scores(table: str) -> torch.Tensor:
    rows = csv.DictReader(table.splitlines())
    names = ["label", *(f"score_{k}" for k in range(10))]
    return torch.tensor([[float(row[name]) for name in names] for row in rows])


def test_training_goes_on_as_it_did(name: str) -> None:
    """The second epoch again, from the checkpoint of the first and the saved configuration."""
    checkpoints = FOLDER / name / "checkpoints"
    before, golden = (
        torch.load(checkpoints / f"{epoch}.ckpt", weights_only=True)["state_dict"]
        for epoch in ("first", "last")
    )
    with scratch_folder():
        shutil.copytree(FOLDER / name, "old/version_0")
        first = "old/version_0/checkpoints/first.ckpt"
        main(["fit", "-c", "old/version_0/config.yaml", "--ckpt_path", first])
        (run,) = Path("runs").rglob("version_*")
        found = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert list(found) == list(golden)
    moved = 0.0
    for key, value in golden.items():
        if torch.equal(value, before[key]):
            assert torch.equal(found[key], value), key
            continue
        change = (value - before[key]).double().norm()
        moved += float(change)
        assert (found[key] - value).double().norm() <= 0.02 * change + 1e-6, key
    assert moved > 0.1
