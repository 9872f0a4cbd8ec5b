"""Linear layers of a head as they follow one another: by the order of registration, or by their widths alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .aligning.units import Unit
from .head_layers import Linear, fed_by, given_and_taken, is_flat, is_norm_of

Chain = list[Linear]


def chains_in_order(linear: Sequence[Linear], modules: Sequence[Unit]) -> list[Chain]:
    """Runs of linear layers, each of which takes what the one before gives, with only fitting norms between."""
    chains: list[Chain] = []
    for layer in linear:
        before = chains[-1][-1] if chains else None
        between = modules[before.at + 1 : layer.at] if before is not None else []
        if before is not None and before.out == layer.wide and all(is_norm_of(unit, before.out) for unit in between):
            chains[-1].append(layer)
        else:
            chains.append([layer])
    return chains


def beside_in_order(main: Chain, chains: Sequence[Chain], modules: Sequence[Unit]) -> list[Chain]:
    """A chain with those right before and after it that take features of the same width, as several heads do."""
    at = next(i for i, chain in enumerate(chains) if chain is main)
    found = [main]
    for step in (1, -1):
        last, i = main, at + step
        while 0 <= i < len(chains) and _side_by_side(last, chains[i], modules) and _shares(chains[i], found):
            last = chains[i]
            found.append(last)
            i += step
    return found


def _side_by_side(one: Chain, other: Chain, modules: Sequence[Unit]) -> bool:
    first, second = sorted((one, other), key=lambda chain: chain[0].at)
    return all(is_flat(unit) for unit in modules[first[-1].at + 1 : second[0].at])


def _shares(chain: Chain, found: Sequence[Chain]) -> bool:
    widths = {layer.wide for other in found for layer in other}
    return any(layer.wide in widths for layer in chain)


def grown_by_width(start: Chain, linear: Sequence[Linear], modules: Sequence[Unit]) -> Chain:
    """Some layers with those that feed them and those that take the same features, whatever their order.

    A layer feeds another if it gives the width that the other takes, and belongs to the same part, is named as a head
    as well, or takes features of the rest of the model without being named as an entrance. A layer beside another must
    lead to an output within its part.
    """
    own = {layer.at for layer in linear}
    rest = [unit for i, unit in enumerate(modules) if i not in own]
    fed, ending = _fed(linear, rest), _ending(linear, rest)
    by_wide, by_out = _by_width(linear)
    inside = _inside(linear)

    def belongs(layer: Linear, other: Linear) -> bool:
        if _same_part(layer, other) and (_feeds(layer, other) or _feeds(other, layer)):
            return True
        plain = layer.at not in inside and (layer.at in fed or (layer.named_head and other.named_head))
        return (plain and _feeds(layer, other)) or (layer.wide == other.wide and layer.at in ending)

    found, open_ends = {layer.at for layer in start}, list(start)
    while open_ends:
        other = open_ends.pop()
        near = {x.at: x for x in (*by_wide[other.wide], *by_wide[other.out], *by_out[other.wide]) if x.at not in found}
        more = [layer for layer in near.values() if belongs(layer, other)]
        found |= {layer.at for layer in more}
        open_ends += more
    return [layer for layer in linear if layer.at in found]


def _by_width(linear: Sequence[Linear]) -> tuple[dict[int, Chain], dict[int, Chain]]:
    by_wide: dict[int, Chain] = defaultdict(list)
    by_out: dict[int, Chain] = defaultdict(list)
    for layer in linear:
        by_wide[layer.wide].append(layer)
        by_out[layer.out].append(layer)
    return by_wide, by_out


def _inside(linear: Sequence[Linear]) -> set[int]:
    """The places of layers that feed another one of their part."""
    parts: dict[tuple[str, int], Chain] = defaultdict(list)
    for layer in linear:
        if layer.parent:
            parts[layer.parent, layer.wide].append(layer)
    return {x.at for x in linear if any(_feeds(x, other) for other in parts.get((x.parent, x.out), ()))}


def _same_part(layer: Linear, other: Linear) -> bool:
    return layer.parent != "" and layer.parent == other.parent


def _feeds(layer: Linear, other: Linear) -> bool:
    """Whether the widths fit, for two layers; two that could feed each other and change the width do not."""
    return layer.at != other.at and layer.out == other.wide and (other.out != layer.wide or layer.wide == layer.out)


def _fed(linear: Sequence[Linear], rest: Sequence[Unit]) -> set[int]:
    """The places of layers that take what the rest gives, perhaps through others; none that is named as an entrance."""
    able = [layer for layer in linear if not layer.named_input]
    widths = {wide for wide in {layer.wide for layer in able} if fed_by(rest, wide)}
    while more := {layer.out for layer in able if layer.wide in widths} - widths:
        widths |= more
    return {layer.at for layer in able if layer.wide in widths}


def _ending(linear: Sequence[Linear], rest: Sequence[Unit]) -> set[int]:
    """The places of layers that give, perhaps through others of their part, a width that nothing else has."""
    outside = set.union(*given_and_taken(rest), {layer.wide for layer in linear})
    found = {layer.at for layer in linear if layer.out not in outside}
    leading = {(layer.parent, layer.wide) for layer in linear if layer.at in found and layer.parent}
    while more := [x for x in linear if x.at not in found and (x.parent, x.out) in leading]:
        found |= {layer.at for layer in more}
        leading |= {(layer.parent, layer.wide) for layer in more}
    return found
