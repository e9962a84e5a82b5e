"""Where the time of a training run goes: data, forward and backward pass, optimiser, everything else."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any, Literal

import torch
from pytorch_lightning.profilers import Profiler

from lightning_modules.arguments import ONE_OR_MORE, check

__all__ = ["StepTimes"]

Clock = Literal["wall", "cpu"]
_PARTS = ("data", "forward", "backward", "optimiser")


class StepTimes(Profiler):
    """Times of the parts of a training step and samples per second, printed when training ends.

    A profiler of Lightning's trainer: `--trainer.profiler lightning_modules.step_times.StepTimes`. Loading, coding and
    moving of a batch is "data", `training_step` with the loss and what it counts "forward"; "other" is the trainer
    itself, its callbacks and loggers. Loaders with worker processes show only the time for which training waits. On a
    CUDA device each part waits for what it started, so that its time is its own, and training is slower than without.

    Args:
        warm_up: Training steps at the start of each epoch that do not count, >= 1.
        clock: "wall", or "cpu" for the CPU time of the process, which other programs disturb less.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, warm_up: int = 10, clock: Clock = "wall") -> None:
        super().__init__()
        check("StepTimes", "warm_up", warm_up, ONE_OR_MORE)
        check("StepTimes", "clock", clock, Clock)
        self.warm_up, self.clock = warm_up, clock
        self._clock = time.perf_counter if clock == "wall" else time.process_time
        self._running: dict[str, float] = {}
        self.reset()

    def _now(self) -> float:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return self._clock()

    def reset(self) -> None:
        """Forget everything."""
        self.seconds = dict.fromkeys((*_PARTS, "other"), 0.0)
        self.steps = 0
        self._step: dict[str, float] = defaultdict(float)
        self._seen, self._last = 0, 0.0

    def start(self, action_name: str) -> None:
        if action_name == "run_training_epoch":
            self._seen, self._step = 0, defaultdict(float)
        self._running[action_name] = self._now()

    def stop(self, action_name: str) -> None:
        now = self._now()
        self._step[_part(action_name)] += now - self._running.pop(action_name, now)
        if action_name == "run_training_batch":
            self._finish(now)

    def _finish(self, now: float) -> None:
        """A step ends with its batch: its time runs from the end of the step before."""
        self._seen += 1
        if self._seen > self.warm_up:
            step = {part: self._step[part] for part in _PARTS}
            step["optimiser"] -= step["forward"] + step["backward"]  # which run inside its closure
            step["other"] = now - self._last - sum(step.values())
            self.seconds = {part: self.seconds[part] + step[part] for part in self.seconds}
            self.steps += 1
        self._last, self._step = now, defaultdict(float)

    def summary(self) -> str:
        """The table, in Markdown, or why there is none; empty before any step."""
        total = sum(self.seconds.values())
        if self._seen and not self.steps:
            return (
                f"StepTimes: no step counted, as warm_up={self.warm_up} leaves none of the {self._seen} steps of an "
                "epoch; lower it with --trainer.profiler.init_args.warm_up"
            )
        if not total:
            return ""
        rows = [
            f"| {part} | {1000 * seconds / self.steps:.2f} | {100 * seconds / total:.0f} % |"
            for part, seconds in (*self.seconds.items(), ("step", total))
        ]
        rate = f"{self.steps / total:.1f} steps/s"
        module: Any = getattr(self, "_lightning_module", None)
        data = getattr(module.trainer, "datamodule", None) if module is not None else None
        if size := getattr(data, "batch_size", None):
            rate += f", {self.steps * size / total:.0f} samples/s in batches of {size}"
        head = [f"| part | ms per step ({self.clock}) | share |", "|---|---|---|"]
        return "\n".join([*head, *rows, "", f"{rate}; {self.steps} steps"])

    def describe(self) -> None:
        """Print the table once."""
        if (summary := self.summary()) and self._local_rank in (None, 0):
            print(summary)
        self.reset()


def _part(action: str) -> str:
    if action.endswith((".train_dataloader_next", ".batch_to_device")):
        return "data"
    if action.startswith("[Strategy]"):
        name = action.rpartition(".")[2]
        return {"training_step": "forward", "backward": "backward"}.get(name, "")
    return "optimiser" if action.endswith(".optimizer_step") else ""
