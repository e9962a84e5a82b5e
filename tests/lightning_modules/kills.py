"""Kill runs at random moments, go on from what is left, and compare the final weights with an uninterrupted run.

    python tests/lightning_modules/kills.py --kills 50 --root FOLDER

Every run that is killed is started again from its newest checkpoint until it is finished; then the next run begins,
until there have been as many kills as were asked for. Each checkpoint that is found after a kill must load, and the
weights and the optimiser's state at the end must be those of the uninterrupted run bit by bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch

from lightning_modules.cli import main
from lightning_modules.cli_run import CLI  # noqa: F401  (imported before a process is copied)

EPOCHS, BATCHES = 40, 6


def arguments(root: Path, epochs: int) -> list[str]:
    return [
        "fit", "-c", "smoke/msrc", f"--trainer.default_root_dir={root}", f"--trainer.max_epochs={epochs}",
        f"--trainer.limit_train_batches={BATCHES}", "--trainer.limit_val_batches=1", "--pictures.enabled=false",
        "--trainer.limit_test_batches=1", "--model.init_args.network.init_args.gain=3.0",
    ]  # fmt: skip


def newest(root: Path) -> Path | None:
    """The newest checkpoint of a run and of those that went on from it."""
    found = (root / "smoke" / "msrc").glob("version_*/checkpoints/last.ckpt")
    return max(found, key=lambda path: int(path.parents[1].name[8:]), default=None)


def load(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def start(command: list[str]) -> tuple[int, TextIO]:
    """A run of the command line in a copy of this process, which has imported everything.

    A new one would do so for most of its time.

    Returns:
        The number of the process, and what it writes.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, open(reading, encoding="utf-8")
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    code = 1
    try:
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # a process of pytest-xdist may have none
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  (not what a test has put there)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        main(command)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a copy of this process, minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until_first_checkpoint(command: list[str], checkpoint: Path, sig: int) -> tuple[int, str]:
    """Start a copy of this process, and send it a signal once it has written its first checkpoint.

    Returns:
        Its exit code, and what it wrote.
    """
    child, output = start(command)
    running = partial(os.waitid, os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and running() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child, sig)
    with output:
        said = output.read()
    return ended(child), said


def run(root: Path, epochs: int, kill_after: float | None) -> bool:
    """Start or go on; returns whether the run was killed, so many seconds after training has begun."""
    command = arguments(root, epochs)
    if newest(root) is not None:
        command += ["--ckpt_path", "last"]
    child, output = start(command)
    said = ""
    with output:
        for line in output:
            said += line
            if kill_after is not None and line.startswith("run folder"):
                time.sleep(kill_after)
                os.kill(child, signal.SIGKILL)
    code = ended(child)
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run ended with {code}:\n{said}")
    return code != 0


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def same_end(a: dict[str, Any], b: dict[str, Any]) -> bool:
    keys = ("global_step", "epoch", "state_dict", "optimizer_states", "lr_schedulers")
    return all(equal(a[key], b[key]) for key in keys)


def kills(root: Path, number: int, *, epochs: int = EPOCHS, seed: int = 0) -> list[int]:
    """Kill runs so many times.

    Returns:
        How often each of the runs was killed before it finished.

    Raises:
        RuntimeError: If a checkpoint does not load, a run cannot go on, or ends elsewhere than the uninterrupted one.
    """
    draw = random.Random(seed)
    run(root / "uninterrupted", epochs, None)
    whole = newest(root / "uninterrupted")
    assert whole is not None
    counts: list[int] = []
    while sum(counts) < number:
        folder = root / f"killed_{len(counts)}"
        counts.append(0)
        while sum(counts) < number and run(folder, epochs, draw.uniform(0.0, 1.0)):
            counts[-1] += 1
            left = newest(folder)
            step = load(left)["global_step"] if left else 0  # must load
            print(f"kill {sum(counts)}: run {len(counts)}, {step} steps are kept", flush=True)
        run(folder, epochs, None)
        end = newest(folder)
        if end is None or not same_end(load(end), load(whole)):
            raise RuntimeError(f"{folder} ended elsewhere than the uninterrupted run")
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.root) as scratch:
        found = kills(Path(scratch), given.kills, epochs=given.epochs, seed=given.seed)
    print(
        f"{sum(found)} kills in {len(found)} runs, each ended bit by bit as the uninterrupted one"
    )
