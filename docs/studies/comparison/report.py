"""Choices, tables and plots from the log of the comparison."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from docs.studies.comparison.differences import counts_of, differences_table
from docs.studies.comparison.grid import (
    CORPORA,
    FINE,
    NEURONS,
    RULES,
    Logged,
    Run,
    tried_rates,
)
from docs.studies.comparison.interval_plots import write_interval_plots
from docs.studies.comparison.intervals import error
from docs.studies.comparison.plots import write_plots
from docs.studies.comparison.rates import best_rate, next_rates
from snn_neuromod._storage import write_text_atomically

__all__ = ["best_settings", "learning_rates", "tuned_settings", "write_report"]

_STAGE_TITLES = {"wide": "small networks", "full": "the best settings, 384 neurons"}


def learning_rates(logged: Logged) -> dict[tuple[str, str, int], float]:
    """Learning rate with the lowest validation error after the last epoch, wherever it lies inside its grid.

    Args:
        logged: The log.

    Returns:
        Learning rates by neuron, rule and steps, of the searches that are finished.
    """
    return {
        run.tuned: best_rate(tried)
        for run, tried in tried_rates(logged).items()
        if run.stage == "search" and not next_rates(tried)
    }


def best_settings(logged: Logged) -> list[Run]:
    """Settings with the lowest mean validation error on the small Russian corpus.

    Args:
        logged: The log, with the stage "wide" in it.

    Returns:
        One run for e-prop with each neuron and for the LSTM, and for ALIF neurons in as many layers the other ones of
        symmetric feedback, adaptive feedback and BPTT.

    Raises:
        ValueError: If one of them is not in the log.
    """
    found = []
    for neuron in (*NEURONS, "lstm"):
        errors: dict[tuple[int, str, float], list[float]] = {}
        for run, rows in logged.items():
            wide = run.stage == "wide" and run.corpus == "russian_small" and run.neuron == neuron
            if wide and run.steps == 1 and (run.rule != "bptt" or neuron == "lstm"):
                key = (run.layers, run.rule, run.lr)
                errors.setdefault(key, []).append(rows[-1]["val_error"])
        if not errors:
            raise ValueError(
                f"best_settings: the log must hold the stage wide with {neuron}, got none of it; run it first"
            )
        layers, rule, lr = min(errors, key=lambda key: statistics.fmean(errors[key]))
        found.append(Run("wide", "russian_small", neuron, layers, rule, 1, lr, 0))
    rates = learning_rates(logged)
    others = [rule for rule in ("symmetric", "adaptive", "bptt") if rule != found[0].rule]
    return [*found, *(found[0]._replace(rule=rule, lr=rates["alif", rule, 1]) for rule in others)]


def tuned_settings(logged: Logged) -> list[Run]:
    """The best settings with the learning rate of the lowest validation error on the complete Russian corpus.

    Args:
        logged: The log, with the stage "tune" in it.

    Returns:
        One run for each setting.

    Raises:
        ValueError: If there is no such stage in the log.
    """
    searched = {run: tried for run, tried in tried_rates(logged).items() if run.stage == "tune"}
    if not searched:
        raise ValueError(
            "tuned_settings: the log must hold the stage tune, got none of it; run it first"
        )
    return [run._replace(lr=best_rate(tried)) for run, tried in searched.items()]


def write_report(logged: Logged, out: Path) -> None:
    """Write `tables.md` and the plots.

    Args:
        logged: The log.
        out: Folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts = [
        _rates_table(logged, "search", "Learning rates, small Russian corpus"),
        _rates_table(logged, "tune", "Learning rates, complete Russian corpus, 384 neurons"),
    ]
    for corpus in CORPORA:
        for stage, title in _STAGE_TITLES.items():
            chosen = {
                run: rows
                for run, rows in logged.items()
                if run.stage == stage and run.corpus == corpus
            }
            if chosen:
                name = corpus.replace("_", " ")
                parts.append(_error_table(chosen, f"### Corpus {name}, {title}"))
    parts.append(differences_table(logged))
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_text_atomically(out / "tables.md", text)
    write_plots(logged, out)
    write_interval_plots(logged, out)
    print(f"{len(logged)} runs: {out / 'tables.md'} and plots beside it", flush=True)


def _rates_table(logged: Logged, stage: str, title: str) -> str:
    """Validation error of one seed by learning rate, the lowest in bold where the search has ended."""
    found = {run: tried for run, tried in tried_rates(logged).items() if run.stage == stage}
    if not found:
        return ""
    rates = sorted({lr for tried in found.values() for lr in tried})
    lines = [
        f"### {title}: validation frame error, one seed",
        "",
        "| neuron | layers | rule | refractory, ms | "
        + " | ".join(f"{lr:g}" for lr in rates)
        + " |",
        "|---" * (4 + len(rates)) + "|",
    ]
    for run in sorted(found, key=_order):
        best = best_rate(found[run])
        inside = min(found[run]) < best < max(found[run])
        cells = [_marked(found[run].get(lr), inside and lr == best) for lr in rates]
        head = f"| {run.neuron} | {run.layers} | {run.rule} | {_refractory(run)} | "
        lines.append(head + " | ".join(cells) + " |")
    return "\n".join(lines)


def _marked(error: float | None, best: bool) -> str:
    if error is None:
        return ""
    if math.isnan(error):
        return "diverged"
    return f"**{error:.1%}**" if best else f"{error:.1%}"


def _error_table(logged: Logged, title: str) -> str:
    """Error with its interval, cross-entropy, firing rate and time on the test split."""
    lines = [
        title,
        "",
        "| neuron | layers | rule | refractory, ms | learning rate | seeds | frame error (95 %) | cross-entropy "
        "| spikes, Hz | minutes |",
        "|---" * 10 + "|",
    ]
    for setting in sorted({run._replace(seed=0) for run in logged}, key=_order):
        runs = {
            run.seed: rows[-1] for run, rows in logged.items() if run._replace(seed=0) == setting
        }
        found = error({seed: counts_of(row) for seed, row in runs.items()})
        loss, minutes = (
            statistics.fmean(row[name] for row in runs.values())
            for name in ("test_loss", "seconds")
        )
        rates = [row["rate"] for row in runs.values() if "rate" in row]
        lines.append(
            f"| {setting.neuron} | {setting.layers} | {setting.rule} | {_refractory(setting)} | {setting.lr:g} "
            f"| {found.seeds} | {found.value:.1f} % ({found.low:.1f} to {found.high:.1f}) | {loss:.3f} "
            f"| {f'{statistics.fmean(rates):.0f}' if rates else ''} | {minutes / 60:.1f} |"
        )
    return "\n".join(lines)


def _order(run: Run) -> tuple[int, int, int, int, float]:
    neurons = (*NEURONS, "alif_minus", "lstm")
    rule = RULES.index(run.rule)
    return run.steps, neurons.index(run.neuron), run.layers, rule, run.lr


def _refractory(run: Run) -> str:
    if run.neuron in ("izhikevich", "lstm"):
        return ""
    return "2" if run.steps == FINE else "20"
