"""What pages are made of: whatever a name is, it is text, and a page may load and run nothing."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from PIL import Image

from fullconv.reports.html import Html, Sections, facts, joined, name, page, table, tag, text
from fullconv.reports.pictures import Pictures, encoded
from tests.reports.pages import read

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>", "' onload='x", "&lt;b&gt;", "\u202egniht\u2066", "a\0b\x1bc", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("label", HOSTILE)
def test_a_name_is_text_wherever_it_stands(label: str) -> None:
    sections = Sections()
    sections.add(
        label,
        facts({label: label}),
        table((label, label), [(name(label), label)], label),
        tag("img", alt=label, src=label),
    )
    made = page(label, label, sections, [label])
    made.encode("utf-8")
    found = read(made)
    kinds = {each.kind for each in found.every()}
    assert not kinds & {"script", "b", "i", "iframe", "object"}
    names = {key for each in found.every() for key in each.attributes}
    assert not {key for key in names if key.startswith("on") or key == "style"}
    shown = str(text(label))
    assert not set(shown) & set("\0\x1b\u202e\u2066\ud800")
    plain = "".join(c if c not in "\0\x1b\u202e\u2066\ud800" else "\ufffd" for c in label)
    assert found.all("h2")[0].text == plain
    assert found.all("img")[0].attributes["alt"] == plain


def test_only_what_was_made_here_is_markup() -> None:
    assert joined(["<b>", tag("p", "<i>"), None, Html("<br>")]) == "&lt;b&gt;<p>&lt;i&gt;</p><br>"
    assert (
        tag("td", "x", class_="number", aria_label='"', hidden=True, title=None)
        == '<td class="number" aria-label="&quot;" hidden>x</td>'
    )


def test_a_page_allows_its_own_style_alone() -> None:
    made = page("t", "s", [])
    style = made.partition("<style>")[2].partition("</style>")[0]
    rules = next(each.attributes["content"] for each in read(made).all("meta") if "http-equiv" in each.attributes)
    own = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert rules == f"default-src 'none'; img-src data:; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style


def test_pictures_keep_to_their_bytes() -> None:
    noise = Image.effect_noise((900, 700), 90).convert("RGB")
    kind, data = encoded(noise, 40_000) or ("", b"")
    assert kind in ("webp", "jpeg")
    assert 10_000 < len(data) <= 40_000
    assert (encoded(Image.new("RGB", (20, 20)), 4000) or ("",))[0] == "png"
    pictures = Pictures(100_000)
    made = [pictures.uri(noise, 30_000) for _ in range(8)]
    assert made[0] is not None
    assert made[-1] is None
    assert sum(len(base64.b64decode(each.partition(",")[2])) for each in made if each) <= 100_000
