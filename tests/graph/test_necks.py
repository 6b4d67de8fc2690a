"""Where a network can be cut: values through which all paths go."""

from __future__ import annotations

import torch
from torch import nn

from fullconv.graph.necks import between, necks
from fullconv.loading import load
from fullconv.runtimes.between import lowered_between, multiplications


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.last, self.fc = nn.Conv2d(4, 6, 3, 1, 1), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.b(torch.relu(self.a(x)))
        return self.fc(self.last(x).mean((2, 3)))


def test_necks_are_not_inside_a_branch() -> None:
    full = load(Residual().eval(), input_shape=(3, 16, 16), check=False).cast()
    graph, output, image = full.graph, full.output(), full.graph.image
    found = necks(graph, output)
    made = {value: node for node in graph.nodes for value in node.outputs}
    assert [made[value].name for value in found][:2] == ["stem", "add"]
    assert "last" in [made[v].name for v in found]
    assert not {"a", "b"} & {made[value].name for value in found}
    block = between(graph, found[0], found[1])
    assert block.image == found[0]
    assert block.outputs == (found[1],)
    assert {node.name for node in block.nodes} == {"a", "relu", "b", "add"}

    lowered = full.lowered({image: graph.values[image].shape})
    part = lowered_between(lowered, found[0], found[1], (1, 4, 10, 12))
    assert part is not None
    assert multiplications(part) == 2 * 10 * 12 * 4 * 4 * 9
    inside = made[found[1]].inputs[1]
    assert lowered_between(lowered, inside, found[1], (1, 4, 10, 12)) is None, "it reads the shortcut too"
