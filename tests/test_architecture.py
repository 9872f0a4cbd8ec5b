"""Who may import whom, what must stay instant, and other rules of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    0: ("errors", "registry", "units", "files", "tensor_files", "environment"),
    1: ("records", "metrics", "reductions", "tabular", "kernels"),
    2: ("ranking", "pareto", "growth", "where", "budget", "joining", "store", "tracking", "engines"),
    3: ("comparison", "sources", "hardware", "budget_file", "dumps", "profiling.formulas"),
    4: ("profiling",),
    5: ("measuring", "training"),
    6: ("diffing", "sweeps"),
    7: ("reports",),
}
OPEN_PLAN = (0, 1)  # the modules of these floors are one room: records, what is summed and said about them
SOURCES = sorted((ROOT / "modelcmp").rglob("*.py"))


def room(module: str) -> str:
    """The room of a dotted module below modelcmp."""
    known = [r for rooms in FLOORS.values() for r in rooms]
    return max((r for r in known if module == r or module.startswith(r + ".")), key=len, default="")


def floor(name: str) -> int:
    return next(f for f, rooms in FLOORS.items() if name in rooms)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT / "modelcmp").with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def imports(path: Path) -> set[str]:
    """Dotted modules below modelcmp that a file imports, inside functions too; not those for type checking only."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            found |= {module} | {f"{module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    inside = {m.removeprefix("modelcmp.") for m in found if m.startswith("modelcmp.")}
    return {m for m in inside if room(m)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    module = dotted(path)
    if not module:
        return  # modelcmp/__init__.py hands out names of every floor, lazily
    mine = room(module)
    assert mine, f"{module} stands on no floor: add it to the table"
    up = {m for m in imports(path) if room(m) != mine and floor(room(m)) >= floor(mine)}
    up = {m for m in up if floor(room(m)) != floor(mine) or floor(mine) not in OPEN_PLAN}
    assert not up, f"{module} (floor {floor(mine)}) imports {sorted(up)}"


def test_no_room_imports_the_command_line():
    assert not [p for p in SOURCES if "modelcmp_cli" in p.read_text("utf-8")]


@pytest.mark.parametrize("path", [p for p in SOURCES if room(dotted(p)) and floor(room(dotted(p))) <= 2], ids=dotted)
def test_low_floors_import_no_torch(path):
    tree = ast.parse(path.read_text("utf-8"))
    names = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)}
    assert not {n for n in names if n.split(".")[0] in ("torch", "torchvision", "timm", "pandas", "fvcore")}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_house_rules(path):
    text = path.read_text("utf-8")
    assert path.stem not in ("utils", "helpers", "common", "misc")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "eval", "exec", "pickle.load", "yaml.load")


@pytest.mark.parametrize(
    "code",
    [
        "import modelcmp",
        "import modelcmp.metrics, modelcmp.ranking, modelcmp.comparison, modelcmp.tabular",
        "from modelcmp.sources import find_names; assert find_names('resnet')",
        "import modelcmp.reports.tables, modelcmp.reports.export, modelcmp.reports.plots",
        "import modelcmp.profiling.many, modelcmp.store.cache, modelcmp.sources.selection",
        "import modelcmp_cli.app",
    ],
)
def test_instant_parts_never_import_torch(code):
    check = f"{code}\nimport sys\nassert not {{'torch', 'torchvision', 'timm', 'pandas', 'fvcore'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_public_names_exist_and_are_documented():
    import modelcmp

    api = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in modelcmp.__all__:
        assert getattr(modelcmp, name) is not None
        assert name in api, f"docs/api.md does not mention {name}"
