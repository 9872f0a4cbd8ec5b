"""Fill the generated blocks of the documentation: ``python docs/generate.py`` (``--check`` only compares).

A block is ``<!-- generated: WHAT -->`` ... ``<!-- end -->``; WHAT is ``metrics``, ``formulas``, ``coefficients``,
``config``, ``measures`` or a command line that starts with ``compare-models``, whose output is put in.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def content(what: str) -> str:
    """What belongs into a block."""
    if what.startswith("compare-models "):
        return f"```console\n$ {what}\n{run(what)}```\n"
    from modelcmp.reports import guide

    tables = {
        "metrics": guide.metric_table,
        "formulas": guide.formula_table,
        "coefficients": guide.coefficient_table,
        "config": guide.config_table,
        "measures": guide.measure_table,
    }
    return tables[what]()


def run(command: str) -> str:
    """Output of a command in a terminal of 80 columns, without colours."""
    arguments = shlex.split(command)[1:]
    program = [sys.executable, str(ROOT / "cli" / "compare_models.py")]
    env = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, env=env, check=True, cwd=ROOT)
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def filled(text: str) -> str:
    """A document with its blocks made anew."""
    return BLOCK.sub(lambda block: block[1] + content(block[2]) + block[3], text)


def stale(root: Path = ROOT) -> list[Path]:
    """Documents whose blocks are not what the code says."""
    return [p for p in documents(root) if filled(p.read_text(encoding="utf-8")) != p.read_text(encoding="utf-8")]


def documents(root: Path) -> list[Path]:
    """Markdown files that hold blocks."""
    return [
        p for p in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if BLOCK.search(p.read_text("utf-8"))
    ]


def main() -> int:
    """Rewrite what is stale; with ``--check`` only name it."""
    outdated = stale()
    for path in outdated:
        if "--check" not in sys.argv:
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(path.relative_to(ROOT))
    return 1 if outdated and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
