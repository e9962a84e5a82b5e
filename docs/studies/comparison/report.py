"""Choices, tables and plots from the log of the comparison."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from docs.studies.comparison.grid import CORPORA, FEEDBACKS, LAYERS, NEURONS, Logged, Run
from docs.studies.comparison.plots import write_plots

__all__ = ["best_settings", "learning_rates", "tuned_settings", "write_report"]

RULES = (*FEEDBACKS, "bptt")
_STAGE_TITLES = {"wide": "small networks", "full": "the best settings, 384 neurons"}


def learning_rates(logged: Logged) -> dict[tuple[str, str], float]:
    """Learning rate with the lowest validation error after the last epoch, by neuron and rule.

    Args:
        logged: The log, with the stage "search" in it.

    Returns:
        Learning rates by (neuron, "symmetric" or "bptt").

    Raises:
        ValueError: If there is no search in the log.
    """
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for run, rows in logged.items():
        if run.stage == "search":
            key, found = (run.neuron, run.rule), (rows[-1]["val_error"], run.lr)
            best[key] = min(best.get(key, found), found)
    if not best:
        raise ValueError(
            "learning_rates: the log must hold the stage search, got none of it; run it first"
        )
    return {key: lr for key, (_, lr) in best.items()}


def best_settings(logged: Logged) -> list[Run]:
    """Settings with the lowest mean validation error on the small Russian corpus.

    Args:
        logged: The log, with the stage "wide" in it.

    Returns:
        One run for e-prop with each neuron, for BPTT with ALIF neurons in as many layers, and for the LSTM.

    Raises:
        ValueError: If one of them is not in the log.
    """
    found = []
    for neuron in (*NEURONS, "lstm"):
        errors: dict[tuple[int, str, float], list[float]] = {}
        for run, rows in logged.items():
            wide = run.stage == "wide" and run.corpus == "russian_small" and run.neuron == neuron
            if wide and (run.rule != "bptt" or neuron == "lstm"):
                key = (run.layers, run.rule, run.lr)
                errors.setdefault(key, []).append(rows[-1]["val_error"])
        if not errors:
            raise ValueError(
                f"best_settings: the log must hold the stage wide with {neuron}, got none of it; run it first"
            )
        layers, rule, lr = min(errors, key=lambda key: statistics.fmean(errors[key]))
        found.append(Run("wide", "russian_small", neuron, layers, rule, lr, 0))
    lr = learning_rates(logged)["alif", "bptt"]
    return [*found, found[0]._replace(rule="bptt", lr=lr)]


def tuned_settings(logged: Logged) -> list[Run]:
    """The best settings with the learning rate of the lowest validation error on the complete Russian corpus.

    Args:
        logged: The log, with the stage "tune" in it.

    Returns:
        One run for each setting.

    Raises:
        ValueError: If there is no such stage in the log.
    """
    best: dict[Run, tuple[float, Run]] = {}
    for run, rows in logged.items():
        if run.stage == "tune":
            key, found = run._replace(lr=0.0), (rows[-1]["val_error"], run)
            best[key] = min(best.get(key, found), found)
    if not best:
        raise ValueError(
            "tuned_settings: the log must hold the stage tune, got none of it; run it first"
        )
    return [run for _, run in best.values()]


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
    parts.append(_differences(logged))
    text = "\n\n".join(part for part in parts if part) + "\n"
    (out / "tables.md").write_text(text, encoding="utf-8")
    write_plots(logged, out)
    print(f"{len(logged)} runs: {out / 'tables.md'} and plots beside it", flush=True)


def _rates_table(logged: Logged, stage: str, title: str) -> str:
    """Validation error of one seed by learning rate, the lowest in bold."""
    found = {run: rows[-1]["val_error"] for run, rows in logged.items() if run.stage == stage}
    if not found:
        return ""
    rates = sorted({run.lr for run in found})
    lines = [
        f"### {title}: validation frame error, one seed",
        "",
        "| neuron | layers | rule | " + " | ".join(f"{lr:g}" for lr in rates) + " |",
        "|---" * (3 + len(rates)) + "|",
    ]
    for setting in dict.fromkeys(run._replace(lr=0.0) for run in found):
        errors = {run.lr: error for run, error in found.items() if run._replace(lr=0.0) == setting}
        lowest = min(errors.values())
        cells = [_marked(errors.get(lr), lowest) for lr in rates]
        head = f"| {setting.neuron} | {setting.layers} | {setting.rule} | "
        lines.append(head + " | ".join(cells) + " |")
    return "\n".join(lines)


def _marked(error: float | None, lowest: float) -> str:
    if error is None:
        return ""
    return f"**{error:.1%}**" if error == lowest else f"{error:.1%}"


def _error_table(logged: Logged, title: str) -> str:
    """Error and cross-entropy on the test split, mean and standard deviation over seeds."""
    lines = [
        title,
        "",
        "| neuron | layers | rule | learning rate | seeds | frame error | cross-entropy | spikes, Hz | minutes |",
        "|---" * 9 + "|",
    ]
    order = (*NEURONS, "lstm")
    keys = sorted(
        {(run.neuron, run.layers, run.rule, run.lr) for run in logged},
        key=lambda key: (order.index(key[0]), key[1], RULES.index(key[2])),
    )
    for neuron, layers, rule, lr in keys:
        rows = [
            rows[-1]
            for run, rows in logged.items()
            if (run.neuron, run.layers, run.rule, run.lr) == (neuron, layers, rule, lr)
        ]
        error = _spread([100 * row["test_error"] for row in rows], "{:.1f}", " %")
        loss = _spread([row["test_loss"] for row in rows], "{:.3f}", "")
        rates = [row["rate"] for row in rows if "rate" in row]
        rate = f"{statistics.fmean(rates):.0f}" if rates else ""
        minutes = f"{statistics.fmean(row['seconds'] for row in rows) / 60:.1f}"
        lines.append(
            f"| {neuron} | {layers} | {rule} | {lr:g} | {len(rows)} | {error} | {loss} | {rate} | {minutes} |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str, unit: str) -> str:
    mean = form.format(statistics.fmean(values))
    if len(values) < 2:
        return f"{mean}{unit}"
    return f"{mean} ± {form.format(statistics.stdev(values))}{unit}"


def _differences(logged: Logged) -> str:
    """Differences of the test error between two settings of the same seed and corpus, in points."""
    rows = [
        *(
            (f"{neuron} - alif, symmetric e-prop, 1 layer", ("neuron", neuron, "alif"), _is(layers=1, rule="symmetric"))
            for neuron in NEURONS[1:]
        ),
        *(
            (f"{layers} layers - 1 layer, {neuron}, symmetric e-prop", ("layers", layers, 1),
             _is(neuron=neuron, rule="symmetric"))
            for neuron in NEURONS
            for layers in list(LAYERS)[1:]
        ),
        *(
            (f"{layers} layers - 1 layer, {neuron}, BPTT", ("layers", layers, 1), _is(neuron=neuron, rule="bptt"))
            for neuron in NEURONS
            for layers in list(LAYERS)[1:]
        ),
        *(
            (f"{rule} e-prop - BPTT, {neuron}, 1 layer", ("rule", rule, "bptt"), _is(neuron=neuron, layers=1))
            for neuron in NEURONS
            for rule in FEEDBACKS
        ),
    ]  # fmt: skip
    corpora = [corpus for corpus in CORPORA if any(run.corpus == corpus for run in logged)]
    lines = []
    for title, (field, one, other), keep in rows:
        cells = []
        for corpus in corpora:
            found = _paired(logged, corpus, field, one, other, keep)
            cells.append(
                f"{statistics.fmean(found):+.1f} ({min(found):+.1f} to {max(found):+.1f})"
                if found
                else ""
            )
        if any(cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    if not lines:
        return ""
    head = " | ".join(corpus.replace("_", " ") for corpus in corpora)
    return "\n".join(
        ["### Differences of the test frame error, points, mean over seeds (range)", "",
         f"| difference | {head} |", "|---" * (1 + len(corpora)) + "|", *lines]
    )  # fmt: skip


def _is(**fields: object) -> Callable[[Run], bool]:
    return lambda run: all(getattr(run, name) == value for name, value in fields.items())


def _paired(
    logged: Logged, corpus: str, field: str, one: object, other: object, keep: Callable[[Run], bool]
) -> list[float]:
    stage = "full" if corpus == "russian" else "wide"

    def errors(value: object) -> dict[int, float]:
        chosen: Iterable[Run] = (
            run for run in logged
            if run.stage == stage and run.corpus == corpus and keep(run) and getattr(run, field) == value
        )  # fmt: skip
        return {run.seed: logged[run][-1]["test_error"] for run in chosen}

    first, second = errors(one), errors(other)
    return [100 * (first[seed] - second[seed]) for seed in sorted(set(first) & set(second))]
