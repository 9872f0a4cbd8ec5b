"""What a diff means: where two runs part and with what, how large it is, and whether it is more than noise."""

from .judge import judge

__all__ = ["judge"]
