"""Runs on the data modules: what reaches the network, and that a resumed run sees the batches it has not seen."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

# isort: off
from lightning_modules.data import MNIST  # first: it makes torchvision importable

# isort: on
import pytorch_lightning as pl


class Linear(pl.LightningModule):
    """Softmax regression on spike counts; records what it sees."""

    def __init__(self, fail_at=None):
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)
        self.fail_at = fail_at
        self.seen = []

    def training_step(self, batch, batch_idx):
        spikes, labels = batch
        if (self.current_epoch, batch_idx) == self.fail_at:
            raise KeyError("stop")
        self.seen.append((self.current_epoch, batch_idx, spikes.dtype, labels.tolist()))
        return torch.nn.functional.cross_entropy(self.linear(spikes.mean(dim=0)), labels)

    def validation_step(self, batch, batch_idx):
        return None

    def predict_step(self, batch, batch_idx):
        spikes, labels = batch
        return spikes.sum(dim=(0, 2)), labels

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


def fit(root, folder, network, *, ckpt_path=None, callbacks=(), epochs=3, **options):
    data = MNIST(str(root), batch_size=8, num_steps=6, **options)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(network, datamodule=data, ckpt_path=ckpt_path)
    return network


quiet = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:Checkpoint directory",
    "ignore:.*treespec, LeafSpec",
    "ignore:.*number of training batches",
    "ignore:.*was called without a model",
    "ignore:Be aware that when using `ckpt_path`",
    "ignore:.*no last checkpoint available",
)


@quiet
def test_batches_reach_the_network_as_floating_point_in_new_order_each_epoch(root, tmp_path):
    seen = fit(root, tmp_path, Linear()).seen
    assert {dtype for _, _, dtype, _ in seen} == {torch.float32}
    orders = [[y for e, _, _, ys in seen if e == epoch for y in ys] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]


@quiet
def test_batches_stay_bytes_for_a_module_that_takes_them(root, tmp_path):
    network = Linear()
    network.byte_spikes = True
    with pytest.raises(RuntimeError):  # its mean of bytes
        fit(root, tmp_path, network)
    assert {dtype for _, _, dtype, _ in network.seen} == {torch.uint8}


@quiet
def test_resumed_runs_equal_the_uninterrupted_one_bit_by_bit(root, tmp_path):
    # 36 training images give 5 batches an epoch: checkpoints after steps 3, 5, 8, 10.
    def checkpoints(name, **options):
        return pl.callbacks.ModelCheckpoint(
            dirpath=tmp_path / name, filename="{step}", save_top_k=-1, **options
        )

    by_step = checkpoints("steps", every_n_train_steps=1)
    by_epoch = checkpoints("epochs", every_n_epochs=1)
    reference = fit(root, tmp_path, Linear(), callbacks=[by_step, by_epoch])
    assert len(reference.seen) == 15
    paths = [f"steps/step={step}.ckpt" for step in (3, 5, 8)] + ["epochs/step=10.ckpt"]
    for path in paths:
        resumed = fit(root, tmp_path, Linear(), ckpt_path=tmp_path / path)
        step = int(path.split("=")[1].split(".")[0])
        assert resumed.seen == reference.seen[step:], path
        assert torch.equal(resumed.linear.weight, reference.linear.weight), path


@quiet
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_a_worker_that_reads_ahead_changes_neither_a_run_nor_where_it_goes_on(root, tmp_path):
    options = {"epochs": 2, "val_fraction": 0.0}
    saved = pl.callbacks.ModelCheckpoint(
        dirpath=tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=4
    )
    reference = fit(root, tmp_path, Linear(), **options)
    whole = fit(root, tmp_path, Linear(), num_workers=1, callbacks=[saved], **options)
    resumed = fit(
        root, tmp_path, Linear(), num_workers=1, ckpt_path=tmp_path / "step=8.ckpt", **options
    )
    assert whole.seen == reference.seen
    assert resumed.seen == reference.seen[8:]
    for network in (whole, resumed):
        assert torch.equal(network.linear.weight, reference.linear.weight)


@quiet
def test_run_resumes_after_an_exception_inside_a_batch(root, tmp_path):
    reference = fit(root, tmp_path, Linear())
    last_words = pl.callbacks.OnExceptionCheckpoint(tmp_path, "last_words")
    with pytest.raises(KeyError, match="stop"):
        fit(root, tmp_path, Linear(fail_at=(1, 2)), callbacks=[last_words])
    resumed = fit(root, tmp_path, Linear(), ckpt_path=tmp_path / "last_words.ckpt")
    assert resumed.seen == reference.seen[7:]
    assert torch.equal(resumed.linear.weight, reference.linear.weight)


@quiet
def test_a_module_used_again_starts_at_the_first_batch(root, tmp_path):
    network = Linear()
    callback = pl.callbacks.ModelCheckpoint(
        dirpath=tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=2
    )
    data = MNIST(str(root), batch_size=8, num_steps=6)

    def trainer():
        return pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[callback],
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
        )

    trainer().fit(network, datamodule=data)
    trainer().fit(Linear(), datamodule=data, ckpt_path=tmp_path / "step=2.ckpt")
    again = Linear()
    trainer().fit(again, datamodule=data)
    assert again.seen == network.seen


@quiet
def test_prediction_covers_the_test_images_in_order(root):
    trainer = pl.Trainer(accelerator="cpu", enable_progress_bar=False, logger=False)
    data = MNIST(str(root), batch_size=4, num_steps=6)
    counts, labels = map(torch.cat, zip(*trainer.predict(Linear(), datamodule=data), strict=True))
    assert labels.tolist() == list(range(10))
    expected = torch.cat([spikes for spikes, _ in data.test_dataloader()], dim=1)
    assert torch.equal(counts, expected.sum(dim=(0, 2)).float())
