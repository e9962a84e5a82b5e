"""Completion of `snn-neuromod` by the tab key, for bash and zsh."""

from __future__ import annotations

from lightning_modules.config_files import available_configs

__all__ = ["script"]

_COMMANDS = (
    "fit",
    "validate",
    "test",
    "predict",
    "export",
    "list",
    "completion",
    "--version",
    "--help",
)
_OPTIONS = (
    "-c", "--config", "--ckpt_path", "--seeds", "--monitor", "--seed_everything", "--print_config", "--output",
    "--input", "--trainer.max_epochs", "--trainer.max_time", "--trainer.precision", "--trainer.devices",
    "--trainer.accelerator",
    "--trainer.limit_train_batches", "--trainer.limit_test_batches", "--trainer.fast_dev_run", "--trainer.callbacks+",
    "--trainer.default_root_dir", "--model.network.neuron", "--model.optimizer", "--model.scheduler", "--data.root",
    "--data.batch_size", "--pictures.enabled",
)  # fmt: skip

_BASH = """_snn_neuromod() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  case $before in
    -c|--config) COMPREPLY=($(compgen -W "{configs}" -- "$word") $(compgen -f -X "!*.y*ml" -- "$word")) ;;
    --ckpt_path|--output|--input|--data.root|export) COMPREPLY=($(compgen -f -- "$word")) ;;
    *) if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "{commands}" -- "$word"))
       else COMPREPLY=($(compgen -W "{options}" -- "$word")); fi ;;
  esac
}}
complete -F _snn_neuromod snn-neuromod
"""


def script(shell: str) -> str:
    """A script for a shell's start-up file: `snn-neuromod completion bash >> ~/.bashrc`.

    Args:
        shell: "bash" or "zsh".

    Returns:
        The script; for another shell a sentence that says so.
    """
    if shell not in ("bash", "zsh"):
        return f"# completion must be for bash or zsh, got {shell}"
    text = _BASH.format(
        configs=" ".join(available_configs()),
        commands=" ".join(_COMMANDS),
        options=" ".join(_OPTIONS),
    )
    start = "autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return start + text.rstrip()
