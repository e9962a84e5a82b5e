"""What the command `snn-neuromod` runs: LightningCLI with run folders, reports and predictions."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace, get_loader, set_loader, set_parsing_settings
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar, StochasticWeightAveraging
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lightning_modules.board import BoardLogger, LearningRate, hyperparameters
from lightning_modules.callbacks import Interrupt, LogProgress
from lightning_modules.checkpoints import DurableCheckpoints, read_checkpoint
from lightning_modules.class_paths import check_class_paths
from lightning_modules.cli_arguments import Arguments, folder_of
from lightning_modules.cli_parser import Parser, add_options, refusals
from lightning_modules.cli_report import file_list, summary, write
from lightning_modules.findings import Findings, coverage, for_summary
from lightning_modules.framewise.label_files import check_folder
from lightning_modules.monitor import MonitorCheck, direction
from lightning_modules.pictures import Pictures
from lightning_modules.resume import progress_of
from lightning_modules.run_folder import (
    MetricsLogger,
    RunFolder,
    claim_version,
    next_version,
    without_unserialisable,
)
from lightning_modules.trainer_settings import check_settings
from lightning_modules.yaml_text import bounded
from snn_neuromod.errors import ConfigError

__all__ = ["CLI"]

# Texts that are members of an enumeration, as some defaults of Lightning are, become plain: YAML has no others.
yaml.SafeDumper.add_multi_representer(
    Enum, lambda dumper, member: dumper.represent_data(member.value)
)

# Files and texts that the parser itself reads.
set_loader("yaml", bounded(get_loader("yaml")), (yaml.YAMLError,))


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
        defaults = {"default_root_dir": str(self.root), "enable_model_summary": False}
        try:
            super().__init__(
                pl.LightningModule,
                pl.LightningDataModule,
                args=ready.args,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=None,  # see RunFolder
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                seed_everything_default=0,
                parser_class=Parser,
                trainer_defaults={**defaults, "num_sanity_val_steps": 0},
                parser_kwargs={**options, self.asked: dict(options)},
            )
        finally:
            if self.run_folder is not None:
                self.run_folder.take_back()

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.folder / "checkpoints"

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that was asked for: the options of each take a while to collect."""
        return {self.asked: super().subcommands()[self.asked]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add_options(parser, "monitor", "monitor_mode")
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults({"weights_only": True})
        if subcommand == "predict":
            add_options(parser, "output", "input")
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read by the parser of the command alone: the one above it, which prints, would check everything again."""
        if any(arg.startswith("--print_config") for arg in args):
            parser.parse_args(args)  # ends the process
        found = self._parser(self.asked).parse_args(args[1:])
        self.config = Namespace({"subcommand": self.asked, self.asked: found})

    def _set_seed(self) -> None:
        with refusals("seed_everything"):
            super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """The configuration says what the network is; a checkpoint only fills it."""

    def before_instantiate_classes(self) -> None:
        check_class_paths(self.config[self.subcommand].as_dict())

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self._get(self.config_init, "trainer")
        checkpoint = self._get(self.config_init, "ckpt_path")
        self.interrupt: Interrupt | None = None
        given = config.callbacks or []
        own = given if isinstance(given, list) else [given]
        callbacks: list[pl.Callback] = [Findings()]
        if self.subcommand == "fit":
            callbacks += self._prepare_fit(config, checkpoint, kwargs)
        else:
            self.folder = folder_of(Path(checkpoint))
            kwargs["logger"] = config.logger or False
        check_settings(config, own, self.model)
        shown = any(isinstance(callback, ProgressBar) for callback in own)
        if config.enable_progress_bar is not False and not sys.stdout.isatty() and not shown:
            callbacks.append(LogProgress())
            kwargs["enable_progress_bar"] = False
        kwargs["callbacks"] = [*own, *callbacks]
        with refusals("Trainer"):
            trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DurableCheckpoints()
        return trainer

    def _prepare_fit(
        self, config: Any, checkpoint: str | None, kwargs: dict[str, Any]
    ) -> list[pl.Callback]:
        """The folder of the run, its loggers and the callbacks that write into it."""
        monitor = self._get(self.config_init, "monitor")
        mode = direction(self.model, monitor, self._get(self.config_init, "monitor_mode"))
        text = self._parser("fit").dump(self.config["fit"], skip_none=False, format="yaml")
        settings = without_unserialisable(yaml.safe_load(text), self.config["fit"])
        # Lets load_from_checkpoint rebuild the network without further arguments.
        made = {"_class_path": settings["model"]["class_path"]}
        made |= {"_instantiator": "pytorch_lightning.cli.instantiate_module"}
        self.model.save_hyperparameters(made | settings["model"].get("init_args", {}), logger=False)
        self.root = Path(config.default_root_dir or self.root)
        experiment = self.root / self.name
        first = getattr(rank_zero_only, "rank", 0) == 0  # of several processes
        kept = first and not config.fast_dev_run
        self.folder = claim_version(experiment) if kept else next_version(experiment)
        self.run_folder = RunFolder(
            self.folder if kept else None,
            self.root,
            resumed=checkpoint,
            config=settings,
            command=self.command,
        )
        if config.logger is None or config.logger is True:
            place: Any = {"save_dir": self.root, "name": self.name, "version": self.folder.name}
            shown = hyperparameters(self.config["fit"].as_dict())
            kwargs["logger"] = [BoardLogger(settings=shown, **place), MetricsLogger(**place)]
        callbacks = [LearningRate(), MonitorCheck(monitor), self.run_folder]
        if not config.fast_dev_run and config.enable_checkpointing is not False:
            self.interrupt = Interrupt(self.checkpoints / "last.ckpt")
            common: dict[str, Any] = {"dirpath": self.checkpoints, "enable_version_counter": False}
            callbacks += [self.interrupt, _Checkpoint(filename="last", **common)]
            if monitor and mode:
                callbacks.append(_Checkpoint(filename="best", monitor=monitor, mode=mode, **common))
        return callbacks

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt(self._resume_hint() if subcommand == "fit" else "") from None
        finally:
            for logger in self.trainer.loggers:
                if isinstance(logger, BoardLogger):
                    logger.close()

    def fit(self, **kwargs: Any) -> None:
        """Train, then test."""
        checkpoint = kwargs.get("ckpt_path")
        self.nothing_left = checkpoint is not None and self._nothing_left(Path(checkpoint))
        if self.nothing_left:
            return
        start = time.monotonic()
        self.trainer.fit(**kwargs)
        if self.interrupt is not None and self.interrupt.interrupted:
            raise KeyboardInterrupt(self._resume_hint())
        if self._get(self.config_init, "trainer").fast_dev_run:
            return
        self._save_average()
        seconds = time.monotonic() - start
        monitor = self._get(self.config_init, "monitor")
        kwargs["ckpt_path"] = str(self.checkpoints / "best.ckpt") if monitor else None
        tested = self._evaluate("held-out", "test", **kwargs)
        if self.trainer.is_global_zero:
            none = [] if tested else ["the test data were not read"]
            print(*none, f"trained in {seconds:.0f} s", file_list(self.folder), sep="\n")

    def _save_average(self) -> None:
        """Keep the averaged weights, which Lightning puts in place behind the last checkpoint and then tests."""
        averages = any(isinstance(c, StochasticWeightAveraging) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        if averages and self.interrupt is not None:
            self.trainer.save_checkpoint(self.checkpoints / "averaged.ckpt", weights_only=False)

    def _nothing_left(self, checkpoint: Path) -> bool:
        """Whether the run of a checkpoint is finished already; says so."""
        progress, trainer = progress_of(read_checkpoint(checkpoint)), self.trainer
        if progress is None or not progress.reaches(trainer.max_epochs, trainer.max_steps):
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
        self._evaluate("validation", "val", **kwargs)

    def test(self, **kwargs: Any) -> None:
        """Test a checkpoint."""
        self._evaluate("held-out", "test", **kwargs)

    def _evaluate(self, what: str, stage: str, **kwargs: Any) -> bool:
        """Take the results of a stage and say them; whether there are any."""
        trainer: Any = self.trainer
        run = trainer.test if stage == "test" else trainer.validate
        results = run(**{**kwargs, "verbose": False})
        if not results and self.subcommand != "fit":
            raise ConfigError(
                f"{self.subcommand}: data must have samples for it; raise val_fraction"
            )
        self.results = dict(results[0]) if results else {}
        if results and trainer.is_global_zero:
            loaders = getattr(trainer, f"{stage}_dataloaders")
            seen = coverage(loaders, getattr(trainer, f"num_{stage}_batches"), trainer.world_size)
            doubts = for_summary(self.model, stage)
            print(summary(what, self.results, on=seen, findings=doubts))
        return bool(results)

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
        check_folder(Path(output) if output else self.folder)
        batches: Any = self.trainer.predict(**{**kwargs, "return_predictions": True})
        if on := coverage(self.trainer.predict_dataloaders, self.trainer.num_predict_batches):
            print(f"prediction{on}, the first of the data")
        print(write(batches, output and Path(output), self.folder, self.datamodule))

    def _resume_hint(self) -> str:
        """How to go on after Ctrl-C."""
        if self.interrupt is None or not self.interrupt.checkpoint.is_file():
            return "nothing was saved yet"
        return f"go on with: snn-neuromod fit --ckpt_path {self.interrupt.checkpoint}"


class _Checkpoint(ModelCheckpoint):
    """Lightning's own, which may then stand beside a user's; its state goes by the name of the class."""
