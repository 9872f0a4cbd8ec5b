"""Files of tensors: written whole or not at all, and read without running code from them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from .errors import ModelcmpError, OutputError, first_line
from .files import new_file_mode


def save_tensors(data: Any, path: Path) -> None:
    """``torch.save`` through a file beside the target, whole or not at all; raises OutputError."""
    import torch

    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(new_file_mode())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {_reason(error, path)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def load_tensors(path: Path) -> Any:
    """What :func:`save_tensors` wrote, on the CPU, without running code from the file; raises ModelcmpError."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ModelcmpError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a broken zip, a foreign pickle, a missing key: torch has many words for it
        raise ModelcmpError(f"{path} is damaged, or holds more than tensors and plain data: {_kind(error)}") from error


def _kind(error: Exception) -> str:
    """What torch says, without its advice to load the file in an unsafe way."""
    words = first_line(error)
    return type(error).__name__ if "weights_only" in words else words


def _reason(error: Exception, path: Path) -> str:
    """Why writing failed; torch says "unexpected pos" and the like when the disk is full."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    free = shutil.disk_usage(path.parent).free
    return "no space left on device" if free < 1 << 20 else first_line(error)
