"""A search as terminal tables and Markdown: the best of each architecture, and every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from .. import units
from ..ranking import awarded
from ..sweeps.best import Spent, best, by_rank, front, spent, unfair
from ..sweeps.records import Sweep, Trial, param_value, params_text
from ..training.summary import RANK_KEYS
from .export import markdown_table
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import markdown_lines

#: States that are said in words below the table, in this order.
_TOLD = ("pruned", "diverged", "failed", "running")
_LONGEST_REASON = 160


def sweep_tables(sweep: Sweep, width: int) -> list[Table]:
    """The best trial of each architecture, best first, and what its tuning took."""
    return _tables(*_ranked(sweep), width)


def sweep_markdown(sweep: Sweep) -> str:
    """The same as one GitHub table, with the lines below it."""
    names, marks, columns = _ranked(sweep)
    configurations = [params_text(top.params) if (top := _best(sweep, n)) else "-" for n in names]
    heads = ["Model", *(c.head for c in columns), "Configuration"]
    rows = [
        [f"{mark} {name}".strip(), *(c.cells[i] for c in columns), configurations[i]]
        for i, (mark, name) in enumerate(zip(marks, names, strict=True))
    ]
    return markdown_table(heads, rows, text=["Configuration"]) + "".join(
        f"\n{line}\n" for line in markdown_lines(sweep_lines(sweep))
    )


def _ranked(sweep: Sweep) -> tuple[list[str], list[str], list[Column]]:
    """Names and medals of the architectures, and the columns of their figures."""
    tops = {m: _best(sweep, m) for m in sweep.models}
    values = [top.values[0] if (top := tops[m]) and top.values else None for m in sweep.models]
    prizes = awarded(values, sweep.objectives[0].better)
    high = sweep.objectives[0].better == "high"
    order = sorted(range(len(values)), key=lambda i: (values[i] is None, _signed(values[i], high)))
    names = [sweep.models[i] for i in order]
    took = {m: spent(sweep.of(m)) for m in names}
    columns = [_objective_column(sweep, k, [tops[m] for m in names]) for k in range(len(sweep.objectives))]
    return names, [prizes.get(i, "") for i in order], [*columns, *_spent_columns(names, took)]


def _signed(value: float | None, high: bool) -> float:
    return 0.0 if value is None else -value if high else value


def _best(sweep: Sweep, model: str) -> Trial | None:
    return best(sweep.of(model), sweep.objectives)


def _objective_column(sweep: Sweep, position: int, tops: Sequence[Trial | None]) -> Column:
    key = RANK_KEYS[sweep.objectives[position].key]
    cells = tuple(key.written(t.values[position]) if t is not None and t.values else "-" for t in tops)
    return Column(key.short, cells, best=0 if position == 0 and len(tops) > 1 else None)


def _spent_columns(names: Sequence[str], took: Mapping[str, Spent]) -> list[Column]:
    return [
        Column("Trials", tuple(f"{took[m].trials:,}" for m in names)),
        Column("Steps", tuple(f"{took[m].steps:,}" for m in names)),
        Column("Trained", tuple(units.seconds(took[m].minutes * 60) for m in names)),
        Column("FLOPs", tuple(_flops(took[m]) for m in names)),
    ]


def _flops(took: Spent) -> str:
    return units.UNKNOWN if took.flops is None else units.scaled(took.flops)


def sweep_lines(sweep: Sweep) -> list[str]:
    """The configurations, the budget, what went wrong, and whether the tuning was equal."""
    lines = [_summary(sweep)]
    for model in _ranked(sweep)[0]:
        if (top := _best(sweep, model)) is not None:
            lines.append(f"{model}: {params_text(top.params)} (trial {top.number})")
        lines += _troubles(model, sweep.of(model))
    if len(sweep.objectives) > 1:
        lines += [_front_line(sweep, model) for model in sweep.models]
    return lines + unfair(sweep)


def _summary(sweep: Sweep) -> str:
    keys = " and ".join(_lowered(RANK_KEYS[o.key].label) for o in sweep.objectives)
    return f"{sweep.name}: {sweep.method} search for the best {keys}; {_budget(sweep)} for each architecture."


def _budget(sweep: Sweep) -> str:
    amounts = set(sweep.budget.values())
    if sweep.method == "grid" or not amounts or None in amounts:
        return "every point of its grid"
    return " or ".join(f"{amount:,.6g} {sweep.budget_unit}" for amount in sorted(a for a in amounts if a is not None))


def _front_line(sweep: Sweep, model: str) -> str:
    numbers = [str(t.number) for t in front(sweep.of(model), sweep.objectives)]
    return f"{model}: on the Pareto front: trial{'s' if len(numbers) != 1 else ''} {', '.join(numbers) or 'none'}"


def _troubles(model: str, trials: Sequence[Trial]) -> list[str]:
    """How many trials were pruned, diverged or failed, with the first reason."""
    lines = []
    for state in _TOLD:
        found = [t for t in trials if t.state == state]
        if not found:
            continue
        of = f"all of its {len(trials)}" if len(found) == len(trials) else f"{len(found)} of {len(trials)}"
        reason = next((t.message for t in found if t.message), "")
        said = f": {reason[:_LONGEST_REASON]}" if reason and state in ("diverged", "failed") else ""
        verb = {"pruned": "were pruned", "diverged": "diverged", "failed": "failed", "running": "are not done"}[state]
        lines.append(f"{model}: {of} trials {verb}{said}{_advice(state, len(found) == len(trials))}")
    return lines


def _advice(state: str, every: bool) -> str:
    if state == "diverged" and every:
        return "; give it lower learning rates, or clip_norm"
    return ""


def _lowered(label: str) -> str:
    return label[0].lower() + label[1:]


# -- every trial ------------------------------------------------------------------------------------------


def trial_tables(sweep: Sweep, trials: Sequence[Trial], width: int) -> list[Table]:
    """One row a trial, in the order given: objectives, parameters, state and what it took."""
    names = [t.name for t in trials]
    tables = _tables(names, None, trial_columns(sweep, trials), width, "Trial")
    return (
        tables
        if len(tables) == 1
        else _tables(names, None, trial_columns(sweep, trials, together=True), width, "Trial")
    )


def trial_columns(sweep: Sweep, trials: Sequence[Trial], together: bool = False) -> list[Column]:
    """The columns of a listing; all parameters in one, where they are to stand ``together``."""
    keys = [RANK_KEYS[o.key] for o in sweep.objectives if o.key in RANK_KEYS]
    shown = [
        Column(k.short, tuple(k.written(t.values[i]) if t.values else "-" for t in trials)) for i, k in enumerate(keys)
    ]
    if not keys:  # a study that others have made
        count = max((len(t.values) for t in trials if t.values), default=0)
        shown = [
            Column(f"Value {i + 1}" if count > 1 else "Value",
                   tuple(units.plain(t.values[i]) if t.values else "-" for t in trials))
            for i in range(count)
        ]  # fmt: skip
    names = dict.fromkeys(name for t in trials for name in t.params)
    params = [Column(n, tuple(param_value(t.params[n]) if n in t.params else "" for t in trials)) for n in names]
    states = (
        [Column("State", tuple(t.state for t in trials), "left")] if {t.state for t in trials} - {"finished"} else []
    )
    rest = [
        Column("Epochs", tuple(f"{t.epochs}" if t.steps else "-" for t in trials)),
        Column("Trained", tuple(units.seconds(t.train_seconds) if t.steps else "-" for t in trials)),
    ]
    if together:
        return [
            *shown,
            *states,
            *rest,
            Column("Configuration", tuple(params_text(t.params) for t in trials), "left", folded=True),
        ]
    return [*shown, *params, *states, *rest]


def trials_markdown(sweep: Sweep, trials: Sequence[Trial]) -> str:
    """The same as one GitHub table, with what is to be said of the search below it."""
    columns = trial_columns(sweep, trials)
    rows = [[t.name, *(c.cells[i] for c in columns)] for i, t in enumerate(trials)]
    table = markdown_table(["Trial", *(c.head for c in columns)], rows)
    return table + "".join(f"\n{line}\n" for line in markdown_lines(sweep_lines(sweep)))


def chosen_trials(sweep: Sweep, model: str | None, top: int | None, in_order: bool) -> list[Trial]:
    """The trials of a listing: best first, or in the order they began; only the first ``top``."""
    trials = sweep.trials if model is None else sweep.of(model)
    ordered = list(trials) if in_order else by_rank(trials, sweep.objectives)
    return ordered[:top] if top is not None else ordered


def _tables(
    names: Sequence[str], marks: Sequence[str] | None, columns: Sequence[Column], width: int, head: str = "Model"
) -> list[Table]:
    """Tables with whole names where they fit, else folded ones."""
    longest = max((len(n) for n in names), default=0)
    prizes = list(marks) if marks is not None and any(marks) else None
    whole = split_tables(list(names), columns, width, name_width=longest, marks=prizes, head=head)
    if len(whole) == 1 or longest <= NAME_WIDTH:
        return whole
    return split_tables(list(names), columns, width, name_width=NAME_WIDTH - 3, marks=prizes, head=head)
