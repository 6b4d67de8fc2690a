"""Sums of products by Einstein's notation that are layers: a dense layer, or one matrix for the channels of every position."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """Data times weights.

    Attributes:
        order: the weights' axes, those that are summed first, as they lie in the data, the new one last.
        summed: which axis of the data the matrix takes; None where it takes all behind the batch.
    """

    order: tuple[int, ...]
    summed: int | None


def product(equation: str, data_rank: int, weights_rank: int) -> Product | None:
    """What an equation of two operands is, data first; None where it is no such layer, or has an ellipsis or an axis twice."""
    terms, arrow, out = equation.replace(" ", "").partition("->")
    data, comma, weights = terms.partition(",")
    plain = arrow and comma and (data + weights + out).isalpha()
    if not plain or any(len(set(term)) != len(term) for term in (data, weights, out)):
        return None
    summed, new = [a for a in data if a in weights], [a for a in weights if a not in data]
    if len(new) != 1 or set(summed) & set(out) or (len(data), len(weights)) != (data_rank, weights_rank):
        return None
    order = tuple(weights.index(a) for a in (*summed, *new))
    if summed == list(data[1:]) and out == data[0] + new[0]:
        return Product(order, None)
    if len(summed) != 1 or out != data.replace(summed[0], new[0]):
        return None
    return Product(order, data.index(summed[0]))
