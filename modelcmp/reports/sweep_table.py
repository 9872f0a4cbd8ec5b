"""A search as terminal tables and Markdown: the best of each architecture, and every trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from .. import units
from ..ranking import awarded
from ..sweeps.best import Spent, amount_text, best, by_rank, front, missing_trials, spent, unfair
from ..sweeps.records import Sweep, Trial, param_value, params_text
from ..training.summary import RANK_KEYS
from .export import markdown_table
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import in_sentence, markdown_lines

#: States that are said in words below the table, in this order.
_TOLD = ("pruned", "diverged", "failed")
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
    head, write = _figure(sweep.objectives[position].key)
    cells = tuple(write(t.values[position]) if t is not None and t.values else "-" for t in tops)
    return Column(head, cells, best=0 if position == 0 and len(tops) > 1 else None)


def _figure(key: str) -> tuple[str, Callable[[float], str]]:
    """Heading of an objective and how it is written; a study that others made has its own."""
    if key in RANK_KEYS:
        return RANK_KEYS[key].short, RANK_KEYS[key].written
    return key.capitalize(), units.plain


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
    keys = " and ".join(in_sentence(RANK_KEYS[o.key].label) if o.key in RANK_KEYS else o.key for o in sweep.objectives)
    how = f"{sweep.method} search" if sweep.method else "search"
    return f"{sweep.name}: {how} by {keys}{_budget(sweep)}."


def _budget(sweep: Sweep) -> str:
    """The budget, and where it was exceeded or is not used up."""
    amounts = sorted({a for a in sweep.budget.values() if a is not None})
    if not amounts:
        return ""
    words = " or ".join(amount_text(a, sweep.budget_unit) for a in amounts)
    if sweep.budget_unit != "trials":
        return f"; no new trial of an architecture after {words}, the last may go over"
    words = f"; {words} of each architecture"
    if left := missing_trials(sweep):
        return f"{words}, not done yet: " + ", ".join(f"{n:,} of {m}" for m, n in left.items())
    more = any(spent(sweep.of(m)).trials > (a or 0) for m, a in sweep.budget.items())
    return words + (", some had more before" if more else "")


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
        every, one = len(found) == len(trials), len(found) == 1
        of = f"all of its {len(trials)}" if every and not one else f"{len(found)} of {len(trials)}"
        reason = next((t.message for t in found if t.message), "")
        said = f": {reason[:_LONGEST_REASON]}" if reason and state in ("diverged", "failed") else ""
        verb = {"pruned": f"{'was' if one else 'were'} pruned"}
        noun = "trial" if len(trials) == 1 else "trials"
        lines.append(f"{model}: {of} {noun} {verb.get(state, state)}{said}{_advice(state, every)}")
    return lines


def _advice(state: str, every: bool) -> str:
    if state == "diverged" and every:
        return "; give it lower learning rates, or clip_norm"
    return ""


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
    shown = [
        Column(head, tuple(write(t.values[i]) if t.values else "-" for t in trials))
        for i, (head, write) in enumerate(_figure(o.key) for o in sweep.objectives)
    ]
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
