"""Train the packaged demo network and draw its page.

    python tools/train_demo.py            the network, its page, and what it reads
    python tools/train_demo.py --padded   a second network that pads, as those of today do

Needs torch and scikit-learn (``pip install -e '.[train]'``). Writes into src/fullconv/data: digits.prototxt and
digits.caffemodel (Caffe format), labels.txt, page.png with page.json (what is where), and metrics.json (accuracy
on held-out digits); or padded.onnx and padded.json. Everything is drawn from one seed.

The digits are scikit-learn's copy of the UCI handwritten digits (1,797 scans of 8×8, 43 writers; E. Alpaydin and
C. Kaynak, 1998, CC BY 4.0). The first 1,297 train, the last 500 are held out; the page is drawn from those alone.
A digit is laid in ink on paper at three times its size. The network sees 32×32 pixels: a digit counts as
there within 3 px of the middle, as "nothing here" from 9 px on, and in between neither is taught.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from fullconv.demonstration import THRESHOLD, count, find_digits
from fullconv.formats.caffe.network import build_network
from fullconv.formats.caffe.text import parse_prototxt
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer
from fullconv.formats.caffe.write import write_network
from fullconv.loading import load
from fullconv.maps.mapping import map_image

SEED = 7
CROP, DIGIT = 32, 24
HELD_OUT = 500
NOTHING = 10
OUT = Path(__file__).parents[1] / "src" / "fullconv" / "data"

PROTOTXT = """name: "digits"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 32 dim: 32 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 24 kernel_size: 5 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 48 kernel_size: 5 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 96 } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 11 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""


def paper(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paper of 0..255: a tint, slow shading, fibre and grain."""
    tint = rng.uniform(205, 245)
    slow = rng.normal(size=(max(2, height // 48 + 2), max(2, width // 48 + 2)))
    fibre = rng.normal(size=(height // 3 + 2, width // 3 + 2))
    shade = sum(
        amount * np.asarray(Image.fromarray(layer.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
        for layer, amount in ((slow, 7.0), (fibre, 3.0))
    )
    return np.clip(tint + shade + rng.normal(size=(height, width)) * 3.0, 0, 255)


def ink(rng: np.random.Generator, scan: np.ndarray) -> np.ndarray:
    """A scan (8×8, 0..16) as a soft mask of 0..1, about 24 px large, a little turned and scaled."""
    large = Image.fromarray((scan * (255 / 16)).astype(np.float32))
    side = round(DIGIT * rng.uniform(0.88, 1.12))
    large = large.resize((side, side), Image.Resampling.BICUBIC)
    large = large.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC, expand=False)
    mask = np.clip(np.asarray(large) / 255, 0, 1)
    return np.clip((mask - 0.15) / 0.6, 0, 1) * rng.uniform(0.75, 1.0)


def lay(page: np.ndarray, mask: np.ndarray, x: float, y: float, darkness: float) -> None:
    """Ink a mask onto the page around (x, y), cut at the edges."""
    top, left = round(y - mask.shape[0] / 2), round(x - mask.shape[1] / 2)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + mask.shape[0], page.shape[0]), min(left + mask.shape[1], page.shape[1])
    if y1 > y0 and x1 > x0:
        part = mask[y0 - top : y1 - top, x0 - left : x1 - left]
        page[y0:y1, x0:x1] *= 1 - part * darkness


def crop(rng: np.random.Generator, scans: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """One training crop and its class."""
    page, darkness, middle = paper(rng, CROP, CROP), rng.uniform(0.55, 0.9), CROP / 2
    kind = rng.random()
    label = NOTHING
    if kind < 0.62:
        i = rng.integers(len(scans))
        lay(page, ink(rng, scans[i]), middle + rng.uniform(-3, 3), middle + rng.uniform(-3, 3), darkness)
        label = int(labels[i])
    elif kind < 0.9:
        i = rng.integers(len(scans))
        far, turn = rng.uniform(9, 24), rng.uniform(0, 2 * np.pi)
        lay(page, ink(rng, scans[i]), middle + far * np.cos(turn), middle + far * np.sin(turn), darkness)
    if rng.random() < 0.35:  # a neighbour that reaches in
        i = rng.integers(len(scans))
        far, turn = rng.uniform(25, 34), rng.uniform(0, 2 * np.pi)
        lay(page, ink(rng, scans[i]), middle + far * np.cos(turn), middle + far * np.sin(turn), darkness)
    return page, label


def draw_page(
    rng: np.random.Generator, scans: np.ndarray, labels: np.ndarray, height: int, width: int, count: int
) -> tuple[Image.Image, list[dict]]:
    """A page of digits at random places, no two nearer than 34 px, and what is where."""
    page, darkness = paper(rng, height, width), rng.uniform(0.65, 0.85)
    order = rng.permutation(len(scans))
    truth: list[dict] = []
    for i in order[:count]:
        for _ in range(1000):
            x, y = rng.uniform(20, width - 20), rng.uniform(20, height - 20)
            if all(max(abs(x - t["x"]), abs(y - t["y"])) >= 34 for t in truth):
                break
        else:
            raise RuntimeError("the page is too full; draw fewer digits")
        lay(page, ink(rng, scans[i]), x, y, darkness)
        truth.append({"label": str(labels[i]), "x": round(float(x), 1), "y": round(float(y), 1)})
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8)), truth


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 24, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 48, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(1200, 96), nn.ReLU(), nn.Dropout(0.4), nn.Linear(96, 11),
    )  # fmt: skip


def padded_network() -> nn.Sequential:
    """Windows of 3 that pad with zeros, and a mean over the crop at the end."""
    steps = ((1, 16, 1), (16, 24, 2), (24, 32, 1), (32, 48, 2), (48, 64, 1))
    layers = [part for few, many, step in steps for part in (nn.Conv2d(few, many, 3, step, 1), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 11))


def batch_of(
    rng: np.random.Generator, scans: np.ndarray, labels: np.ndarray, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    pages, classes = zip(*(crop(rng, scans, labels) for _ in range(size)), strict=True)
    return torch.tensor(np.stack(pages)[:, None] / 255, dtype=torch.float32), torch.tensor(classes)


def train(
    make: Callable[[], nn.Sequential], scans: np.ndarray, labels: np.ndarray, epochs: int = 60, size: int = 8000
) -> nn.Sequential:
    torch.manual_seed(SEED)
    rng, net = np.random.default_rng(SEED), make()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * (size // 100))
    for epoch in range(epochs):
        images, classes = batch_of(rng, scans, labels, size)
        total = 0.0
        for i in range(0, size, 100):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(images[i : i + 100]), classes[i : i + 100])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / (size // 100):.4f}", flush=True)
    return net.eval()


def write_caffe(net: nn.Sequential) -> None:
    layers = dict(
        zip(("conv1", "conv2", "ip1", "ip2"), (m for m in net if isinstance(m, nn.Conv2d | nn.Linear)), strict=True)
    )
    saved = []
    for name, module in layers.items():
        arrays = [p.detach().numpy() for p in (module.weight, module.bias)]
        saved.append(SavedLayer(name, tuple(SavedBlob(a.reshape(-1), a.shape) for a in arrays)))
    caffe = build_network(parse_prototxt(PROTOTXT), "digits.prototxt", saved)
    write_network(caffe, OUT / "digits.prototxt", OUT / "digits.caffemodel")
    (OUT / "digits.prototxt").write_text(PROTOTXT, encoding="utf-8")


def over_pages(scans: np.ndarray, labels: np.ndarray, pages: int = 30) -> dict[str, float]:
    """What the written network reads on other pages than the packaged one, at the demo's threshold."""
    model = load(OUT / "digits.prototxt", OUT / "digits.caffemodel")
    digits = right = false = finds = 0
    for seed in range(pages):
        page, truth = draw_page(np.random.default_rng(1000 + seed), scans, labels, 480, 720, 90)
        found = find_digits(map_image(model, page, preprocess="unit", labels=OUT / "labels.txt"))
        _, read, wrong = count(found, truth)
        digits, right, false, finds = digits + len(truth), right + read, false + wrong, finds + len(found)
    return {
        "pages": pages,
        "threshold": THRESHOLD,
        "found_and_right": round(right / digits, 4),
        "false_finds": round(false / finds, 4),
    }


def state_size(path: Path) -> None:
    """The size that it was trained on, as exporters state it: a PyTorch network leaves it open."""
    message = onnx.load(path)
    for axis in (2, 3):
        message.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = CROP
    del message.graph.value_info[:]  # of open sizes
    onnx.save(message, path)


def accuracy(net: nn.Sequential, scans: np.ndarray, labels: np.ndarray) -> float:
    """On crops of the digits that are held out."""
    rng = np.random.default_rng(SEED + 1)
    images, classes = batch_of(rng, scans[-HELD_OUT:], labels[-HELD_OUT:], 5000)
    with torch.no_grad():
        return float((net(images).argmax(1) == classes).float().mean())


def main() -> None:
    digits = load_digits()
    scans, labels = digits.images, digits.target
    OUT.mkdir(exist_ok=True)
    if "--padded" in sys.argv[1:]:
        padded = train(padded_network, scans[:-HELD_OUT], labels[:-HELD_OUT], epochs=20)
        whole = nn.Sequential(*padded, nn.Softmax(1)).eval()
        load(whole, input_shape=(1, CROP, CROP)).save(OUT / "padded.onnx", overwrite=True)
        state_size(OUT / "padded.onnx")
        found = {"seed": SEED, "held_out_crops": 5000, "accuracy": round(accuracy(padded, scans, labels), 4)}
        (OUT / "padded.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(found)
        return
    net = train(network, scans[:-HELD_OUT], labels[:-HELD_OUT])
    right = accuracy(net, scans, labels)
    write_caffe(net)
    (OUT / "labels.txt").write_text("\n".join([*map(str, range(10)), "nothing here"]) + "\n", encoding="utf-8")
    page, truth = draw_page(np.random.default_rng(SEED + 2), scans[-HELD_OUT:], labels[-HELD_OUT:], 640, 960, 160)
    page.save(OUT / "page.png", optimize=True)
    (OUT / "page.json").write_text(json.dumps({"digits": truth}, indent=1) + "\n", encoding="utf-8")
    metrics = {
        "seed": SEED,
        "held_out_digits": HELD_OUT,
        "held_out_crops": 5000,
        "accuracy": round(right, 4),
        "pages": over_pages(scans[-HELD_OUT:], labels[-HELD_OUT:]),
    }
    (OUT / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(metrics)


if __name__ == "__main__":
    main()
