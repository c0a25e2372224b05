"""0: bounds of the shipped models, and of models of published sizes for pictures in black and white."""

from __future__ import annotations

import torch

from shared.lecture.bench import LN2, Bench
from shared.results import say
from vaecodec.digits import pack, train, weights
from vaecodec.digits.model import PIXELS, DigitsConfig, DigitsVAE
from vaecodec.digits.studies import inference

BINARISED = {
    "Townsend et al. 2019": (DigitsConfig("binarised-40", 40, "bernoulli", hidden=100), train.FitOptions(epochs=20)),
    "Burda et al. 2016": (
        DigitsConfig("binarised-50", 50, "bernoulli", hidden=200),
        train.FitOptions(epochs=140, batch=256, rate=1.5),
    ),
}
"""VAEs of about the size of published ones. Townsend et al. have one hidden layer on each side, not two."""


def shipped_models(bench: Bench) -> dict:
    """0: the bounds of the shipped models, and a real pack of the test part."""
    images, labels = torch.from_numpy(bench.test.images.copy()), bench.labels(bench.test)
    result: dict = {"pictures": len(images), "bounds": {}}
    torch.manual_seed(0)
    for name in ("lossless", "digits", "map"):
        model = weights.load(name).model()
        with torch.no_grad():
            parts = [model(x, y).total_bpp for x, y in zip(images.split(1000), labels.split(1000), strict=True)]
        bpp = float(torch.cat(parts).double().mean())
        result["bounds"][name] = (-bpp * PIXELS * LN2, bpp)
    stored = weights.load("lossless")
    data, account = pack.pack(bench.test.images, stored)
    identical = bool((pack.unpack(data, stored) == bench.test.images).all())
    result |= {"bytes": len(data), "bpp": 8 * len(data) / bench.test.images.size, "identical": identical}
    return result | {"bound_bpp": account.bound_bpp, "initial_bits": account.initial_bits}


def binarised(bench: Bench) -> dict:
    """0: bounds of pictures in black and white, by models of published sizes."""
    result = {}
    for source, (config, options) in BINARISED.items():
        say(f"training {config.name}")
        torch.manual_seed(0)
        folder = bench.runs / f"{config.name}-{options.epochs:g}"
        with torch.enable_grad():
            model = train.fit(DigitsVAE(config), bench.train, options, train.binarised, folder=folder)
        result[source] = {"latents": config.latents, "hidden": config.hidden, "epochs": options.epochs}
        result[source] |= binarised_bound(model, bench.images(len(bench.test)))
    return result


@torch.no_grad()
def binarised_bound(model: DigitsVAE, images: torch.Tensor, samples: int = 5000) -> dict:
    """F of all pictures, each binarised once, and what importance samples add to it on 250 of them."""
    torch.manual_seed(1)
    images = train.binarise(images)
    bound = float(torch.cat([inference.bound_nats(model, x, model.infer(x)) for x in images.split(1000)]).mean())
    gaps = []
    for x in images[:: max(1, len(images) // 250)].split(50):
        found = inference.importance_sampled(model, x, samples=samples)
        gaps.append(found.log_p - found.bound)
    gap = torch.cat(gaps)
    return {
        "pictures": len(images), "bound_nats": bound, "gap_pictures": len(gap), "gap_nats": float(gap.mean()),
        "gap_standard_error": float(gap.std() / len(gap) ** 0.5), "samples": samples,
    }  # fmt: skip
