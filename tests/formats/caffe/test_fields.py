"""Every field of Caffe's schema is accounted for."""

from __future__ import annotations

import pytest

from fullconv.errors import CannotRun
from fullconv.formats.caffe.layers.fields import FIELDS
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from tests import helpers as h

MESSAGES = {
    descriptor.message_type.name: descriptor.message_type
    for descriptor in pb.LayerParameter.DESCRIPTOR.fields
    if descriptor.message_type is not None and descriptor.name.endswith("_param")
} | {"LayerParameter": pb.LayerParameter.DESCRIPTOR, "ParamSpec": pb.ParamSpec.DESCRIPTOR}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_field_is_read_or_harmless_or_refused(name: str) -> None:
    known = FIELDS[name]
    marked = [*known.read, *known.harmless, *known.refused]
    assert sorted(marked) == sorted(field.name for field in MESSAGES[name].fields)


def test_no_table_outlives_its_message() -> None:
    assert set(FIELDS) == set(MESSAGES)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ('python_param { module: "m" }', "module"),
        ("recurrent_param { num_output: 3 }", "num_output"),
        ('hdf5_output_param { file_name: "x" }', "file_name"),
    ],
)
def test_a_refused_field_is_named(extra: str, named: str) -> None:
    with pytest.raises(CannotRun, match=f"x: its .* sets {named}"):
        h.graph(h.data(1, 2, 8, 8) + h.layer("x", "ReLU", "data", "x", extra))


@pytest.mark.parametrize(
    ("kind", "param", "refused"),
    [
        ("Dropout", "", True),
        ("BatchNorm", "", True),
        ("BatchNorm", "batch_norm_param { use_global_stats: true }", False),
        ("ReLU", "", False),
    ],
)
def test_a_layer_that_is_set_to_training(kind: str, param: str, refused: bool) -> None:
    text = h.data(1, 2, 8, 8) + h.layer("x", kind, "data", "x", f"phase: TRAIN {param}")
    if not refused:
        assert h.graph(text).outputs == ("x",)
        return
    with pytest.raises(CannotRun, match="training phase"):
        h.graph(text)
