"""Every attribute and input of every operator with a rule is marked; what nobody reckons with makes a node Opaque, by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.defs import OpSchema

from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Opaque, Pointwise
from fullconv.operators import OPERATORS, Operation, Operator, effect_of
from fullconv.operators.elementwise import elementwise

SCHEMAS = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.name in OPERATORS]
OURS = {"AdaptivePool", "ReduceOther", "ReduceOver", "ReduceVariance", "Select", "Stack"}  # words of our own
MAP = Axes.image((1, 4, 6, 7))


def test_every_record_is_an_operator_of_onnx_or_a_word_of_our_own() -> None:
    assert set(OPERATORS) - {schema.name for schema in SCHEMAS} == OURS
    assert all(record.kind == name for name, record in OPERATORS.items())


def test_every_attribute_and_input_of_every_version_is_marked() -> None:
    unmarked = []
    for schema in SCHEMAS:
        record = OPERATORS[schema.name]
        unmarked += [
            f"{schema.name}-{schema.since_version}: attribute {name}"
            for name in schema.attributes
            if record.attribute_mark(name) is None
        ]
        unmarked += [
            f"{schema.name}-{schema.since_version}: input {i} ({given.name})"
            for i, given in enumerate(schema.inputs)
            if record.input_mark(i) is None
        ]
        if any(given.option == OpSchema.FormalParameterOption.Variadic for given in schema.inputs):
            assert record.variadic, schema.name
    assert not unmarked


def test_no_record_marks_what_no_version_has() -> None:
    spelt = {"auto", "corners", "fixed", "repeats", "scales", "shape", "steps"}  # by PyTorch's operators
    old = {"consumed_inputs", "axis", "broadcast"}  # of operator sets that are not read, for a family as a whole
    for name in set(OPERATORS) - OURS:
        record = OPERATORS[name]
        known = {attribute for schema in SCHEMAS if schema.name == name for attribute in schema.attributes}
        assert {*record.read, *record.harmless, *record.refused} <= known | spelt | old, name


REFUSED = [
    ("BatchNormalization", {"training_mode": 1}),
    ("BatchNormalization", {"spatial": 0}),
    ("Resize", {"antialias": 1}),
    ("Resize", {"exclude_outside": 1}),
    ("Resize", {"keep_aspect_ratio_policy": "not_larger"}),
    ("Resize", {"axes": [2, 3]}),
    ("QuantizeLinear", {"block_size": 2}),
    ("ConvTranspose", {"output_shape": [12, 14]}),
    ("Relu", {"an attribute of tomorrow": 1}),
]


@pytest.mark.parametrize(("kind", "attributes"), REFUSED)
def test_an_attribute_that_no_rule_reads_makes_the_node_opaque_by_name(kind: str, attributes: dict) -> None:
    op = Operation(kind, ("x",), (MAP,), (MAP.shape,), attributes)
    effect = effect_of(op)
    assert isinstance(effect.touch, Opaque)
    assert next(iter(attributes)) in effect.touch.reason


@pytest.mark.parametrize("mode", ["stretch", b"stretch"])
def test_a_refused_attribute_with_its_default_is_as_if_it_were_left_out(mode: str | bytes) -> None:
    attributes = {
        "keep_aspect_ratio_policy": mode,
        "antialias": 0,
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    op = Operation("Resize", ("x",), (MAP,), ((1, 4, 12, 14),), attributes)
    assert not isinstance(effect_of(op).touch, Opaque)


def test_an_input_that_carries_data_where_a_constant_is_expected() -> None:
    op = Operation("Conv", ("x", "w"), (MAP, Axes.image((4, 4, 1, 1))), (MAP.shape,))
    touch = effect_of(op).touch
    assert isinstance(touch, Opaque)
    assert "w should be constant" in touch.reason


def test_what_a_rule_gives_must_be_the_shapes_that_were_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from fullconv.operators import table
    from fullconv.operators.operation import Effect

    wrong = Operator("Relu", lambda op: Effect(Pointwise(), (Axes.image((1, 4, 6, 8)),)))
    monkeypatch.setattr(table, "OPERATORS", {"Relu": wrong})
    touch = effect_of(Operation("Relu", ("x",), (MAP,), (MAP.shape,))).touch
    assert isinstance(touch, Opaque)
    assert "(1, 4, 6, 7)" in touch.reason
    assert "(1, 4, 6, 8)" in touch.reason


def test_an_output_that_a_rule_says_nothing_of_makes_the_node_opaque() -> None:
    shapes = (MAP.shape, (1, 4, 1, 1))
    op = Operation("LRN", ("x",), (MAP,), shapes, {"size": 3})
    assert isinstance(effect_of(op).touch, Opaque)


def test_dropout_that_drops_is_opaque() -> None:
    def touch(training: object) -> object:
        constants = {} if training is None else {"t": np.array(training)}
        return effect_of(Operation("Dropout", ("x", None, "t"), (MAP, None, None), (MAP.shape,), {}, constants)).touch

    assert touch(False) == Pointwise()
    assert isinstance(touch(True), Opaque)
    assert isinstance(touch(None), Opaque)


def test_records_are_checked_when_they_are_made() -> None:
    with pytest.raises(ValueError, match="marks"):
        Operator("Odd", elementwise, ("read",))
    with pytest.raises(ValueError, match="twice"):
        Operator("Odd", elementwise, read=frozenset({"axis"}), harmless=frozenset({"axis"}))
