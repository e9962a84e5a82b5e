"""Data module of framewise phone classification: batches, resumption, prediction, mistakes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "soundfile", "kaldi_native_fbank")
):
    pytest.skip("pytorch_lightning or the audio packages are missing", allow_module_level=True)

# isort: off
from lightning_modules.data.phones import PhoneFramesData  # first: it makes torchvision importable

# isort: on
import pytorch_lightning as pl
import soundfile

from snn_neuromod.data.phones import TimitFolder
from snn_neuromod.data.phones.features import Mfcc

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "ru_speech_small"


def write_utterance(folder, name, seconds, seed):
    folder.mkdir(parents=True, exist_ok=True)
    n = int(seconds * 16_000)
    samples = 0.01 * np.random.default_rng(seed).standard_normal(n)
    samples[n // 3 : n // 2] *= 20
    soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="PCM_16")
    lines = f"0 {n // 3} pau\n{n // 3} {n // 2} aa\n{n // 2} {n} m\n"
    (folder / f"{name}.phn").write_text(lines)


@pytest.fixture
def root(tmp_path):
    for i in range(6):
        write_utterance(tmp_path / "tiny" / "train", f"u{i}", 0.5 + 0.25 * i, i)
    for i in range(3):
        write_utterance(tmp_path / "tiny" / "test", f"v{i}", 1.5 - 0.5 * i, 10 + i)
    return tmp_path / "tiny"


@pytest.fixture
def make(root, tmp_path):
    def made(**options):
        corpus = TimitFolder(root, labels=["aa", "m", "pau"], silence="pau", validation_every=3)
        settings = {"corpus": corpus, "cache": str(tmp_path / "cache"), "batch_size": 3}
        return PhoneFramesData(**{**settings, **options})

    return made


def ready(module):
    module.prepare_data()
    module.setup()
    return module


def epoch(module, number):
    loader = module.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def test_what_a_network_must_know(make):
    module = make(features=Mfcc(first=2, hop_ms=5.0))
    assert (module.num_inputs, module.num_classes, module.frame_step_ms) == (36, 3, 5.0)
    assert module.classes == ("aa", "m", "pau")


def test_batches_of_pieces(make):
    module = ready(make(segment=40))
    batches = epoch(module, 0)
    # Utterances of 1 to 1.75 s (u0 and u3 validate): 73, 98, 148, 173 frames.
    assert sum(len(b.names) for b in batches) == 2 + 3 + 4 + 5
    assert sum(int(b.lengths.sum()) for b in batches) == 73 + 98 + 148 + 173
    features, labels, lengths, names = batches[0]
    assert features.shape == (int(lengths.max()), 3, 39)
    assert features.dtype == torch.float32
    assert labels.shape == features.shape[:2]
    assert lengths.max() <= 40
    assert set(names) < {"train/u1", "train/u2", "train/u4", "train/u5"}
    steps = torch.arange(len(labels))[:, None]
    assert ((labels == -100) == (steps >= lengths)).all()
    together = torch.cat([b.features[b.labels != -100] for b in batches])
    assert together.mean(0).abs().max() < 1e-4
    assert (together.std(0) - 1).abs().max() < 1e-2


def test_whole_utterances_for_validation_and_test(make):
    module = ready(make(segment=40, batch_size=2))
    (validation,) = module.val_dataloader()
    assert validation.names == ["train/u3", "train/u0"]
    assert validation.lengths.tolist() == [123, 48]
    tests = list(module.test_dataloader())
    assert [b.names for b in tests] == [["test/v0", "test/v1"], ["test/v2"]]
    assert [b.names for b in module.predict_dataloader()] == [b.names for b in tests]
    whole = epoch(make(segment=None), 0)
    assert sorted(n for b in whole for n in b.lengths.tolist()) == [73, 98, 148, 173]


def test_order_and_cuts_are_keyed(make):
    def shown(number, **options):
        return [
            (b.names, b.lengths.tolist(), b.features.sum().item())
            for b in epoch(ready(make(segment=40, **options)), number)
        ]

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)
    cuts, other = (
        sorted(
            (name, n)
            for names, ns, _ in shown(1, seed=seed)
            for name, n in zip(names, ns, strict=True)
        )
        for seed in (0, 1)
    )
    assert cuts != other
    assert [name for names, *_ in shown(1) for name in names] == [
        name for names, *_ in shown(1, batch_size=5) for name in names
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment": 0}, "segment must be at least 1 or null, got 0"),
        ({"segment": -3}, "segment must"),
        ({"batch_size": 0}, "batch_size must"),
        ({"seed": -1}, "seed must"),
        ({"num_workers": -1}, "num_workers must"),
    ],
)
def test_wrong_options_fail_when_the_module_is_made(make, options, message):
    with pytest.raises(ValueError, match=f"PhoneFramesData: {message}"):
        make(**options)


def test_wrong_folders_fail_in_prepare_data(make, tmp_path):
    with pytest.raises(FileNotFoundError, match="TimitFolder: root must hold a folder train"):
        make(corpus=TimitFolder(tmp_path / "nowhere")).prepare_data()


class Linear(pl.LightningModule):
    """Softmax regression on single frames; records what it sees."""

    def __init__(self, fail_at=None):
        super().__init__()
        self.linear = torch.nn.Linear(39, 3)
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)
        self.fail_at = fail_at
        self.seen = []

    def training_step(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == self.fail_at:
            raise KeyError("stop")
        self.seen.append((self.current_epoch, batch_idx, batch.names, batch.lengths.tolist()))
        scores = self.linear(batch.features).flatten(0, 1)
        return torch.nn.functional.cross_entropy(scores, batch.labels.flatten())

    def validation_step(self, batch, batch_idx):
        return None

    def predict_step(self, batch, batch_idx):
        return self.linear(batch.features).argmax(-1), batch

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


def trainer(folder, callbacks=(), **options):
    return pl.Trainer(
        max_epochs=3, accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks), enable_progress_bar=False,
        enable_model_summary=False, logger=False, **options,
    )  # fmt: skip


quiet = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:Checkpoint directory",
    "ignore:.*treespec, LeafSpec",
    "ignore:.*number of training batches",
    "ignore:Be aware that when using `ckpt_path`",
)


@quiet
def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path):
    whole = Linear()
    trainer(tmp_path).fit(whole, datamodule=make(segment=40))
    assert len(whole.seen) == 15
    broken = Linear(fail_at=(1, 3))
    last = pl.callbacks.ModelCheckpoint(
        dirpath=tmp_path / "kept", save_last=True, every_n_train_steps=1
    )
    with pytest.raises(KeyError, match="stop"):
        trainer(tmp_path, [last]).fit(broken, datamodule=make(segment=40))
    resumed = Linear()
    trainer(tmp_path).fit(
        resumed, datamodule=make(segment=40), ckpt_path=tmp_path / "kept" / "last.ckpt"
    )
    assert broken.seen + resumed.seen == whole.seen
    assert torch.equal(resumed.linear.weight, whole.linear.weight)
    assert whole.linear.weight.abs().max() > 0.01


@quiet
def test_a_folder_is_predicted_with_the_checkpoint_s_normalisation(make, tmp_path):
    trained = Linear()
    fit = trainer(tmp_path)
    fit.fit(trained, datamodule=make(segment=40))
    fit.save_checkpoint(tmp_path / "trained.ckpt")
    (expected,) = trainer(tmp_path).predict(trained, datamodule=make())
    # The same test audio from a folder, where the corpus itself is gone.
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for path in (make().corpus.root / "test").glob("*.wav"):
        (wavs / path.name).write_bytes(path.read_bytes())
    gone = TimitFolder(tmp_path / "gone", labels=["aa", "m", "pau"], silence="pau")
    alone = make(corpus=gone, predict_folder=str(wavs), cache=str(tmp_path / "other"))
    (found,) = trainer(tmp_path).predict(
        Linear(), datamodule=alone, ckpt_path=tmp_path / "trained.ckpt"
    )
    assert found[1].names == ["v0", "v1", "v2"]
    assert (found[1].labels == -100).all()
    assert torch.equal(found[1].features, expected[1].features)
    assert torch.equal(found[0], expected[0])
    assert len(found[0][: found[1].lengths[0], 0].unique()) > 1
    assert not (tmp_path / "other").exists()


@quiet
def test_another_corpus_must_have_the_checkpoint_s_settings(make, root, tmp_path):
    fit = trainer(tmp_path)
    fit.fit(Linear(), datamodule=make(segment=40))
    fit.save_checkpoint(tmp_path / "trained.ckpt")
    more = TimitFolder(root, labels=["aa", "m", "n", "pau"], silence="pau", validation_every=3)
    for options, message in (
        (
            {"features": Mfcc(hop_ms=5.0)},
            r"features must be as in the checkpoint, Mfcc\(.*hop_ms=10",
        ),
        ({"corpus": more}, r"classes must be as in the checkpoint, \['aa', 'm', 'pau'\]"),
    ):
        with pytest.raises(ValueError, match=f"PhoneFramesData: {message}"):
            trainer(tmp_path).predict(
                Linear(), datamodule=make(**options), ckpt_path=tmp_path / "trained.ckpt"
            )


@quiet
@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_without_audio(make, tmp_path, empty):
    folder = tmp_path / "silent"
    if empty:
        folder.mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"Recordings: root must be a folder of \.wav files"
    ):
        trainer(tmp_path).predict(Linear(), datamodule=make(predict_folder=str(folder)))


@quiet
def test_features_take_the_network_s_type(make, tmp_path):
    seen = []

    class Double(Linear):
        def training_step(self, batch, batch_idx):
            seen.append((batch.features.dtype, batch.labels.dtype))
            return super().training_step(batch, batch_idx)

    for precision in ("64-true", "bf16-mixed"):
        trainer(tmp_path, precision=precision, limit_train_batches=1).fit(
            Double(), datamodule=make(segment=40)
        )
    assert {seen[0], seen[-1]} == {
        (torch.float64, torch.int64), (torch.float32, torch.int64),
    }  # fmt: skip


@pytest.mark.skipif(not SHARED.is_dir(), reason="the Russian recordings are not here")
def test_real_speech(tmp_path):
    corpus = TimitFolder(SHARED, labels="russian")
    module = ready(PhoneFramesData(corpus, segment=200, cache=str(tmp_path)))
    batch = next(iter(module.train_dataloader()))
    assert batch.features.shape == (200, 32, 39)
    assert module.num_classes == 51
    frames = module.frames("test")
    assert len(frames) == 26
    assert 0.15 < frames.class_counts().max() / frames.class_counts().sum() < 0.27
