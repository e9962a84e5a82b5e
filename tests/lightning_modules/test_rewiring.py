"""The callback: every step of the optimiser, nothing in between, and a resumed run like an uninterrupted one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.rewiring import Rewiring

# isort: on
import pytorch_lightning as pl

import snn_neuromod as nm
from snn_neuromod.connectivity import Random


class Task(pl.LightningModule):
    """Rates of a sparse network."""

    def __init__(self, *, sparse: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        mask = Random(density=0.3) if sparse else None
        self.net = nm.Recurrent(nm.ALIF(12, v_th=0.6), 4, mask_in=mask, mask_rec=mask)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        (x,) = batch
        return (self.net(x.transpose(0, 1))[0].mean((0, 1)) - 0.3).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def data() -> DataLoader[Any]:
    x = 1 + torch.randn(24, 15, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(x), batch_size=4)


def fit(root: Path, epochs: int, ckpt_path: Any = None, **options: Any) -> tuple[Task, Rewiring]:
    task = Task(**options.pop("task", {}))
    rewiring = Rewiring(**{"temperature": 1e-4, "l1": 0.01, **options.pop("rewiring", {})})
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[rewiring], logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=root,
        enable_checkpointing=False, **options,
    )  # fmt: skip
    trainer.fit(task, data(), ckpt_path=ckpt_path)
    trainer.save_checkpoint(root / f"{epochs}.ckpt")
    return task, rewiring


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*Checkpoint directory",
    "ignore:.*LeafSpec:FutureWarning",
)


def test_resumed_run(tmp_path: Path) -> None:
    full, _ = fit(tmp_path, 4)
    fit(tmp_path, 2)
    resumed, rewiring = fit(tmp_path, 4, tmp_path / "2.ckpt", rewiring={"seed": 9})
    before = Task().net.state_dict()
    for name, value in full.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name]), name
    assert (full.net.mask_rec != before["mask_rec"]).sum() > 10
    assert int(full.net.mask_rec.sum()) == int(before["mask_rec"].sum())
    assert rewiring.rewiring is not None
    torch.load(tmp_path / "4.ckpt", weights_only=True)


def test_it_waits_for_the_optimiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    step = nm.rewiring.DeepRewiring.step
    monkeypatch.setattr(nm.rewiring.DeepRewiring, "step", lambda s: (calls.append(1), step(s))[1])
    fit(tmp_path, 1, accumulate_grad_batches=3)
    assert len(calls) == 2


def test_a_dense_network(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="network must have a Recurrent layer with a mask"):
        fit(tmp_path, 1, task={"sparse": False})
