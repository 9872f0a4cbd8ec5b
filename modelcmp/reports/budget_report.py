"""Verdicts on budgets as terminal tables, Markdown, JSON, JUnit XML and GitHub's workflow commands."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..budget import Baseline, Case, Settings, Verdict, all_hold, judge, predicted
from ..metrics import Value
from ..records import ModelFailure, ModelProfile
from ..tabular import Row, profile_row
from .export import document, markdown_table

_SIGNS = {"max": "≤ ", "min": "≥ ", "equals": ""}
_HEADS = ("Model", "Metric", "Value", "Limit", "Headroom", "")
_STYLES = {"ok": "green", "BROKEN": "bold red", "unknown": "bold yellow"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Checked:
    """One model in one case: its profile and the verdicts on it, or why there is none."""

    case: Case
    model: str
    profile: ModelProfile | None
    verdicts: tuple[Verdict, ...] = ()
    failure: ModelFailure | None = None

    @property
    def holds(self) -> bool:
        """Whether it could be profiled and keeps every limit."""
        return self.failure is None and all_hold(self.verdicts)


def checked(case: Case, result: ModelProfile | ModelFailure, baseline: Baseline | None = None) -> Checked:
    """Judge what profiling one model of a case came to."""
    if isinstance(result, ModelFailure):
        return Checked(case, result.name, None, (), result)
    return Checked(case, result.name, result, judge(result, case, baseline))


# -- texts ----------------------------------------------------------------------------------------


def limit_text(verdict: Verdict) -> str:
    """The limit as a table shows it: "≤ 30.0M", with the percentage where it refers to a baseline."""
    limit, sign = verdict.limit, _SIGNS[verdict.limit.relation]
    shown = limit.metric.text(verdict.target)
    if limit.relative and isinstance(limit.target, float):
        return f"{sign}{shown} ({100 * (limit.target - 1):+.3g}%)"
    return f"{sign}{shown}"


def value_text(verdict: Verdict) -> str:
    """The value as a table shows it, with what is known of it."""
    text = verdict.limit.metric.text(verdict.value)
    return {"at least": "≥", "at most": "≤"}.get(verdict.known, "") + text


def headroom_text(verdict: Verdict) -> str:
    """How far inside its limit, never rounded to nothing."""
    room = verdict.headroom_pct
    if room is None:
        return ""
    return f"{room:+.1f}%" if abs(room) >= 0.05 or room == 0 else f"{room:+.1g}%"


def state_text(verdict: Verdict) -> str:
    """ok, BROKEN or unknown."""
    return "BROKEN" if verdict.state == "broken" else verdict.state


def sentence(verdict: Verdict) -> str:
    """What is wrong, in words; what holds too."""
    metric, key = verdict.limit.metric, verdict.limit.metric.key
    text = f"{verdict.model}: {key} is {value_text(verdict)}, must be {limit_text(verdict)}"
    if verdict.state != "unknown":
        room = headroom_text(verdict)
        return text + (f" (headroom {room})" if room else "")
    if verdict.value is None and predicted(metric) and verdict.case.settings.hardware is None:
        return f"{text}: it follows from a machine: name one with hardware = ..."
    if verdict.target is None:
        return f"{text}: the baseline has no figure of this model at these settings"
    return f"{text}: the figure is not known" + ("" if verdict.known == "not" else " exactly: some op has no formula")


def settings_text(settings: Settings) -> str:
    """What a case asks for: "batch 32, fp16, eval mode, on h100 (compiled)"."""
    parts = [f"batch {settings.batch_size}", settings.dtype, f"{settings.mode} mode"]
    parts += [f"input {settings.input_size}"] if settings.input_size else []
    parts += [f"convention {settings.convention}"] if settings.convention != "total" else []
    parts += ["deployed form"] if settings.reparam else []
    if settings.hardware:
        how = [*([settings.level] if settings.level else []), *(["compiled"] if settings.compiled else [])]
        parts.append(f"on {settings.hardware}" + (f" ({', '.join(how)})" if how else ""))
    return ", ".join(parts)


def case_text(case: Case) -> str:
    """A case's name with its settings."""
    return f"{case.name}: {settings_text(case.settings)}" if case.name else settings_text(case.settings)


def summary(everything: Sequence[Checked]) -> str:
    """How many limits hold: "3 of 4 limits hold; 1 broken"."""
    states = [v.state for c in everything for v in c.verdicts]
    failed = sum(c.failure is not None for c in everything)
    parts = [f"{states.count('ok')} of {len(states)} limits hold"]
    parts += [f"{states.count(s)} {s}" for s in ("broken", "unknown") if s in states]
    return "; ".join([*parts, *([f"{failed} not profiled"] if failed else [])])


# -- tables ---------------------------------------------------------------------------------------


def budget_tables(everything: Sequence[Checked]) -> list[RenderableType]:
    """One table a case, broken limits in red, and the sum below; fits 80 columns."""
    tables: list[RenderableType] = [_table(case, rows) for case, rows in _by_case(everything)]
    return [*tables, Text(summary(everything), style="green" if all(c.holds for c in everything) else "bold red")]


def _by_case(everything: Iterable[Checked]) -> list[tuple[Case, list[Checked]]]:
    found: list[tuple[Case, list[Checked]]] = []
    for one in everything:
        if not found or found[-1][0] is not one.case:
            found.append((one.case, []))
        found[-1][1].append(one)
    return found


def _table(case: Case, rows: Iterable[Checked]) -> Table:
    table = Table(title=Text(case_text(case), style="bold"), title_justify="left", box=box.SIMPLE_HEAD,
                  header_style="bold", pad_edge=False)  # fmt: skip
    table.add_column("Model", overflow="fold", min_width=8)
    table.add_column("Metric", overflow="fold", min_width=8)
    for head in _HEADS[2:5]:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in rows:
        for cells in _cells(one):
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    return table


def _cells(one: Checked) -> list[list[str]]:
    if one.failure is not None:
        return [[one.model, "failed", "", "", "", "BROKEN"]]
    return [
        [
            one.model,
            v.limit.metric.alias or v.limit.metric.key,
            value_text(v),
            limit_text(v),
            headroom_text(v),
            state_text(v),
        ]
        for v in one.verdicts
    ]


def budget_markdown(everything: Sequence[Checked]) -> str:
    """The same as GitHub tables, the sum in front."""
    heads = [*_HEADS[:-1], "Verdict"]
    text = f"**{summary(everything)}**\n"
    for case, rows in _by_case(everything):
        cells = [line for one in rows for line in _cells(one)]
        text += f"\n{case_text(case)}\n\n" + markdown_table(heads, cells, left=2, text=("Verdict",))
    return text


# -- files ----------------------------------------------------------------------------------------


def budget_json(budget: str, everything: Sequence[Checked]) -> dict[str, Any]:
    """The JSON document: each model's entry with its figures and ``checks``; it can serve as a baseline."""
    failures = [c.failure for c in everything if c.failure is not None]
    convention = everything[0].case.settings.convention
    made = document(convention, [_model_row(c, c.profile) for c in everything if c.profile is not None], failures)
    return made | {"budget": budget, "holds": all(c.holds for c in everything)}


def _model_row(one: Checked, profile: ModelProfile) -> Row:
    return profile_row(profile) | {"case": one.case.name, "checks": [_check(v) for v in one.verdicts]}


def _check(verdict: Verdict) -> Row:
    found: dict[str, Value] = {
        "metric": verdict.limit.metric.key, "relation": verdict.limit.relation, "limit": verdict.target,
        "value": verdict.value, "known": verdict.known, "headroom_pct": verdict.headroom_pct, "state": verdict.state,
    }  # fmt: skip
    return dict(found)


def junit(everything: Sequence[Checked]) -> str:
    """JUnit's XML: a suite for each model and case, a test for each limit."""
    root = ET.Element("testsuites", name="budget")
    for one in everything:
        _suite(root, one)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, one: Checked) -> None:
    bad = sum(v.state != "ok" for v in one.verdicts)
    errors = int(one.failure is not None)
    suite = ET.SubElement(
        root, "testsuite", name=_xml(f"{one.model} ({case_text(one.case)})"), tests=str(len(one.verdicts) + errors),
        failures=str(bad), errors=str(errors), skipped="0", time="0",
    )  # fmt: skip
    if one.failure is not None:
        test = ET.SubElement(suite, "testcase", classname=_xml(one.model), name="profile", time="0")
        ET.SubElement(test, "error", type=_xml(one.failure.kind), message=_xml(one.failure.message))
    for v in one.verdicts:
        name = _xml(f"{v.limit.metric.key} {limit_text(v)}")
        test = ET.SubElement(suite, "testcase", classname=_xml(one.model), name=name, time="0")
        if v.state != "ok":
            ET.SubElement(test, "failure", type=v.state, message=_xml(sentence(v))).text = _xml(sentence(v))


def _xml(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def github(budget: str, everything: Sequence[Checked]) -> str:
    """GitHub's workflow commands: an error for each limit that is not kept, and a notice with the sum."""
    lines = [_broken(v, budget) for c in everything for v in c.verdicts if v.state != "ok"]
    lines += [_command("error", f"{c.model}: failed", c.failure.message, budget) for c in everything if c.failure]
    return "\n".join([*lines, _command("notice", "Model budget", summary(everything), budget)]) + "\n"


def _broken(v: Verdict, budget: str) -> str:
    title = f"{v.model}: {v.limit.metric.key} {state_text(v)}"
    return _command("error", title, f"{sentence(v)} [{case_text(v.case)}]", budget)


def _command(kind: str, title: str, message: str, file: str) -> str:
    """One workflow command, escaped as GitHub's own toolkit does it.

    >>> _command("error", "a,b:c", "50%\\nof", "x.toml")
    '::error file=x.toml,title=a%2Cb%3Ac::50%25%0Aof'
    """
    return f"::{kind} file={_property(file)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
