"""What the command `snn-neuromod` runs: LightningCLI with run folders, reports and predictions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, cast

import pytorch_lightning as pl
from jsonargparse import Namespace, set_parsing_settings
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import (
    Callback,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
)
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lightning_modules.board import BoardLogger, LearningRate, hyperparameters
from lightning_modules.callbacks import Interrupt, LogProgress
from lightning_modules.checkpoints import DurableCheckpoints, read_checkpoint
from lightning_modules.class_paths import check_class_paths
from lightning_modules.cli_arguments import Arguments
from lightning_modules.cli_parser import Parser, refusals
from lightning_modules.cli_report import file_list, summary, write_predictions, write_signals
from lightning_modules.findings import Findings, coverage, for_summary
from lightning_modules.framewise.label_files import write_label_files
from lightning_modules.framewise.task import FramePrediction
from lightning_modules.monitor import MonitorCheck, direction
from lightning_modules.pictures import Pictures
from lightning_modules.regression import Signals
from lightning_modules.resume import Progress, progress_of
from lightning_modules.run_folder import (
    MetricsLogger,
    RunFolder,
    SavedConfig,
    claim_version,
    next_version,
    without_unserialisable,
)
from lightning_modules.trainer_settings import check_settings
from snn_neuromod.errors import ConfigError

__all__ = ["CLI"]


class CLI(LightningCLI):
    """LightningCLI with run folders, held-out accuracy after training, and predictions in a file.

    Args:
        ready: From `cli_arguments.prepare`.
        command: The command line as it was given.

    Attributes:
        results: What the last test or validation gave, by name.
        nothing_left: Whether the run that was to be resumed had finished already.
    """

    run_folder: RunFolder | None = None  # None until the trainer is made
    nothing_left = False

    def __init__(self, ready: Arguments, command: Sequence[str] = ()) -> None:
        self.name, self.root, self.command = ready.name, ready.root, command
        self.asked = ready.args[0]
        self.results: dict[str, float] = {}
        # Lightning would read configurations from addresses as well.
        set_parsing_settings(config_read_mode_fsspec_enabled=False)
        options = {"exit_on_error": False, "allow_abbrev": False, "merged": ready.config}
        super().__init__(
            pl.LightningModule,
            pl.LightningDataModule,
            args=ready.args,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SavedConfig,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_class=Parser,
            trainer_defaults={
                "default_root_dir": str(self.root), "enable_model_summary": False, "num_sanity_val_steps": 0,
            },
            parser_kwargs={**options, self.asked: dict(options)},
        )  # fmt: skip

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that was asked for: the options of each take a while to collect."""
        return {self.asked: super().subcommands()[self.asked]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--monitor",
            type=str | None,
            default=None,
            help="Keep the weights with the best value of this metric too, such as val/accuracy, and report those.",
        )
        parser.add_argument(
            "--monitor_mode",
            type=Literal["min", "max"] | None,
            default=None,
            help="Which value is best; the tasks of this package know it of their metrics.",
        )
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults({"weights_only": True})
        if subcommand == "predict":
            parser.add_argument(
                "--output",
                type=str | None,
                default=None,
                help="CSV file to write; for classes of frames the folder of label files.",
            )
            parser.add_argument(
                "--input",
                type=str | None,
                default=None,
                help="Folder of PNG images or wav files to predict for, in the place of the test data.",
            )
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = _dumpable(parser.parse_args(args))

    def _set_seed(self) -> None:
        with refusals("seed_everything"):
            super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """The configuration says what the network is; a checkpoint only fills it."""

    def before_instantiate_classes(self) -> None:
        check_class_paths(self.config[self.subcommand].as_dict())

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except BaseException:
            self._take_back()
            raise

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self._get(self.config_init, "trainer")
        checkpoint = self._get(self.config_init, "ckpt_path")
        self.interrupt: Interrupt | None = None
        own = [*(config.callbacks or [])]
        callbacks: list[Callback] = [Findings()]
        if self.subcommand == "fit":
            callbacks += self._prepare_fit(config, checkpoint, kwargs)
        else:
            self.folder = _folder_of(Path(checkpoint))
            self.run_folder = RunFolder(None, self.root)
            kwargs["logger"] = config.logger or False
            self.save_config_callback = None
        check_settings(config, own, self.model)
        shown = any(isinstance(callback, ProgressBar) for callback in own)
        if config.enable_progress_bar is not False and not sys.stdout.isatty() and not shown:
            callbacks.append(LogProgress())
        kwargs["callbacks"] = [*own, *callbacks, self.run_folder]
        with refusals("Trainer"):
            trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DurableCheckpoints()
        return trainer

    def _prepare_fit(
        self, config: Any, checkpoint: str | None, kwargs: dict[str, Any]
    ) -> list[Callback]:
        """The folder of the run, its loggers and the callbacks that write into it."""
        monitor = self._get(self.config_init, "monitor")
        mode = direction(self.model, monitor, self._get(self.config_init, "monitor_mode"))
        experiment = self.root / self.name
        first = getattr(rank_zero_only, "rank", 0) == 0  # of several processes
        kept = first and not config.fast_dev_run
        self.folder = claim_version(experiment) if kept else next_version(experiment)
        self.run_folder = RunFolder(self.folder if kept else None, self.root, checkpoint)
        self.save_config_kwargs = {"folder": self.folder, "command": self.command}
        if config.logger is None or config.logger is True:
            place: Any = {"save_dir": self.root, "name": self.name, "version": self.folder.name}
            settings = hyperparameters(self.config[self.subcommand].as_dict())
            kwargs["logger"] = [BoardLogger(settings=settings, **place), MetricsLogger(**place)]
        callbacks: list[Callback] = [LearningRate(), MonitorCheck(monitor)]
        if not config.fast_dev_run and config.enable_checkpointing is not False:
            checkpoints = self.folder / "checkpoints"
            self.interrupt = Interrupt(checkpoints / "last.ckpt")
            callbacks += [self.interrupt, *self._checkpoints(checkpoints, monitor, mode)]
        return callbacks

    def _checkpoints(
        self, folder: Path, monitor: str | None, mode: str | None
    ) -> list[_Checkpoint]:
        common: dict[str, Any] = {"dirpath": folder, "enable_version_counter": False}
        found = [_Checkpoint(filename="last", save_on_train_epoch_end=None, **common)]
        if monitor and mode:
            found.append(_Checkpoint(filename="best", monitor=monitor, mode=mode, **common))
        return found

    def after_instantiate_classes(self) -> None:
        # Lets load_from_checkpoint rebuild the network without further arguments.
        self._dump_config()
        model = without_unserialisable(self.config_dump["model"])
        self.model.save_hyperparameters(
            {
                "_instantiator": "pytorch_lightning.cli.instantiate_module",
                "_class_path": model["class_path"],
                **model.get("init_args", {}),
            },
            logger=False,
        )
        self.start = time.monotonic()

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt(self._resume_hint() if subcommand == "fit" else "") from None
        finally:
            for logger in self.trainer.loggers:
                if isinstance(logger, BoardLogger):
                    logger.close()
            self._take_back()

    def _take_back(self) -> None:
        if self.run_folder is not None:
            self.run_folder.take_back()

    def fit(self, **kwargs: Any) -> None:
        """Train, then test."""
        checkpoint = kwargs.get("ckpt_path")
        self.nothing_left = checkpoint is not None and self._nothing_left(Path(checkpoint))
        if self.nothing_left:
            return
        self.trainer.fit(**kwargs)
        if self.interrupt is not None and self.interrupt.interrupted:
            raise KeyboardInterrupt(self._resume_hint())
        if self._get(self.config_init, "trainer").fast_dev_run:
            return
        self._save_average()
        seconds = time.monotonic() - self.start
        best = self._get(self.config_init, "monitor")
        results = self.trainer.test(
            datamodule=self.datamodule,
            model=self.model,
            ckpt_path=str(self.folder / "checkpoints" / "best.ckpt") if best else None,
            weights_only=True if best else None,
            verbose=False,
        )
        self.results = dict(results[0]) if results else {}
        if self.trainer.is_global_zero:
            if results:
                print(self._summary("held-out", "test", self.results))
            else:
                print("the test data were not read")
            print(f"trained in {seconds:.0f} s", file_list(self.folder), sep="\n")

    def _save_average(self) -> None:
        """Keep the averaged weights, which Lightning puts in place behind the last checkpoint and then tests."""
        averages = any(isinstance(c, StochasticWeightAveraging) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        if averages and self.interrupt is not None:
            self.trainer.save_checkpoint(
                self.folder / "checkpoints" / "averaged.ckpt", weights_only=False
            )

    def _nothing_left(self, checkpoint: Path) -> bool:
        """Whether the run of a checkpoint is finished already; says so."""
        progress, trainer = progress_of(read_checkpoint(checkpoint)), self.trainer
        if progress is None or not _is_finished(progress, trainer.max_epochs, trainer.max_steps):
            return False
        if trainer.is_global_zero:
            print(
                f"nothing is left to train: {checkpoint} has finished {progress.epochs} epochs, "
                f"{progress.steps} steps; train longer with --trainer.max_epochs {2 * progress.epochs}, "
                f"or report its accuracy with: snn-neuromod test --ckpt_path {checkpoint}"
            )
        return True

    def validate(self, **kwargs: Any) -> None:
        """Validate a checkpoint."""
        self._evaluate("validation", "val", self.trainer.validate, kwargs)

    def test(self, **kwargs: Any) -> None:
        """Test a checkpoint."""
        self._evaluate("held-out", "test", self.trainer.test, kwargs)

    def _evaluate(self, what: str, stage: str, run: Any, kwargs: dict[str, Any]) -> None:
        results = run(**{**kwargs, "verbose": False})
        if not results:
            raise ConfigError(
                f"{self.subcommand}: data must have samples for it; raise val_fraction"
            )
        self.results = dict(results[0])
        if self.trainer.is_global_zero:
            print(self._summary(what, stage, self.results))

    def _summary(self, what: str, stage: str, metrics: Mapping[str, float]) -> str:
        loaders, batches = (
            getattr(self.trainer, name) for name in (f"{stage}_dataloaders", f"num_{stage}_batches")
        )
        return summary(
            what,
            metrics,
            on=coverage(loaders, batches, self.trainer.world_size),
            findings=for_summary(self.model, stage),
        )

    def predict(self, **kwargs: Any) -> None:
        """Write the classes of the test data to a CSV file, or those of frames to label files in a folder."""
        if self.trainer.world_size > 1:
            raise ConfigError("predict: trainer.devices must be 1, got more; run it in one process")
        output, given = (self._get(self.config_init, key) for key in ("output", "input"))
        if given is not None:
            if not hasattr(self.datamodule, "predict_folder"):
                raise ConfigError(
                    f"predict: input must come with data that read folders, got {type(self.datamodule).__name__}"
                )
            self.datamodule.predict_folder = given
        found = self.trainer.predict(**{**kwargs, "return_predictions": True})
        batches = cast(list[Any], found)
        if on := coverage(self.trainer.predict_dataloaders, self.trainer.num_predict_batches):
            print(f"prediction{on}, the first of the data")
        if isinstance(batches[0], FramePrediction):
            folder = Path(output or self.folder / "predictions")
            data: Any = self.datamodule
            print(write_label_files(batches, folder, names=data.classes, framing=data.features))
            return
        table = Path(output or self.folder)
        table = table / "predictions.csv" if table.is_dir() else table
        if not table.parent.is_dir():
            raise ConfigError(
                f"predict: output must lie in an existing folder, got {table}; make {table.parent} first"
            )
        if isinstance(batches[0], Signals):
            print(write_signals(batches, table))
        else:
            names = getattr(self.datamodule, "predict_names", ())
            print(write_predictions(batches, table, names=names))

    def _resume_hint(self) -> str:
        """How to go on after Ctrl-C."""
        if self.interrupt is None or not self.interrupt.checkpoint.is_file():
            return "nothing was saved yet"
        return f"go on with: snn-neuromod fit --ckpt_path {self.interrupt.checkpoint}"


def _dumpable(config: Any) -> Any:
    """Texts that are members of an enumeration, as some defaults of Lightning are, become plain: YAML has no others."""
    if isinstance(config, Namespace | dict):
        for key, value in list(
            vars(config).items() if isinstance(config, Namespace) else config.items()
        ):
            config[key] = _dumpable(value)
        return config
    if isinstance(config, list):
        return [_dumpable(value) for value in config]
    return str(config.value) if isinstance(config, str) and isinstance(config, Enum) else config


def _folder_of(checkpoint: Path) -> Path:
    """Folder of the run of a checkpoint; the working folder for a checkpoint that lies elsewhere."""
    folder = checkpoint.resolve().parent.parent
    in_a_run = checkpoint.resolve().parent.name == "checkpoints" and (folder / "config.yaml").is_file()  # fmt: skip
    return Path(os.path.relpath(folder)) if in_a_run else Path()


class _Checkpoint(ModelCheckpoint):
    """Lightning's own, which may then stand beside a user's with the same arguments."""


def _is_finished(progress: Progress, max_epochs: int | None, max_steps: int) -> bool:
    epochs = max_epochs is not None and 0 <= max_epochs <= progress.epochs
    return epochs or 0 <= max_steps <= progress.steps
