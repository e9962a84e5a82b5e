"""More of the command line: lists and versions at once, seeds, folders to predict for, modules of one's own."""

from __future__ import annotations

import csv
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib", "PIL")
):
    pytest.skip(
        "pytorch_lightning, mlxtend, matplotlib or pillow is not installed", allow_module_level=True
    )

from lightning_modules.classification import SpikeClassification
from lightning_modules.cli import main
from lightning_modules.completion import script
from lightning_modules.config_files import available_configs, listing
from snn_neuromod.data.pictures import read_pictures
from snn_neuromod.errors import ConfigError, DataError

SHORT = ["--trainer.limit_train_batches=2", "--trainer.limit_test_batches=1", "--trainer.limit_val_batches=0",
         "--trainer.max_epochs=1"]  # fmt: skip
CLASS = "--model.network.class_path"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["list"], []])
def test_what_needs_no_run_does_not_wait_for_torch(args) -> None:
    code = "import sys; from lightning_modules.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    root = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}", *args],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip()


def test_the_list_has_a_sentence_for_each_and_figures_where_they_were_measured() -> None:
    lines = listing().splitlines()
    assert [line.split()[0] for line in lines] == available_configs()
    assert all(len(line.split()) > 2 for line in lines)
    (msrc,) = [line for line in lines if line.startswith("mnist/msrc ")]
    assert msrc.endswith("[95.82 %, mean of 5 seeds, 2.6 min]")


def test_completion_is_a_script_that_the_shell_takes() -> None:
    pytest.importorskip("shtab")
    asked = {
        "fit -c quick": "quickstart",
        "fit --trainer.max_ep": "--trainer.max_epochs",
        "fit --model.network.learning": "--model.network.learning_rule",
        "pred": "predict",
        "export --format o": "onnx",
        "fit --seeds": "--seeds",
    }
    text = script("bash")
    for words in asked:
        number = len(words.split())
        text += f"\nCOMP_WORDS=(snn-neuromod {words}); COMP_CWORD={number}; COMPREPLY=()"
        text += "\n_shtab_snn_neuromod; echo ${COMPREPLY[@]}"
    found = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == list(asked.values())
    assert "quickstart" in script("zsh")
    assert "seeds" in script("fish")
    with pytest.raises(ConfigError, match="completion must be for bash"):
        script("no shell")


def test_seeds_give_mean_and_range_and_are_not_run_again(capfd) -> None:
    command = ["fit", "-c", "smoke/msrc", *SHORT, "--pictures.enabled=false", "--seeds", "0,1"]
    main(command)
    first = capfd.readouterr().out
    runs = sorted(path.as_posix() for path in Path("runs").glob("smoke/msrc/*/*"))
    assert runs == ["runs/smoke/msrc/seed_0/version_0", "runs/smoke/msrc/seed_1/version_0"]
    accuracies = []
    for run in runs:
        with (Path(run) / "metrics.csv").open() as file:
            accuracies += [
                float(r["test/accuracy"]) for r in csv.DictReader(file) if r["test/accuracy"]
            ]
    line = (
        f"held-out accuracy over 2 seeds: mean {sum(accuracies) / 2:.2%} "
        f"(range {min(accuracies):.2%} to {max(accuracies):.2%})"
    )
    assert line in first
    main(command)
    again = capfd.readouterr().out
    assert line in again
    assert "seed 1 is done" in again
    assert sorted(path.as_posix() for path in Path("runs").glob("smoke/msrc/*/*")) == runs
    for wrong in (["--seeds=a"], ["--seeds=0", "--seed_everything=1"]):
        with pytest.raises(SystemExit) as stop:
            main([*command[:-2], *wrong])
        assert stop.value.code == 2
        assert "--seeds must" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["inside", "before the test"])
def test_a_stopped_run_of_several_seeds_goes_on(where, capfd, monkeypatch) -> None:
    """One is done, one was stopped, one has not begun: in the end all is as if nothing had happened."""
    command = [
        "fit",
        "-c",
        "smoke/msrc",
        *SHORT,
        "--trainer.max_epochs=2",
        "--pictures.enabled=false",
    ]
    command += ["--seeds", "0,1,2"]
    main(command)
    whole = capfd.readouterr().out.splitlines()[-1]
    assert whole.startswith("held-out accuracy over 3 seeds: mean")
    shutil.rmtree("runs")
    hook = "on_train_epoch_start" if where == "inside" else "on_test_start"
    before = getattr(SpikeClassification, hook)

    def stopped(self) -> None:
        before(self)
        if "seed_1" in str(self.trainer.loggers[0].log_dir) and self.trainer.current_epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SpikeClassification, hook, stopped)
        with pytest.raises(SystemExit) as stop:
            main(command)
    assert stop.value.code == 130
    assert "go on with the same command" in capfd.readouterr().err
    main(command)
    out = capfd.readouterr().out
    assert "seed 0 is done" in out
    left = "resuming runs/smoke/msrc/seed_1/version_0" if where == "inside" else "nothing is left"
    assert left in out
    assert out.splitlines()[-1] == whole


def test_predicts_for_a_folder_of_images(capfd) -> None:
    from PIL import Image

    main(["fit", "-c", "smoke/msrc", *SHORT, "--pictures.enabled=false"])
    Path("digits").mkdir()
    for name, size in (("b.png", 28), ("a.PNG", 28)):
        Image.new("L", (size, size), 255).save(f"digits/{name}", "PNG")
    predict = [
        "predict",
        "--ckpt_path",
        "runs/smoke/msrc/version_0",
        "--input",
        "digits",
        "--output",
        "p.csv",
    ]
    main(predict)
    with Path("p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a.PNG", "b.png"]
    assert all(0 <= int(row["class"]) < 10 for row in rows)
    assert "predictions of 2 files" in capfd.readouterr().out
    Image.new("L", (27, 28)).save("digits/c.png")
    with pytest.raises(SystemExit) as stop:
        main(predict)
    assert stop.value.code == 1
    assert "digits/c.png: must be 28 x 28 pixels, got 27 x 28" in capfd.readouterr().err


def test_images_that_are_damaged_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="must hold PNG files"):
        read_pictures(tmp_path)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    with pytest.raises(DataError, match=r"x\.png: must be a whole PNG image"):
        read_pictures(tmp_path)


OWN = """
import torch
from torch import nn

class Outputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 10)
    def forward(self, x):
        return self.linear(x)

class WithSpikes(Outputs):
    def forward(self, x):
        return self.linear(x), (x[..., :5] > 0).float()

class Last(Outputs):
    def forward(self, x):
        return self.linear(x.mean(0))

class Wrong(Outputs):
    def forward(self, x):
        return self.linear(x).sum()

def made(width: int = 10) -> nn.Module:
    return nn.Sequential(nn.Linear(784, width))
"""


@pytest.mark.parametrize("name", ["Outputs", "WithSpikes", "Last", "made"])
def test_any_module_of_ones_own_trains_as_network(name, tmp_path, capfd) -> None:
    module = f"own_{name.lower()}"
    Path(f"{module}.py").write_text(OWN)
    main(["fit", "-c", "smoke/msrc", *SHORT, f"{CLASS}={module}.{name}"])
    assert "held-out accuracy" in capfd.readouterr().out
    saved = torch.load("runs/smoke/msrc/version_0/checkpoints/last.ckpt", weights_only=True)
    assert any(key.startswith("network.module.") for key in saved["state_dict"])
    assert str(tmp_path) not in sys.path


def test_a_module_that_returns_something_else_is_told_so(capfd) -> None:
    Path("own_wrong.py").write_text(OWN)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "smoke/msrc", *SHORT, f"{CLASS}=own_wrong.Wrong"])
    assert stop.value.code == 2
    assert "Wrong: forward must return outputs (T, batch, class)" in capfd.readouterr().err


def test_a_module_beside_a_configuration_elsewhere_is_not_found(capfd) -> None:
    Path("there").mkdir()
    Path("there/own_elsewhere.py").write_text(OWN + "\nopen('EXECUTED', 'w')\n")
    Path("there/c.yaml").write_text(
        "base: smoke/msrc\nmodel: {init_args: {network: {class_path: own_elsewhere.Outputs}}}\n"
    )
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "there/c.yaml", *SHORT])
    assert stop.value.code == 2
    assert not Path("EXECUTED").exists()


def test_classes_are_those_of_the_data_where_the_module_names_none(capfd) -> None:
    Path("own_seven.py").write_text(OWN.replace("width: int = 10", "width: int = 7"))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "smoke/msrc", *SHORT, f"{CLASS}=own_seven.made"])
    assert stop.value.code == 2
    assert "Sequential: forward must return outputs for 10 classes, got 7" in capfd.readouterr().err


def test_any_module_trains_as_network_of_signals() -> None:
    Path("own_signals.py").write_text(
        "from torch import nn\n\ndef made() -> nn.Module:\n    return nn.Linear(100, 1)\n"
    )
    short = [*SHORT[3:], "--pictures.enabled=false"]
    main(["fit", "-c", "patterns/lif", *short, f"{CLASS}=own_signals.made"])
    (run,) = Path("runs").rglob("version_0")
    assert "test/nmse" in (run / "metrics.csv").read_text()
