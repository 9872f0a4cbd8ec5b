"""What several tests need."""

import pytest

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))

def build(width=8):
    return Net(width)

def raises():
    raise RuntimeError("no [bold]such[/bold] luck")

def not_a_module():
    return 3

READY = Net(4)
NUMBER = 3
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Each test keeps its profiles in a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MODELCMP_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_devices(tmp_path_factory, monkeypatch):
    """Each test has an own folder of machines, which is not there yet."""
    folder = tmp_path_factory.mktemp("machines") / "devices"
    monkeypatch.setenv("MODELCMP_DEVICES", str(folder))
    return folder


@pytest.fixture
def net_file(tmp_path):
    """A file with the user's own model."""
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""
    from modelcmp_cli import main

    def run(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.argv", ["compare-models", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main.run()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
