"""Prints how far padded networks' maps agree with their crops before and after a head, on pictures that it was not fitted on.

    FULLCONV_TEST_DATA=... python -m benchmarks.adapt --fit FOLDER --held-out FOLDER [--crops 1000] [--tried]

The last network is a small ResNet that is trained here, on textures whose classes are known, so that its accuracy is told too.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter

from benchmarks.adapt.measured import Ground, inside, itself, scores
from benchmarks.adapt.networks import networks, pictures
from benchmarks.adapt.norms import norms_set_anew
from benchmarks.adapt.textures import accuracy, model_of, scene, trained
from benchmarks.adapt.tried import before_activation, blocks_of, border_of_its_own, kriged
from fullconv.trust.bench import cores, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", help="folder of pictures to fit on")
    parser.add_argument("--held-out", help="folder of other pictures")
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--tried", action="store_true", help="print what else was tried, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}, {cores()} threads\n")
    print(
        f"{'network':24} {'map':>6} {'after':>6} {'KL':>6} {'after':>6} {'itself':>7} {'own cells':>14} {'step':18} {'seconds':>7}"
    )
    if options.fit and options.held_out:
        for name, model, preprocess in networks():
            row(name, model, preprocess, pictures(options.fit), pictures(options.held_out), options)
    start = perf_counter()
    model = model_of(trained())
    seconds = perf_counter() - start
    fit, held_out = [scene(i)[0] for i in range(4)], [scene(i) for i in range(10, 14)]
    adapted = row("ResNet-8 (textures)", model, "unit", fit, [picture for picture, _ in held_out], options)
    right = [accuracy(model, held_out, "crops"), accuracy(model, held_out), accuracy(adapted, held_out)]
    print(
        f"\nResNet-8, trained in {seconds:.0f} s: right in crops {right[0]:.1%}, map {right[1]:.1%}, adapted {right[2]:.1%}"
    )


def row(name, model, preprocess, fit, held_out, options):
    """A line of the table; the adapted network."""
    ground = Ground.of(model, preprocess, fit[0])
    start = perf_counter()
    sample = ground.drawn(fit, options.crops)
    fitted, _, rung = ground.fitted(sample)
    seconds = perf_counter() - start
    whole = ground.drawn(held_out, options.crops, seed=1)
    test = inside(whole)
    (before, kl), (after, kl_after) = scores(test, ground.moved(test, None)), scores(test, ground.moved(test, fitted))
    own = blocks_of(ground, whole)
    print(
        f"{name:24} {before:6.1%} {after:6.1%} {kl:6.3f} {kl_after:6.3f} {itself(test):7.1%} {own[0]:6.1%} {own[1]:7.1%} {rung.name:18} {seconds:7.1f}",
        flush=True,
    )
    if options.tried:
        print("   near borders:", {k: f"{v:.1%}" for k, v in border_of_its_own(ground, sample, whole).items()})
        print("   residuals:   ", {k: f"{v:.1%}" for k, v in kriged(ground, whole).items()}, flush=True)
        both = {
            "activation": before_activation(ground, fit, held_out, options.crops),
            "norms": norms_set_anew(ground, fit, sample, held_out, whole, preprocess),
        }
        for what, found in both.items():
            print(f"   {what + ':':13}", {k: f"{a:.1%}, KL {kl:.3f}" for k, (a, kl) in found.items()}, flush=True)
    return model if fitted is None else model.adapted(fitted)


if __name__ == "__main__":
    main()
