"""9 and 10: style and content, and features where few pictures have labels."""

from __future__ import annotations

import numpy as np
import torch

from shared.lecture.bench import TEST, Bench, means
from vaecodec.baselines.pca import principal_axes
from vaecodec.digits import CLASSES, weights
from vaecodec.digits.model import PIXELS, DigitsConfig, DigitsVAE
from vaecodec.digits.studies import features, uses


def quadratic(z: torch.Tensor) -> torch.Tensor:
    """Latents and their products, for a probe that is not only linear."""
    i, j = torch.triu_indices(z.shape[1], z.shape[1])
    return torch.cat((z, z[:, i] * z[:, j]), 1)


def style_and_content(bench: Bench) -> dict:
    """9: generated digits are recognised at the asked label; style and content separate."""
    judge = features.train_classifier(bench.train)
    labels = bench.labels(bench.test)
    conditional, count = weights.load("digits").model(), 500
    made = [uses.sample(conditional, count, label, seed=label) for label in range(CLASSES)]
    asked = torch.arange(CLASSES).repeat_interleave(count)
    found = judge(features.inputs(np.concatenate(made) * 255)).argmax(1)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.long)
    confusion.index_put_((asked, found), torch.ones(len(asked), dtype=torch.long), accumulate=True)
    by_bound = uses.recognise(conditional, bench.test.images[:TEST])
    result: dict = {
        "judge_accuracy": features.accuracy(judge, features.inputs(bench.test.images), labels),
        "recognised": float((found == asked).double().mean()), "confusion": confusion.tolist(), "probe": {},
        "recognised_by_bound": float((by_bound == bench.test.labels[:TEST]).mean()),
    }  # fmt: skip
    known = bench.labels(bench.train)
    pairs = {
        "labels given": (means(conditional, bench.train.images, known), means(conditional, bench.test.images, labels)),
        "no labels": tuple(means(bench.model("vae", 8), part.images) for part in (bench.train, bench.test)),
    }
    for name, (a, b) in pairs.items():
        for probe, form in (("linear", lambda z: z), ("quadratic", quadratic)):
            x, y = features.standardise(form(a), form(b))
            model = features.linear_classifier(x, known)
            result["probe"].setdefault(name, {})[probe] = features.accuracy(model, y, labels)
    return result


def few_labels(bench: Bench) -> dict:
    """10: features for a supervised task, and M2."""
    labels, test = bench.labels(bench.train), bench.labels(bench.test)
    flat = [part.images.reshape(-1, PIXELS) / np.float32(255) for part in (bench.train, bench.test)]
    mean, axes, _ = principal_axes(flat[0])
    latents = 32
    sets = {
        "raw pixels": flat,
        f"PCA, {latents}": [((x - mean) @ axes[:, :latents]).astype(np.float32) for x in flat],
        f"VAE, {latents}": [means(bench.model("vae", latents), part.images) for part in (bench.train, bench.test)],
    }
    counts = (100, 1000, len(labels))
    result: dict = {"labels": list(counts), "accuracy": {name: [] for name in sets}}
    for name, (a, b) in sets.items():
        for count in counts:
            found = []
            for seed in range(1 if count == len(labels) else 5):
                chosen = torch.from_numpy(features.few_labels(bench.train.labels, min(count, len(labels)), seed))
                chosen = torch.arange(len(labels)) if count == len(labels) else chosen
                x, y = features.standardise(torch.as_tensor(a)[chosen], torch.as_tensor(b))
                decay = 1.0 / len(chosen)
                found.append(features.accuracy(features.linear_classifier(x, labels[chosen], decay=decay), y, test))
            result["accuracy"][name].append(found)
    chosen = features.few_labels(bench.train.labels, 100)
    torch.manual_seed(0)
    vae = DigitsVAE(DigitsConfig("m2", 16, "bernoulli", labels=True, hidden=bench.hidden))
    m2 = features.M2(vae, weight=60.0)
    features.train_m2(m2, bench.train, chosen, epochs=bench.epochs / 2)
    result["m2"] = features.accuracy(m2.classifier, features.inputs(bench.test.images), test)
    return result
