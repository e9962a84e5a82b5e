"""Several seeds of one configuration by one command, which goes on where it was stopped."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import yaml

from lightning_modules.cli_arguments import prepare, take
from lightning_modules.cli_run import CLI
from lightning_modules.run_folder import versions
from snn_neuromod.errors import ConfigError

__all__ = ["run_seeds"]


def run_seeds(args: Sequence[str]) -> None:
    """Run `fit` for each of `--seeds`, and report mean and range of the accuracy.

    The runs of seed s lie in `<experiment>/seed_<s>`. A seed whose newest run has the same command and a result is not
    run again; one that was stopped goes on from its checkpoint.

    Args:
        args: The command line, `fit` first.

    Raises:
        ConfigError: If the seeds are no whole numbers, or the command cannot have any.
    """
    rest, given = take(args, ("--seeds",))
    try:
        seeds = list(dict.fromkeys(int(seed) for seed in given[-1].strip("[]").split(",")))
    except ValueError:
        raise ConfigError(f"--seeds must be numbers such as 0,1,2, got {given[-1]}") from None
    single = take(rest, ("--seed_everything", "--ckpt_path"))[1]
    if rest[0] != "fit" or single:
        raise ConfigError("--seeds must come with fit, without --seed_everything and --ckpt_path")
    try:
        found = {seed: _result(rest, seed) for seed in seeds}
    except KeyboardInterrupt:
        raise KeyboardInterrupt("go on with the same command") from None
    for name in sorted(set.intersection(*(set(values) for values in found.values()))):
        values = [found[seed][name] for seed in seeds]
        metric = name.partition("/")[2]
        if metric in ("accuracy", "error"):
            print(
                f"held-out {metric} over {len(seeds)} seeds: mean {fmean(values):.2%} "
                f"(range {min(values):.2%} to {max(values):.2%})",
                flush=True,
            )


def _result(args: list[str], seed: int) -> dict[str, float]:
    """What the test of a seed gave, run now unless it is there."""
    command = [*args, "--seed_everything", str(seed)]
    ready = prepare(command)
    name = f"{ready.name}/seed_{seed}"
    asked = ["snn-neuromod", *command]
    runs = [path for path in versions(ready.root / name) if _command(path) == asked]
    for path in reversed(runs):
        if result := _tested(path):
            print(f"seed {seed} is done: {path}", flush=True)
            return result
    left = [path / "checkpoints" / "last.ckpt" for path in runs]
    left = [path for path in left if path.is_file()]
    more = ["--ckpt_path", str(left[-1])] if left else []
    cli = CLI(ready._replace(args=[*ready.args, *more], name=name), command)
    if cli.nothing_left:  # it was stopped between training and test
        best = left[-1].with_name("best.ckpt")
        checkpoint = best if best.is_file() else left[-1]
        test = prepare(["test", *command[1:], "--ckpt_path", str(checkpoint)])
        cli = CLI(test._replace(name=name), command)
    return cli.results


def _command(run: Path) -> list[str]:
    try:
        found: list[str] = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))["command"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return []
    return found


def _tested(run: Path) -> dict[str, float]:
    path = run / "metrics.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        values = [item for row in csv.DictReader(file) for item in row.items()]
    return {name: float(value) for name, value in values if name.startswith("test/") and value}
