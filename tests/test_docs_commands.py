"""Every command of README and docs is run, cut short, or named here with what keeps it from being run."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_modules.cli import main
from snn_neuromod.figures.__main__ import main as figures
from tests.data.phones.recordings import write_utterance
from tests.test_docs_pages import DOCS, PAGES

ROOT = DOCS.parent
MNIST = ROOT.parent / "shared" / "data" / "mnist"
SPEECH = ROOT.parent / "shared" / "data" / "ru_speech_small"
README = (ROOT / "README.md").read_text(encoding="utf-8")

NOT_RUN = {
    r"pip install .*": "tests/test_packaging.py and .ci/run install; the rest of the line is run elsewhere",
    r"python -m snn_neuromod\.benchmarks.*": "minutes; tests/benchmarks runs its parts",
    r"python -m snn_neuromod\.figures (--out|eprop_traces).*": "a minute; tests/figures draws each",
    r"((TRITON_INTERPRET|SNN_NEUROMOD_PTX)=1 )?python -m pytest .*": "tests",
    r"python setup\.py build_ext .*": "compiles for a minute; .ci/run does it",
    r"python tests/lightning_modules/kills\.py .*": "minutes; tests/lightning_modules/test_kills.py",
    r"(OMP_NUM_THREADS=1 )?python -m docs\.studies\..*": "hours; tests/studies runs them cut short",
    r"(for|done|OMP_NUM_THREADS=1).*": "loops of whole trainings whose command stands by itself elsewhere",
    r"apt-get .*|dpkg .*": "a package of Debian's",
    r"torchrun .*": "below, with two processes",
    r"tensorboard .*": "a server",
    r"snn-neuromod .*--format onnx.*": "onnx is no requirement; tests/lightning_modules/test_export.py",
    r"snn-neuromod export runs/mnist/alif/.*": "a run of that name is not made here; likewise test_export.py",
}
LIMITS = [
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"),
    *("--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"),
    *("--pictures.enabled", "false"),
]


def lines(text: str) -> list[str]:
    """Lines of the blocks of a shell, without comments, continued ones as one."""
    found = []
    for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", fenced(text), re.MULTILINE | re.DOTALL):
        joined = block.replace("\\\n", " ")
        found += [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in found if line]


def fenced(text: str) -> str:
    """Blocks of a shell or without a language alone, or the end of another block would begin one."""
    every = re.findall(r"^```[^\n]*\n.*?^```$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in every if re.match(r"```(bash)?\n", block))


def is_run(line: str) -> bool:
    return not any(re.fullmatch(pattern, line) for pattern in NOT_RUN)


RUN = {
    page: [line for line in lines(text) if is_run(line)]
    for page, text in {"README": README, **PAGES}.items()
}


def test_commands_that_are_not_run_are_there() -> None:
    every = [line for text in (README, *PAGES.values()) for line in lines(text)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, line) for line in every), pattern
    assert sum(map(len, RUN.values())) > 20
    known = ("snn-neuromod ", "python -m snn_neuromod.figures ")
    assert all(line.startswith(known) for page in RUN.values() for line in page), RUN


def prepare(page: str) -> None:
    """The files that a page speaks of."""
    for block in re.findall(
        r"^```(?:python|yaml)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL
    ):
        name = re.match(r"# (\w+\.(?:py|yaml))\n", block)
        if name:
            Path(name[1]).write_text(block, encoding="utf-8")
    if page == "training.md":
        (wider,) = re.findall(r"^```yaml\n(base: mnist/msrc.*?)^```$", PAGES[page], re.M | re.S)
        Path("wider.yaml").write_text(wider, encoding="utf-8")
        main(["fit", "-c", "mnist/msrc", "--data.root", str(MNIST), *LIMITS])
    if page == "quickstart.md":
        from PIL import Image

        Path("FOLDER").mkdir()
        Image.new("L", (28, 28)).save("FOLDER/one.png")
    for split, speaker in (("train", "A"), ("train", "B"), ("test", "C")):
        write_utterance(Path("path/to/corpus") / split / speaker, "si1")


def run(line: str) -> None:
    """A command of this package, in this process."""
    words = shlex.split(line)
    if words[0] == "python":
        assert words[1:3] == ["-m", "snn_neuromod.figures"]
        with contextlib.suppress(SystemExit) if "--help" in words else contextlib.nullcontext():
            figures(words[3:])
        return
    data = SPEECH if "russian_small" in line else MNIST
    words = [str(data) if word in ("PATH", "data/mnist") else word for word in words[1:]]
    if words[0] == "fit":
        words += LIMITS
        if "phones/russian_small" in words:
            words += ["--data.batch_size", "4"]
        elif "phones/alif_eprop" in words:
            words += ["--data.batch_size", "4", "--data.corpus.minutes", "2"]
    main(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, found in RUN.items() if found])
def test_the_commands_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(RUN[page])
    if re.search(r"mnist|PATH", text) and not MNIST.is_dir():
        pytest.skip("../shared/data/mnist is not there")
    if "russian_small" in text and not SPEECH.is_dir():
        pytest.skip("../shared/data/ru_speech_small is not there")
    if "phones" in text or "speech" in text:
        pytest.importorskip("kaldi_native_fbank")
    monkeypatch.chdir(tmp_path)
    if page != "README":
        prepare(page)
    for line in RUN[page]:
        run(line)


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_torchrun_with_two_processes(tmp_path: Path) -> None:
    """The line of the page, with e-prop, on the CPU."""
    (line,) = (line for line in lines(PAGES["several_processes.md"]) if "nproc_per_node=2" in line)
    words = shlex.split(line.replace("-c quickstart", "-c smoke/alif_eprop"))
    with socket.socket() as free:  # other tests may run beside this one
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--master_port", str(port)]
    command += [*words[1:], *LIMITS]
    command += ["--trainer.accelerator", "cpu"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("held-out accuracy") == 1  # of all samples, said once
    runs = sorted(path.name for path in (tmp_path / "runs/smoke/alif_eprop").iterdir())
    assert runs == ["version_0"]
