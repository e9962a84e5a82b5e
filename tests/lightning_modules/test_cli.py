"""The command line: configurations, run folders, messages for wrong input."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib")
):
    pytest.skip(
        "pytorch_lightning, mlxtend or matplotlib is not installed", allow_module_level=True
    )

from lightning_modules.classification import SpikeClassification
from lightning_modules.cli import main
from lightning_modules.cli_arguments import prepare
from lightning_modules.cli_messages import readable
from lightning_modules.config_files import available_configs, load_config
from lightning_modules.run_folder import next_version
from lightning_modules.task_base import Task
from snn_neuromod.errors import ConfigError, RunError

ROOT = Path(__file__).parents[2]
NMNIST = ROOT / ".." / "shared" / "data" / "nmnist_small"
NETWORK = "--model.init_args.network.init_args"
TINY = [
    "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1",
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Short batches are fastest so, and results depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit(root, *args, config="smoke/msrc"):
    main(["fit", "-c", config, "--trainer.default_root_dir", str(root), *TINY, *args])
    return sorted((root / Path(config).with_suffix("")).glob("version_*"))[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a finished run."""
    return fit(tmp_path_factory.mktemp("runs"), "--trainer.max_epochs=2")


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_fit_leaves_everything_in_its_folder(run):
    assert run.parts[-3:] == ("smoke", "msrc", "version_0")
    for name in ("checkpoints/last.ckpt", "config.yaml", "metrics.csv", "pictures/network.png"):
        assert (run / name).stat().st_size > 0, name
    assert (run / "pictures/modulation.png").is_file()
    assert list(run.glob("events.out.tfevents*"))
    (test,) = [row for row in rows(run / "metrics.csv") if row["test/accuracy"]]
    assert 0 <= float(test["test/accuracy"]) <= 1


def test_fit_reports(tmp_path, capsys):
    folder = fit(tmp_path)
    out = capsys.readouterr().out
    assert "epoch 1/1" in out
    (test,) = [row for row in rows(folder / "metrics.csv") if row["test/accuracy"]]
    assert f"held-out accuracy {float(test['test/accuracy']):.2%}" in out
    assert "spikes per neuron and sample, layer 2" in out
    for name in (str(folder), "checkpoints/last.ckpt", "metrics.csv", "events.out", "config.yaml"):
        assert name in out
    assert "pictures/network.png" in out


def test_test_finds_configuration_and_weights_of_a_run(run, capsys):
    arguments = ["--trainer.limit_test_batches=1"]
    main(["test", "--ckpt_path", str(run), *arguments])
    first = capsys.readouterr().out
    (test,) = [row for row in rows(run / "metrics.csv") if row["test/accuracy"]]
    assert f"held-out accuracy {float(test['test/accuracy']):.2%}" in first
    main(["test", "--ckpt_path", str(run / "checkpoints/last.ckpt"), *arguments])
    assert capsys.readouterr().out == first
    root = str(run.parents[2])
    main(["test", "-c", "smoke/msrc", "--ckpt_path", "last", "--trainer.default_root_dir", root])
    assert "held-out accuracy" in capsys.readouterr().out


def test_validate(run, capsys):
    main(["validate", "--ckpt_path", str(run), "--trainer.limit_val_batches=1"])
    value = [row for row in rows(run / "metrics.csv") if row["val/accuracy"]][-1]["val/accuracy"]
    assert f"validation accuracy {float(value):.2%}" in capsys.readouterr().out


def test_predict_writes_a_table(run, tmp_path, capsys):
    main(["predict", "--ckpt_path", str(run)])
    table = rows(run / "predictions.csv")
    assert len(table) == 40  # limit_predict_batches: 2
    scores = [[float(row[f"score_{k}"]) for k in range(10)] for row in table]
    assert [int(row["class"]) for row in table] == [
        max(range(10), key=s.__getitem__) for s in scores
    ]
    assert {row["label"] for row in table} == {"0"}  # the embedded digits are sorted
    assert "predictions of 40 samples" in capsys.readouterr().out
    main(["predict", "--ckpt_path", str(run), "--output", str(tmp_path / "mine.csv")])
    assert (tmp_path / "mine.csv").read_text() == (run / "predictions.csv").read_text()


def test_checkpoint_loads_without_the_command_line(run):
    path = run / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*JsonargparseDeprecationWarning")
        warnings.filterwarnings("ignore", message="(?s).*instantiate_classes")
        model = SpikeClassification.load_from_checkpoint(path)
    assert model.network.sizes == [784, 32, 10]
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved["state_dict"][name])


def test_a_saved_configuration_repeats_the_run(run, tmp_path):
    config, root = str(run / "config.yaml"), str(tmp_path)
    main(["fit", "-c", config, "--trainer.default_root_dir", root, "--pictures.enabled=false"])
    again = tmp_path / "msrc" / "version_0"
    first, second = (
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, again)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_seed_reaches_weights_and_data(tmp_path, monkeypatch):
    seeds = []

    def record(self, stage):
        seeds.append((torch.initial_seed(), self.trainer.datamodule.seed))
        raise RunError("test: stop")

    monkeypatch.setattr(SpikeClassification, "setup", record)
    with pytest.raises(SystemExit):
        fit(tmp_path, "--seed_everything=7", "--pictures.enabled=false")
    assert seeds == [(7, 7)]


def test_best_weights_by_a_metric(tmp_path, capsys):
    folder = fit(
        tmp_path, "--monitor", "val/loss", "--pictures.enabled=false", "--trainer.max_epochs=2"
    )
    assert (folder / "checkpoints/best.ckpt").is_file()
    out = capsys.readouterr().out
    assert "best.ckpt, checkpoints/last.ckpt" in out
    main(["test", "--ckpt_path", str(folder / "checkpoints/best.ckpt"), *TINY])
    reported = re.search(r"held-out accuracy .*", out)[0]
    assert reported in capsys.readouterr().out


def test_print_config_and_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "mnist/msrc_0.5", "--print_config"])
    assert stop.value.code in (0, None)
    shown = yaml.safe_load(capsys.readouterr().out)
    neuron = shown["model"]["init_args"]["network"]["init_args"]["neuron"]["init_args"]
    assert (neuron["modulation"], neuron["learn_modulation"], neuron["learn"]) == (
        0.5,
        False,
        ["b"],
    )
    main([])
    assert "quickstart" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--help"])
    assert stop.value.code in (0, None)
    assert "--ckpt_path" in capsys.readouterr().out


def data_for(name):
    if name.startswith("nmnist/"):
        if not NMNIST.is_dir():
            pytest.skip("the N-MNIST subset is not here")
        return ["--data.root", str(NMNIST)]
    if "neuromodulation" in name or name.startswith(("evidence/", "patterns/")):  # bring their own
        return []
    return ["-c", "smoke/digits"]


# Those of phones are run in framewise/test_cli.py.
RUNS = [
    n
    for n in available_configs()
    if n != "smoke/digits" and not n.startswith(("phones/", "smoke/ph"))
]


@pytest.mark.parametrize("name", RUNS)
def test_every_configuration_runs_a_batch(name, tmp_path, capsys):
    root = ["--trainer.default_root_dir", str(tmp_path)]
    own = prepare(["fit", "-c", name]).config
    main(["fit", "-c", name, *data_for(name), *root, "--trainer.fast_dev_run=1"])
    assert "epoch 1/1" in capsys.readouterr().out
    header = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"snn-neuromod fit -c {name}" in header
    assert own["data"]["class_path"].startswith("lightning_modules.data.")


WRONG = [
    ([], 0, ""),
    (["-c", "quickstart", "fit"], 2, "the first argument must be one of fit, validate, test"),
    (["train", "-c", "quickstart"], 2, "the first argument must be"),
    (["fit", "-c"], 2, "-c must be followed by a value"),
    (["fit", "-c", "quikstart"], 2, "did you mean quickstart"),
    (["fit"], 2, "required: .*data.*model"),
    (["fit", "-c", "quickstart", "--trainer.max_epoch=3"], 2, "unrecognized.*max_epoch=3"),
    (["fit", "-c", "quickstart", "--trainer.max_epochs=many"], 2, "trainer.max_epochs: .*int.*many"),
    (["fit", "-c", "quickstart", "--model.init_args.foo=3"], 2, "model: option 'foo' is not"),
    (["fit", "-c", "quickstart", f"{NETWORK}.neuron=snn_neuromod.MSCR"], 2, "network.neuron: .*MSCR"),
    (["fit", "-c", "quickstart", f"{NETWORK}.neuron.modulation=abc"], 2, "neuron.modulation: .*abc"),
    (["fit", "-c", "quickstart", f"{NETWORK}.neuron.z=2"], 2, "MSRC: z must lie in .*2"),
    (["fit", "-c", "quickstart", "--model.optimizer=Nonsense"], 2, "model.optimizer: expected a class .*got Nonsense"),
    (["fit", "-c", "quickstart", "--model.optimizer.lr=nan"], 2, r"model\.optimizer\.lr: expected a float; got nan"),
    (["fit", "-c", "quickstart", "--model.optimizer.betas=[2,3]"], 2, "Adam: Invalid beta parameter"),
    (["fit", "-c", "quickstart", "--model.scheduler=StepLR"], 2, "are required: step_size"),
    (["fit", "-c", "quickstart", "--model.scheduler=StepLR", "--model.scheduler.step_size=0"], 2, "StepLR: .*zero"),
    (["fit", "-c", "x" * 5000], 2, "name must be"),
    (["fit", "-c", "quickstart", "--seed_everything=-1"], 2, "seed_everything: -1 is not in bounds"),
    (["fit", "-c", "quickstart", "--trainer.accumulate_grad_batches=0"], 2, "accumulate_grad_batches must be >= 1"),
    (["fit", "-c", "quickstart", "--model.lr_factors={modulation: -1}"], 2, "lr_factors must be >= 0"),
    (["fit", "-c", "quickstart", f"{NETWORK}.neuron.modulation.low=3"], 2, "Uniform: "),
    (["fit", "-c", "quickstart", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=train/acc"], 2,
     "monitor of a callback .* train/accuracy.* got train/acc"),
    (["fit", "-c", "quickstart", "--trainer.devices=-3"], 2, "Trainer: .*devices"),
    (["fit", "-c", "quickstart", "--trainer.devices=9999", "--trainer.accelerator=cpu"], 2,
     "trainer.devices must be at most .*two processes for each core .* got 9999"),
    (["fit", "-c", "quickstart", f"{NETWORK}.sizes=[784,32,11]"], 2, "in_features must equal"),
    (["fit", "-c", "quickstart", f"{NETWORK}.sizes=[700,32,10]"], 2, "the number of inputs must be 784"),
    (["fit", "-c", "quickstart", "--model.init_args.lr_factors={x: 2}"], 2, "lr_factors must name"),
    (["fit", "-c", "quickstart", "--data.num_steps=0"], 2, "num_steps must be at least 1, got 0"),
    (["fit", "-c", "mnist/msrc", "--data.root=nowhere"], 1, "MNIST: root must .*nowhere/MNIST/raw"),
    (["fit", "-c", "nmnist/msrc", "--data.root=nowhere"], 1, "NMNIST: root must"),
    (["fit", "-c", "quickstart", "--trainer.accelerator=cuda"], 1, "No supported gpu|CUDA"),
    (["fit", "-c", "quickstart", "--ckpt_path=no.ckpt"], 2, "--ckpt_path must be a checkpoint"),
    (["fit", "-c", "quickstart", "--ckpt_path=last"], 2, "must find a run in runs/quickstart"),
    (["test", "-c", "quickstart"], 2, "--ckpt_path must be given"),
    (["test", "--ckpt_path=last"], 2, "add -c NAME"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "code", "message"), WRONG, ids=lambda v: str(v)[:60])
def test_wrong_input_gives_one_message(args, code, message, tmp_path, monkeypatch, capfd):
    if "cuda" in str(args) and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    if code == 0:
        main(args)
        return
    with pytest.raises(SystemExit) as stop:
        main(args)
    error = capfd.readouterr().err
    assert stop.value.code == code, error
    assert error.count("snn-neuromod: error: ") == 1
    assert "Traceback" not in error
    assert "Namespace" not in error
    assert len(error) < 700
    assert re.search(message, error, re.DOTALL), error


def test_wrong_weights_and_wrong_file(run, tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        main(["test", "-c", "smoke/msrc", "--ckpt_path", str(run), f"{NETWORK}.sizes=[784,30,10]"])
    assert stop.value.code == 1
    assert "size mismatch for network.layers.0.weight" in capfd.readouterr().err
    file = tmp_path / "a" / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    file.write_text("not a checkpoint")
    with pytest.raises(SystemExit) as stop:
        main(["test", "-c", "smoke/msrc", "--ckpt_path", str(file)])
    assert stop.value.code == 1
    assert "the checkpoint cannot be read" in capfd.readouterr().err


KINDS = (KeyError, ValueError, TypeError, RuntimeError)
# Where something stands between, which makes one line of what other packages raise, every kind; elsewhere two each.
BUGS = [
    *(("training_step", kind) for kind in KINDS[2:]),
    *(("setup", kind) for kind in KINDS[:2]),
    *(("configure_optimizers", kind) for kind in KINDS),
    *(("__init__", kind) for kind in KINDS),
]


# After a run, since jsonargparse keeps what it saw of a class first: that must be the class as it is.
@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("method", "kind"), BUGS)
def test_bugs_keep_their_traceback(method, kind, monkeypatch, tmp_path):
    def broken(self, *args, **kwargs):
        raise kind("a bug")

    kind_of_task = Task if method == "__init__" else SpikeClassification
    broken.__signature__ = inspect.signature(getattr(kind_of_task, method))
    monkeypatch.setattr(kind_of_task, method, broken)
    with pytest.raises(kind, match="a bug") as caught:
        fit(tmp_path, "--pictures.enabled=false")
    assert type(caught.value) is kind
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("fit -c nothing", 2, "snn-neuromod: error: find_config: name must be"),
        ("fti -c quickstart", 2, "snn-neuromod: error: the first argument must be"),
        ("list", 0, ""),
    ],
)
def test_what_needs_no_torch_is_answered_without_it(args, code, said):
    """The exit code of the process as well."""
    run = "import sys; from lightning_modules.cli import main; sys.addaudithook(lambda event, args: sys.exit(99) "
    run += "if event == 'import' and args[0] == 'torch' else None); main()"
    result = subprocess.run(
        [sys.executable, "-c", run, *args.split()],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert result.returncode == code
    assert result.stderr.startswith(said)


def test_bases_are_merged(tmp_path):
    (tmp_path / "low.yaml").write_text("a: {b: 1, c: [1, 2]}\nd: 5\n")
    (tmp_path / "other.yaml").write_text("e: 6\nd: 7\n")
    (tmp_path / "high.yaml").write_text("base: [low, other]\na: {c: [3]}\n")
    assert load_config(tmp_path / "high.yaml") == {"a": {"b": 1, "c": [3]}, "d": 7, "e": 6}


def test_wrong_bases(tmp_path):
    (tmp_path / "a.yaml").write_text("base: b\n")
    (tmp_path / "b.yaml").write_text("base: a\n")
    with pytest.raises(ValueError, match="base must not lead back"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("base: none\n")
    with pytest.raises(FileNotFoundError, match="'none'"):
        load_config(tmp_path / "c.yaml")
    (tmp_path / "d.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match="must be YAML"):
        load_config(tmp_path / "d.yaml")
    (tmp_path / "e.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="must hold a mapping"):
        load_config(tmp_path / "e.yaml")


def test_several_configurations_and_overrides_anywhere(tmp_path):
    (tmp_path / "mine.yaml").write_text("trainer: {max_epochs: 9}\n")
    ready = prepare(
        ["fit", "--trainer.devices=1", "-c", "mnist/msrc", f"--config={tmp_path / 'mine.yaml'}"]
    )
    merged = ready.config
    assert ready.name == "mnist/msrc"
    assert merged["trainer"]["max_epochs"] == 9
    assert merged["data"]["class_path"] == "lightning_modules.data.MNIST"
    assert ready.args[3:] == ["--trainer.devices=1"]


def test_versions_count_on_after_gaps(tmp_path):
    assert next_version(tmp_path).name == "version_0"
    for name in ("version_2", "version_10", "version_x"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path).name == "version_11"


def test_last_checkpoint_is_that_of_the_highest_version(tmp_path):
    for version in (2, 10, 9):
        file = tmp_path / "quickstart" / f"version_{version}" / "checkpoints" / "last.ckpt"
        file.parent.mkdir(parents=True)
        file.touch()
    args = [
        "test",
        "-c",
        "quickstart",
        "--ckpt_path",
        "last",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    assert "version_10" in " ".join(prepare(args).args)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        prepare(["test", "--ckpt_path", str(tmp_path / "quickstart" / "version_2")])


def test_readable_leaves_other_messages_alone():
    text = "MNIST: root must be a folder that holds\n  a\n  b"
    assert readable(FileNotFoundError(text)) == text
