"""Names of classes in every way in which people write them down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fullconv.errors import BadInput, MissingExtra
from fullconv.maps import labelfiles
from fullconv.maps.labels import read_labels

NAMES = ["tumour", "stroma, loose", "fat"]
FILES = {
    "a.txt": "tumour\nstroma, loose\nfat\n\n",
    "bom.txt": "\ufefftumour\r\nstroma, loose\r\nfat\r\n",
    "list.json": json.dumps(NAMES),
    "numbers.json": json.dumps({"1": NAMES[1], "0": NAMES[0], "2": NAMES[2]}),
    "names.json": json.dumps({NAMES[2]: 2, NAMES[0]: 0, NAMES[1]: 1}),
    "face.json": json.dumps({"architectures": ["X"], "id2label": {"0": NAMES[0], "1": NAMES[1], "2": NAMES[2]}}),
    "label2id.json": json.dumps({"label2id": {NAMES[1]: 1, NAMES[0]: 0, NAMES[2]: 2}}),
    "keras.json": json.dumps({str(i): [f"n0000000{i}", name] for i, name in enumerate(NAMES)}),
    "wsinfer.json": json.dumps({"num_classes": 3, "class_names": NAMES}),
    "one.csv": 'tumour\n"stroma, loose"\nfat\n',
    "two.csv": '2,fat\n0,tumour\n1,"stroma, loose"\n',
    "turned.csv": 'fat,2\ntumour,0\n"stroma, loose",1\n',
    "titles.csv": 'name,colour,index\nfat,#fff,2\ntumour,#f00,0\n"stroma, loose",#0f0,1\n',
    "class.csv": 'class,name\n2,fat\n0,tumour\n1,"stroma, loose"\n',
    "only.csv": 'label\ntumour\n"stroma, loose"\nfat\n',
    "tabs.tsv": "id\tname\n1\tstroma, loose\n0\ttumour\n2\tfat\n",
}
WRONG = {
    "from1.csv": ("1,a\n2,b\n3,c\n", "numbers its classes from 1 on"),
    "twice.csv": ("0,a\n1,b\n1,c\n", "class 2 is there twice"),
    "gap.json": (json.dumps({"0": "a", "2": "b", "3": "c"}), "class 1 is not there"),
    "neither.json": (json.dumps({"a": "b"}), "which class is which is not known"),
    "empty.csv": ("\n", "holds no labels"),
    "number.csv": ("index,name\nx,a\n1,b\n", "'x' is no number of a class"),
    "short.csv": ("index,name\n0\n1,b\n", "has too few columns"),
    "bad.json": ("{", "not valid JSON"),
    "deep.json": (json.dumps([["a"]]), "is no name of a class"),
    "some.txt": ("a\nb\n", "holds 2 labels, the network has 3 classes"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_gives_the_same_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8", newline="")
    assert read_labels(tmp_path / name, 3) == tuple(NAMES)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    text, words = WRONG[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words) as told:
        read_labels(tmp_path / name, 3)
    assert name in str(told.value)


def test_lists_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_labels("imagenet1k", 1000)
    assert found[0] == "tench, Tinca tinca"
    assert len(set(found)) > 990
    assert len(labelfiles.labels_in("imagenet21k")) > 20_000
    monkeypatch.setattr(labelfiles, "find_spec", lambda name: None if name == "timm" else object())
    assert read_labels("imagenet1k", 1000)[0] == "tench"
    with pytest.raises(MissingExtra, match="pip install timm"):
        labelfiles.labels_in("imagenet21k")


def test_ids_of_wordnet_get_their_names(tmp_path: Path) -> None:
    (tmp_path / "synsets.txt").write_text("n01440764\nn02084071\n")
    assert read_labels(tmp_path / "synsets.txt", 2) == (
        "n01440764 tench, Tinca tinca",
        "n02084071 dog, domestic dog, Canis familiaris",
    )
