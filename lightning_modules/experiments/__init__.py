"""Many training runs from one command: a log that an interruption cannot spoil, and a runner that resumes from it."""

from lightning_modules.experiments.log import Log, Logged, Rows
from lightning_modules.experiments.runner import Metrics, RunFailedError, fit, run_all

__all__ = ["Log", "Logged", "Metrics", "Rows", "RunFailedError", "fit", "run_all"]
