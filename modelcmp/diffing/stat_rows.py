"""Tensors that dumps hold statistics of, not the numbers: what can be told from norms, counts and hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .sums import FIELDS

_UNKNOWN = float("nan")


def stat_row(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float]:
    """The sums that two tensors' statistics tell; where their hashes are the same, the tensors are.

    >>> one = {"norm": 2.0, "elements": 4, "nan": 0, "inf": 0, "hash": "ab"}
    >>> row = stat_row(one, one | {"hash": "cd"})
    >>> row["aa"], row["hash_equal"], row["dd"]
    (4.0, 0.0, nan)
    """
    row = dict.fromkeys(FIELDS, _UNKNOWN)
    row |= {"elements": float(a["elements"]), "hash_equal": float(a["hash"] == b["hash"])}
    for side, told in (("a", a), ("b", b)):
        row |= {side * 2: told["norm"] ** 2, f"nan_{side}": told["nan"], f"inf_{side}": told["inf"]}
    if row["hash_equal"]:
        square = row["aa"]
        row |= {"equal": row["elements"], "measured": row["elements"] - row["nan_a"] - row["inf_a"]}
        row |= {"ab": square, "ss": 4 * square, "dd": 0.0, "ds": 0.0, "max_abs": 0.0, "ulp_max": 0.0, "ulp_median": 0.0}
    return row
