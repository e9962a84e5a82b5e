"""The command line as people use it: bases, other neurons, own callbacks, outputs, and what it says to mistakes."""

from __future__ import annotations

import errno
import importlib.util
import re
import shutil
import threading
import time
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

from lightning_modules.cli import main
from lightning_modules.cli_arguments import prepare
from lightning_modules.cli_messages import exit_code, readable
from lightning_modules.config_files import load_config
from lightning_modules.findings import FindingsWarning
from lightning_modules.framewise.label_files import check_folder
from lightning_modules.quiet import quiet
from snn_neuromod.errors import ConfigError

NETWORK = "--model.init_args.network.init_args"
SHORT = ["--trainer.limit_train_batches=2", "--trainer.limit_test_batches=1", "--trainer.limit_val_batches=0",
         "--trainer.max_epochs=1", "--pictures.enabled=false"]  # fmt: skip

IN_NETWORK = "model: {init_args: {network: {init_args: {%s}}}}\n"
CALLBACK = "trainer: {callbacks: [{class_path: %s}]}\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, text: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return Path(path)


def refused(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    error = capfd.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("snn-neuromod: error: ")
    assert not Path("runs").exists()
    return int(str(stop.value.code)), error


@pytest.mark.parametrize("base", ["common", "common.yaml", "./common", "../exp/common.yaml"])
def test_a_base_is_looked_up_beside_its_file(base) -> None:
    write("exp/common.yaml", "base: smoke/msrc\nseed_everything: 1\n")
    write("common.yaml", "seed_everything: 999\n")
    write("../common.yaml", "seed_everything: 998\n")
    run = write("exp/run.yaml", f"base: {base}\n")
    assert load_config(run)["seed_everything"] == 1
    assert (
        load_config(run)["trainer"]["max_epochs"] == 1
    )  # through the base's own base, which is shipped


def test_a_base_is_never_taken_from_the_working_folder(capfd) -> None:
    write("other.yaml", "seed_everything: 999\n")
    write("quickstart", "seed_everything: 998\n")
    write("exp/run.yaml", "base: other\n")
    with pytest.raises(FileNotFoundError, match="base must be a file beside it"):
        load_config("exp/run.yaml")
    write("exp/run.yaml", "base: quickstart\n")
    assert load_config("exp/run.yaml")["seed_everything"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer:\n\tmax_epochs: 1\n", r"c\.yaml:2:1: must be YAML, got: found character '\\t'"),
        ("a: [1\nb: 2\n", r"c\.yaml:2:2: must be YAML"),
        ("a: 2001-13-45\n", r"c\.yaml: must be YAML, got: month"),
        ("base: {a: 1}\n", "base must be a name or a list of names"),
        ("base: [quickstart, 3]\n", "base must be a name or a list of names, got 3"),
        ("base: null\n", "only an overlay, without data and model"),
        ("", "only an overlay"),
        ("base: smoke/digits\n", "only an overlay, without model"),
        ("base: quickstart\ntrainer: 3\n", "trainer must be a mapping, got 3"),
        ("base: quickstart\ntrainer: {max_epoch: 3}\n", r"did you mean trainer\.max_epochs\?"),
        ("base: quickstart\ntrainr: {max_epochs: 3}\n", r"did you mean trainer\?"),
        (f"base: quickstart\n{IN_NETWORK % 'gian: 3'}", r"model\.network\.gain\?"),
        (f"base: quickstart\n{IN_NETWORK % 'neuron: snn_neuromod.MSCR'}", r"snn_neuromod\.MSRC\?"),
        (f"base: quickstart\n{CALLBACK % 'LearningRateMonitr'}", r"LearningRateMonitor\?"),
        ("base: quickstart\nmodel: {init_args: {loss: null}}\n", r"model\.loss must not be null"),
        ("base: quickstart\nmodel: {init_args: {optimizer: null}}\n", r"model\.optimizer must not be null"),
        ("base: quickstart\ndata: {init_args: {batch_size: null}}\n", r"data\.batch_size must not be null"),
        ("base: quickstart\nmodel: {init_args: {}}\ntrainer: {}\nmodel: {}\n", r"c\.yaml:4:1: .* model stands twice"),
        ("base: quickstart\ntrainer:\n  max_epochs: 1\n  max_epochs: 2\n", r"c\.yaml:4:3: .* max_epochs stands twice"),
        ("base: quickstart\ntrainer: {check_val_every_n_epoch: 0}\n", "check_val_every_n_epoch must be >= 1, got 0"),
        ("base: quickstart\ntrainer: {gradient_clip_val: -1}\n", "gradient_clip_val must be >= 0, got -1"),
        (f"base: quickstart\n{CALLBACK % 'LearningRateFinder'}", "must not hold LearningRateFinder"),
        (f"base: quickstart\n{CALLBACK % 'BatchSizeFinder'}", "must not hold BatchSizeFinder"),
    ],
)  # fmt: skip
def test_what_a_configuration_gets_wrong(text, message, capfd) -> None:
    write("c.yaml", text)
    code, error = refused(capfd, "fit", "-c", "c.yaml")
    assert re.search(message, error), error
    assert code == 2


def test_a_configuration_is_wrong_by_its_whole_path_too(capfd) -> None:
    for text in ("a: [1\n", "base: quickstart\ntrainer: 3\n"):
        write("c.yaml", text)
        assert refused(capfd, "fit", "-c", str(Path("c.yaml").resolve()))[0] == 2


def test_what_only_lightning_knows_is_one_line_too(capfd) -> None:
    """It looks at some settings when it has seen the data."""
    args = ["--trainer.val_check_interval=100", "--trainer.limit_train_batches=2"]
    code, error = refused(capfd, "fit", "-c", "smoke/msrc", *args)
    assert code == 1
    assert "`val_check_interval` (100) must be less than or equal to" in error


def test_too_little_memory_is_no_fault_of_the_package() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**48)
    assert exit_code(found.value) == 1
    assert readable(found.value) == "there is too little memory for 1.13e+06 GB at once"
    assert exit_code(RuntimeError("something else")) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise ValueError('must be positive')", 1),
        ("int('x')", None),
        ("torch.ones(2).item()", None),
    ],
)
def test_what_lightning_raises_is_told_from_what_it_calls(body, code) -> None:
    """A fault of ours may show first in a function in C, which leaves no line of its own in the traceback."""
    lightning = {"__name__": "pytorch_lightning.trainer", "torch": torch}
    with pytest.raises((ValueError, RuntimeError)) as found:
        exec(body, lightning)
    assert exit_code(found.value) == code


def test_runs_go_where_the_configuration_says(capfd) -> None:
    write("c.yaml", "base: smoke/msrc\ntrainer: {default_root_dir: mine}\n")
    main(["fit", "-c", "c.yaml", *SHORT])
    main(["test", "-c", "c.yaml", "--ckpt_path", "last"])
    main(["fit", "--ckpt_path", "mine/c/version_0", "--trainer.max_epochs=2"])
    assert sorted(Path().glob("*/*/*")) == [Path("mine/c/version_0"), Path("mine/c/version_1")]
    trainer = "{default_root_dir: other, max_epochs: 0}"
    main(["fit", "-c", "c.yaml", *SHORT[:3], "--pictures.enabled=false", "--trainer", trainer])
    assert Path("other/c/version_0").is_dir()
    assert not Path("runs").exists()


def test_keys_that_yaml_merges_stand_once(capfd) -> None:
    """A mapping's own keys win, and of several that are merged the first."""
    text = "base: quickstart\na: {b: &b {x: 1, y: 1}, c: &c {<<: *b, x: 2}}\nd: {<<: *c, y: 3}\n"
    write("c.yaml", text + "e: {<<: [*c, *b], z: 4}\nf: {<<: [*b, {y: 5, w: 6}, *c]}\n")
    found = load_config("c.yaml")
    assert found["d"] == {"x": 2, "y": 3}
    assert found["e"] == {"x": 2, "y": 1, "z": 4}
    assert found["f"] == {"x": 1, "y": 1, "w": 6}
    write("c.yaml", text + "e: {<<: 3}\n")
    code, error = refused(capfd, "fit", "-c", "c.yaml")
    assert code == 2
    assert "c.yaml:4:9: must be YAML, got: << must name a mapping" in error


def bomb(levels: int, value: str) -> str:
    """Each level stands for nine of the one below."""
    lines = [f"a0: &a0 {value}"]
    for k in range(1, levels):
        nine = ", ".join(f"k{j}: *a{k - 1}" for j in range(9))
        lines.append(f"a{k}: &a{k} {{{nine}}}")
    return "\n".join(lines) + "\n"


def test_aliases_that_make_much_of_little_are_refused(capfd) -> None:
    write("c.yaml", "base: smoke/msrc\n" + bomb(8, "{x: 1}"))
    write("model.yaml", bomb(8, "{x: 1}"))
    for args in (["-c", "c.yaml"], ["-c", "smoke/msrc", "--trainer", "model.yaml"]):
        started = time.process_time()
        code, error = refused(capfd, "fit", *args)
        assert code == 2
        assert "its aliases stand for more than 100000 values" in error
        assert time.process_time() - started < 10
    write("c.yaml", "base: smoke/msrc\ntrainer: &a {callbacks: [*a]}\n")
    code, error = refused(capfd, "fit", "-c", "c.yaml")
    assert code == 2
    assert "c.yaml:2:10: must be YAML, got: an alias leads back" in error


def test_what_an_alias_stands_for_changes_in_one_place_alone() -> None:
    write("c.yaml", "a: &a {b: {class_path: X}, c: [1]}\nd: *a\n")
    found = load_config("c.yaml")
    assert found["a"] == found["d"]
    found["a"]["b"]["class_path"], found["a"]["c"][0] = "Y", 2
    assert found["d"] == {"b": {"class_path": "X"}, "c": [1]}


def test_a_base_of_many_is_read_once() -> None:
    write("b0.yaml", "x: 0\n")
    for k in range(1, 12):
        write(f"b{k}.yaml", f"base: [{', '.join([f'b{k - 1}'] * 9)}]\n")
    assert load_config("b11.yaml") == {"x": 0}


def test_an_empty_section_changes_nothing() -> None:
    write("c.yaml", "base: quickstart\ntrainer:\nmodel:\n")
    assert load_config("c.yaml") == load_config("quickstart")


@pytest.mark.parametrize(
    "args",
    [
        [f"{NETWORK}.neuron", "snn_neuromod.ALIF"],
        ["--model.network.neuron=snn_neuromod.ALIF"],
        ["--model.network.neuron.class_path=snn_neuromod.ALIF"],
        ["--model.network.neuron=snn_neuromod.ALIF", "--model.network.neuron.beta=0.3"],
    ],
)
def test_another_neuron_starts_with_fresh_arguments(args) -> None:
    arguments = prepare(["fit", "-c", "quickstart", *args])
    network = arguments.config["model"]["init_args"]["network"]["init_args"]
    assert network["neuron"] == "snn_neuromod.ALIF"
    main(["fit", "-c", "quickstart", *args, "--trainer.fast_dev_run=1"])


def test_the_same_neuron_keeps_its_arguments() -> None:
    for args in (
        [f"{NETWORK}.neuron=snn_neuromod.MSRC"],
        ["--model.optimizer=Adam"],
        ["--model.scheduler=cosine"],
    ):
        arguments = prepare(["fit", "-c", "quickstart", *args])
        assert arguments.config == load_config("quickstart")
        assert arguments.rest == args


def test_predictions_stay_in_the_working_folder(tmp_path, capfd, monkeypatch) -> None:
    work = tmp_path / "outer" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    main(["fit", "-c", "smoke/msrc", *SHORT])
    shutil.copy("runs/smoke/msrc/version_0/checkpoints/last.ckpt", "w.ckpt")
    predict = [
        "predict",
        "--ckpt_path",
        "w.ckpt",
        "-c",
        "smoke/msrc",
        "--trainer.limit_predict_batches=1",
    ]
    main(predict)
    assert Path("predictions.csv").is_file()
    assert list(work.parent.iterdir()) == [work]
    Path("there").mkdir()
    main([*predict, "--output", "there"])
    assert Path("there/predictions.csv").read_text() == Path("predictions.csv").read_text()
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*predict, "--output", "nowhere/p.csv"])
    assert stop.value.code == 2
    found = capfd.readouterr()
    assert "make nowhere first" in found.err
    assert "prediction on" not in found.out  # nothing is computed in vain


@pytest.mark.parametrize(
    ("root", "code", "message"),
    [
        ("loop", 1, "loop/smoke/msrc/version_0: cannot be made (Too many levels of symbolic"),
        ("loop/x", 1, "loop/x/smoke/msrc/version_0: cannot be made (Too many levels of symbolic"),
        ("file/x", 1, "file/x/smoke/msrc/version_0: cannot be made (Not a directory)"),
        ("n" * 300, 1, "smoke/msrc: File name too long"),
        ("a\0b", 2, r"trainer.default_root_dir must be a path, got 'a\x00b'"),
    ],
)
def test_a_root_that_no_folder_can_have(root, code, message, capfd) -> None:
    Path("loop").symlink_to("loop")
    Path("file").touch()
    found = refused(capfd, "fit", "-c", "smoke/msrc", *SHORT, f"--trainer.default_root_dir={root}")
    assert found[0] == code
    assert message in found[1]


def test_a_name_that_no_file_can_have_is_the_users() -> None:
    with pytest.raises(ValueError, match="null byte") as error:
        Path("a\0b").read_text()
    assert exit_code(error.value) == 1


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("loop/x", "output must lie in an existing folder, got loop/x"),
        ("n" * 300, "File name too long"),
        ("/proc/self/x", "/proc/self/x: cannot be written (read-only, or another user's)"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_predicted(output, message, capfd) -> None:
    Path("loop").symlink_to("loop")
    with pytest.raises((ConfigError, OSError)) as error:
        check_folder(Path(output))
    assert message in readable(error.value)


def test_a_thread_that_finds_the_disk_full_leaves_the_word_to_the_run(monkeypatch) -> None:
    said = []
    monkeypatch.setattr(threading, "excepthook", lambda end: said.append(end.exc_value))
    before, fault = threading.excepthook, ValueError("a fault")

    def fail(error: Exception) -> None:
        raise error

    with quiet():
        for error in (OSError(errno.ENOSPC, "full"), fault):
            thread = threading.Thread(target=fail, args=(error,))
            thread.start()
            thread.join()
    assert said == [fault]
    assert threading.excepthook is before
    assert readable(OSError(errno.ENOSPC, "full", b"events")) == "events: full"


def test_one_callback_needs_no_list(capfd) -> None:
    write("c.yaml", "base: smoke/msrc\ntrainer: {callbacks: {class_path: Timer}}\n")
    main(["fit", "-c", "c.yaml", *SHORT])
    assert "held-out accuracy" in capfd.readouterr().out


def test_own_callbacks_beside_ours(capfd) -> None:
    own = [
        f"--trainer.callbacks+={name}" for name in ("Timer", "TQDMProgressBar", "ModelCheckpoint")
    ]
    main(["fit", "-c", "smoke/msrc", *SHORT, *own])
    assert "held-out accuracy" in capfd.readouterr().out
    assert len(list(Path("runs").rglob("*.ckpt"))) == 2
    events = list(Path("runs").rglob("events.out*"))
    assert len(events) == 1  # the test goes on in the file of the training


@pytest.mark.filterwarnings("ignore:.*Stochastic|.*swa|.*epoch")
def test_averaged_weights_are_kept_and_the_configuration_stays_readable(capfd) -> None:
    swa = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
    args = ["--model.scheduler=null", *swa]
    main(["fit", "-c", "smoke/msrc", *SHORT, *args, "--trainer.max_epochs=2"])
    tested = re.search(r"held-out accuracy .*", capfd.readouterr().out)[0]
    run = Path("runs/smoke/msrc/version_0")
    assert "serialize" not in (run / "config.yaml").read_text()
    main(["test", "--ckpt_path", str(run / "checkpoints" / "averaged.ckpt")])
    assert tested in capfd.readouterr().out
    main(["fit", "--ckpt_path", str(run), "--trainer.max_epochs=3"])
    assert "held-out accuracy" in capfd.readouterr().out


def test_a_name_where_a_function_might_stand_is_kept(capfd) -> None:
    pruning = ["--trainer.callbacks+=ModelPruning", "--trainer.callbacks.pruning_fn=l1_unstructured",
               "--trainer.callbacks.amount=0.5"]  # fmt: skip
    main(["fit", "-c", "smoke/msrc", *SHORT, *pruning])
    saved = Path("runs/smoke/msrc/version_0/config.yaml").read_text()
    assert "pruning_fn: l1_unstructured" in saved
    main(["test", "--ckpt_path", "runs/smoke/msrc/version_0"])
    assert "held-out accuracy" in capfd.readouterr().out


def test_a_run_that_explodes_ends_and_says_so(capfd) -> None:
    with pytest.warns(FindingsWarning, match="did not spike at all"):
        main(["fit", "-c", "smoke/msrc", *SHORT[:-1], "--model.optimizer.lr=1e30"])
    out = capfd.readouterr().out
    assert "held-out accuracy 10.00%" in out
    assert "but layer 1 (32 MSRC) did not spike at all" in out


def test_the_mean_of_an_infinite_constant_is_refused(capfd) -> None:
    mean = ["--trainer.callbacks+=WeightAveraging"]
    code, error = refused(capfd, "fit", "-c", "smoke/msrc", *SHORT, *mean)
    assert code == 2
    assert "WeightAveraging: use_buffers must be false, as network.readout" in error
    for args in (
        [*mean, "--trainer.callbacks.use_buffers=false"],
        ["--trainer.callbacks+=EMAWeightAveraging"],
    ):
        main(["fit", "-c", "smoke/msrc", *SHORT, *args])
        out = capfd.readouterr()
        assert "held-out accuracy" in out.out
        assert "NaN" not in out.err


def test_a_configuration_without_an_end_by_epochs_stops_by_time(capfd) -> None:
    time = ["--trainer.max_epochs=-1", "--trainer.max_time=00:00:00:01", "--model.scheduler=null"]
    main(["fit", "-c", "smoke/msrc", *SHORT[:3], *time])
    out = capfd.readouterr().out
    assert "epoch 1  train" in out
    assert "held-out accuracy" in out


def test_a_run_that_cannot_start_leaves_nothing(capfd) -> None:
    for args in (
        [f"{NETWORK}.sizes=[700,32,10]"],
        ["--model.optimizer.lr=-1"],
        ["--data.batch_size=0"],
    ):
        code, error = refused(capfd, "fit", "-c", "quickstart", *args)
        assert code == 2, error


def test_a_damaged_checkpoint_of_a_run(capfd) -> None:
    write("r/checkpoints/last.ckpt", "")
    write("r/config.yaml", yaml.safe_dump(load_config("quickstart")))
    for command in ("test", "fit", "predict"):
        code, error = refused(capfd, command, "--ckpt_path", "r")
        assert code == 1
        assert "r/checkpoints/last.ckpt: the checkpoint cannot be read" in error


def test_settings_are_chosen_without_the_test_data(capsys) -> None:
    main(["fit", "-c", "smoke/msrc", *SHORT, "--trainer.limit_test_batches=0"])
    out = capsys.readouterr().out
    assert "the test data were not read\n" in out
    assert "trained in" in out
    assert "held-out" not in out
