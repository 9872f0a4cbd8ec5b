"""``python -m modelcmp_cli``."""

from .main import run

run()
