"""What a configuration, a run folder or a checkpoint names is looked at before anything of it is called."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
import yaml

if any(importlib.util.find_spec(name) is None for name in ("pytorch_lightning", "mlxtend")):
    pytest.skip("pytorch_lightning or mlxtend is not installed", allow_module_level=True)

from lightning_modules.class_paths import check_class_paths
from lightning_modules.classification import SpikeClassification
from lightning_modules.cli import main
from lightning_modules.config_files import available_configs, load_config
from snn_neuromod.errors import ConfigError

SYSTEM = {"class_path": "os.system", "init_args": {"command": "touch RUN"}}
OTHERS = [
    {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "RUN"]}},
    {"class_path": "logging.FileHandler", "init_args": {"filename": "RUN"}},
    {"class_path": "builtins.open", "init_args": {"file": "RUN", "mode": "w"}},
    {"class_path": "lightning_modules.cli_run.os.system", "init_args": {"command": "touch RUN"}},
    {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": ".", "model": "x", "source": "local"}},
    {"class_path": "torch.save", "init_args": {"obj": 1, "f": "RUN"}},
    {"class_path": "shutil.copy", "init_args": {"src": "own.py", "dst": "RUN"}},
    {"class_path": "unittest.__main__.main"},
    {"class_path": "own.make"},
    {"class_path": "own.Handler"},
]  # fmt: skip
PLACES = [
    "model", "model.optimizer", "model.scheduler", "model.network", "model.network.neuron", "model.network.readout",
    "model.network.output_neuron", "model.network.neuron.modulation", "model.network.neuron.modulation.low",
    "model.network.neuron.b", "model.network.sizes", "model.loss", "model.firing_rate", "model.lr_factors.modulation",
    "data", "data.num_steps", "data.latency", "trainer.callbacks", "trainer.logger", "trainer.plugins",
    "trainer.profiler", "trainer.strategy", "trainer.accelerator", "trainer.max_epochs", "pictures.enabled",
]  # fmt: skip


def put(place: str, value: object) -> dict:
    """The quickstart with a value at some place; between are `init_args` except in the trainer and the callbacks."""
    config = load_config("quickstart")
    first, *rest = place.split(".")
    if not rest:
        return {**config, first: value}
    at = config.setdefault(first, {})
    for key in rest[:-1]:
        at = at.get("init_args", at).setdefault(key, {})
        if not isinstance(at, dict):
            raise TypeError(place)
    (at.get("init_args", at))[rest[-1]] = value
    return config


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("own.py").write_text(
        "from pathlib import Path\n"
        "def make(*args, **kwargs):\n    Path('RUN').touch()\n"
        "class Handler:\n    def __init__(self, *args):\n        Path('RUN').touch()\n"
        "    def __call__(self, *args):\n        return self\n"
    )
    return tmp_path


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capfd.readouterr().err
    assert stop.value.code == 2, error
    assert error.count("\n") == 1
    assert error.startswith("snn-neuromod: error: ")
    assert not Path("RUN").exists()
    assert not Path("runs").exists()
    return error


@pytest.mark.parametrize("place", PLACES)
def test_a_command_is_refused_wherever_it_stands(place, folder, capfd) -> None:
    Path("c.yaml").write_text(yaml.safe_dump(put(place, SYSTEM)))
    error = refused(["fit", "-c", "c.yaml", "--trainer.fast_dev_run=1"], capfd)
    assert f"{place}.class_path must name " in error
    assert "os.system" in error


@pytest.mark.parametrize("spec", OTHERS, ids=lambda s: s["class_path"])
@pytest.mark.parametrize("place", ["model.optimizer", "model.network.neuron", "trainer.callbacks"])
def test_what_is_no_subclass_is_refused(place, spec, folder, capfd) -> None:
    spec = [spec] if place == "trainer.callbacks" else spec
    Path("c.yaml").write_text(yaml.safe_dump(put(place, spec)))
    refused(["fit", "-c", "c.yaml", "--trainer.fast_dev_run=1"], capfd)


@pytest.mark.parametrize("place", ["model.optimizer", "model.network.neuron", "model.scheduler"])
def test_a_function_by_its_name_alone(place, folder, capfd) -> None:
    Path("c.yaml").write_text(yaml.safe_dump(put(place, "os.kill")))
    assert "os.kill" in refused(["fit", "-c", "c.yaml"], capfd)
    key = place.replace("model.network", "model.init_args.network.init_args")
    refused(["fit", "-c", "quickstart", f"--{key}=os.kill"], capfd)
    dumped = yaml.safe_dump(SYSTEM, default_flow_style=True)
    refused(["fit", "-c", "quickstart", f"--{key}={dumped}"], capfd)


def test_in_a_file_inside_a_configuration(folder, capfd) -> None:
    Path("net.yaml").write_text(yaml.safe_dump(SYSTEM))
    Path("c.yaml").write_text(yaml.safe_dump(put("model.network", "net.yaml")))
    refused(["fit", "-c", "c.yaml", "--trainer.fast_dev_run=1"], capfd)


def test_in_the_folder_of_a_run_and_its_checkpoint(folder, capfd) -> None:
    short = ["--trainer.limit_train_batches=1", "--trainer.limit_test_batches=1"]
    main(
        [
            "fit",
            "-c",
            "smoke/msrc",
            *short,
            "--pictures.enabled=false",
            "--trainer.default_root_dir=kept",
        ]
    )
    run = Path("kept/smoke/msrc/version_0")
    capfd.readouterr()
    saved = yaml.safe_load((run / "config.yaml").read_text())
    for change in ({"model": put("model.optimizer", SYSTEM)["model"]}, {"weights_only": False}):
        passed_on = Path("passed_on")
        shutil.copytree(run, passed_on)
        (passed_on / "config.yaml").write_text(yaml.safe_dump({**saved, **change}))
        refused(["test", "--ckpt_path", "passed_on"], capfd)
        shutil.rmtree(passed_on)
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["optimizer"] = SYSTEM
    torch.save(checkpoint, "changed.ckpt")
    with pytest.raises(ConfigError, match=r"model\.optimizer\.class_path must name Optimizer"):
        SpikeClassification.load_from_checkpoint("changed.ckpt")
    assert not Path("RUN").exists()
    main(
        ["test", "--ckpt_path", "changed.ckpt", "-c", "smoke/msrc", *short[1:2]]
    )  # takes weights only
    assert not Path("RUN").exists()


def test_what_belongs_there_passes(folder) -> None:
    for name in available_configs():
        check_class_paths(load_config(name))
    Path("mine.py").write_text(
        "import torch\nfrom snn_neuromod import MSRC\n"
        "class Mine(MSRC): pass\n"
        "def adam(params: list, lr: float = 0.1) -> torch.optim.Optimizer:\n"
        "    return torch.optim.Adam(params, lr=lr)\n"
    )
    for place, name in (("model.network.neuron", "mine.Mine"), ("model.optimizer", "mine.adam")):
        check_class_paths(put(place, {"class_path": name}))
        check_class_paths(put(place, name))
