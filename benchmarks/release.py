"""Are weights fit to be shipped, and what hangs on them? They are checked, and then every result is made anew.

    python benchmarks/release.py weights.safetensors --name light --data photos/ --kodak kodak/
    python benchmarks/release.py weights.safetensors --name light --data photos/ --kodak kodak/ --quick

`--quick` is for previews: held-out check, map of qualities, card. Weights that the check refuses (`shared/judge.py`)
go no further. `benchmarks/results/release.json` says for every step which model's id it was done for; stopped, the
program goes on where it was. `--list` names the steps.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from shared import calibration, judge
from shared.held_out import calibration_photographs, held_out_parts
from shared.options import SETTINGS, data_option, effort_option
from shared.places import BASELINES, PRETRAINED, RESULTS, ROOT
from shared.results import Store, say

HELD_OUT = RESULTS / "held-out.json"
"""AVIF, JPEG XL and every model that was ever judged, on the same pictures; to be committed."""


@dataclass(frozen=True)
class Release:
    """What a release is made of, and where.

    Attributes:
        weights: the model file.
        name: what it will be called.
        model_id: in hexadecimal.
        against: the model file that it has to be better than.
        data: training pictures, for those that are held out and for tables.
        kodak: the folder of Kodak's pictures.
        effort: for the map of qualities.
        folder: for what is not committed.
    """

    weights: Path
    name: str
    model_id: str
    against: Path
    data: tuple[Path, ...]
    kodak: Path
    effort: int
    folder: Path

    @property
    def installed(self) -> Path:
        """Where the weights are shipped from."""
        return PRETRAINED / f"{self.name}.safetensors"

    def result(self, name: str) -> Path:
        """A committed result, without suffix; those of the default model have no name of a model in theirs."""
        from vaecodec.format.catalog import DEFAULT_MODEL

        return RESULTS / (name if self.name == DEFAULT_MODEL else f"{name}-{self.name}")


@dataclass(frozen=True)
class Step:
    """One thing that hangs on weights.

    Attributes:
        name: for people.
        work: a function of the release, or the arguments of a command.
        output: what it makes; the step is done again where that is missing.
        quick: it belongs to a preview too.
    """

    name: str
    work: Callable[[Release], None] | list[str]
    output: Path
    quick: bool = False

    @property
    def shown(self) -> str:
        """The command, or the function's name."""
        return shlex.join(self.work) if isinstance(self.work, list) else self.work.__name__


# --- steps that are no programs of their own -------------------------------------------------------------------------


def refuse_for(reasons: list[str]) -> None:
    """Says why weights go no further, and ends; does nothing without a reason."""
    for reason in reasons:
        say(f"refused: {reason}")
    if reasons:
        raise SystemExit(1)


def held_out_check(release: Release) -> None:
    """Refuses weights that are no better by two of three measures, or shift colours."""
    photographs, graphics = held_out_parts(release.data)
    kinds = {"photographs": photographs} | ({"graphics": graphics} if graphics else {})
    text, reasons = judge.held_out_verdict(Store(HELD_OUT), release.folder, release.against, release.weights, kinds)
    text = f"Model {release.model_id} against {release.against.stem}. {text}"
    (release.folder / ("refused.md" if reasons else "held-out.md")).write_text(text, encoding="utf-8")
    click.echo(text)
    refuse_for(reasons)


def posterior_check(release: Release) -> None:
    """Refuses weights whose bits-back costs more over rounding than that of the shipped ones."""
    photographs = held_out_parts(release.data)[0]
    refuse_for(judge.posterior_verdict(release.folder, release.against, release.weights, photographs))


def quality_map(release: Release) -> None:
    """Measures the map of qualities, and writes its knots."""
    from vaecodec.codec.codec import Codec

    store = Store(release.folder / "quality-map.json")
    shares = calibration.SHARES.split(",")
    photographs = calibration_photographs(release.data)
    result = calibration.calibrate(store, Codec(release.weights), photographs, shares, release.effort)
    store.save(now=True)
    click.echo(calibration.report(result))


def install(release: Release) -> None:
    """Puts the weights where they are shipped from, with their map if they were trained for looks."""
    from vaecodec.networks.weights import load_model, write_quality_map

    if load_model(release.weights).config.distortion == "mse":  # its scale is even
        if release.weights.resolve() != release.installed.resolve():
            shutil.copyfile(release.weights, release.installed)
        return
    result = Store(release.folder / "quality-map.json").data["quality_map"]
    write_quality_map(release.weights, release.installed, calibration.scale_of(result))
    release.installed.chmod(0o644)  # safetensors writes for the owner only


# --- all steps -------------------------------------------------------------------------------------------------------


def steps(release: Release) -> list[Step]:
    """Everything that hangs on weights, in order."""
    model = ["-m", release.name]
    data = [word for source in release.data for word in ("--data", str(source))]
    kodak, out = str(release.kodak), release.result

    def program(name: str, title: str, *arguments: str, output: Path | None = None, quick: bool = False) -> Step:
        made = output or out(title).with_suffix(".md")
        given = [] if output else ["-o", str(out(title))]
        command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *arguments, *given]
        return Step(title, command, made, quick)

    evaluated, card = out("kodak-evaluate").with_suffix(".json"), PRETRAINED / f"{release.name}.md"
    evaluate = [sys.executable, "-m", "vaecodec", "evaluate", kodak, *model, "--json", str(evaluated), "-f"]
    curves = RESULTS / "kodak.json"
    factorised = BASELINES / f"factorised-{release.model_id}.safetensors"
    return [
        Step("held-out check", held_out_check, release.folder / "held-out.md", quick=True),
        Step("posterior check", posterior_check, release.folder / "bits-back-candidate.json"),
        Step("map of qualities", quality_map, release.folder / "quality-map.json", quick=True),
        Step("install", install, release.installed, quick=True),
        Step("figures of the card", evaluate, evaluated, quick=True),
        program("card", "card", release.name, str(evaluated), output=card, quick=True),
        program("fit_baselines", "factorised tables", "factorised", *data, *model, output=factorised),
        program("rate_distortion", "kodak", kodak, "-o", str(RESULTS / "kodak"), output=curves),
        program("looks_plot", "figure", str(curves), "-o", str(RESULTS / "looks.png"), output=RESULTS / "looks.png"),
        program("card", "card, with Kodak", release.name, str(evaluated), "--kodak", str(curves), output=card),
        program("ablations", "ablations", kodak, *model),
        program("honesty", "honesty", kodak, *model),
        program("targets", "targets", kodak, "-e", "0", *model),
        program("bits_back", "bits-back", kodak, *model),
        program("bits_back", "bits-back-128", kodak, "--crop", "128", *model),
        program("inference", "inference", kodak, "--every", "4", "--efforts", "3,4,9", *model),
        program("symbol_choice", "symbol_choice", *data, *model),
        program("graphics", "graphics", *model),
        program("exactness", "exactness", *model),
    ]


def run_step(step: Step, release: Release, done: Store) -> None:
    """Does a step, unless it was done for these weights and what it made is there."""
    stamp = {"model_id": release.model_id, "effort": release.effort}
    kept = done.data.get(step.name, {})
    if all(kept.get(key) == value for key, value in stamp.items()) and step.output.exists():
        say(f"{step.name}: done before")
        return
    say(f"{step.name}: {step.shown}")
    start = time.monotonic()
    if isinstance(step.work, list):
        if subprocess.run(step.work, cwd=ROOT).returncode:
            raise click.ClickException(f"{step.name} failed; what was done is kept")
    else:
        step.work(release)
    done.data[step.name] = stamp | {"seconds": round(time.monotonic() - start)}
    done.save(now=True)


@click.command(context_settings=SETTINGS)
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", default="light", show_default=True, help="Name under which they will be shipped.")
@click.option("--against", help="Model that they have to be better than; the shipped one of that name by default.")
@data_option
@click.option("--kodak", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@effort_option
@click.option("--quick", is_flag=True, help="Only what a preview needs.")
@click.option("--list", "only_list", is_flag=True, help="Name the steps, and do none.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "build" / "release")
def main(
    weights: Path,
    name: str,
    against: str | None,
    data: tuple[Path, ...],
    kodak: Path,
    effort: int,
    quick: bool,
    only_list: bool,
    folder: Path,
) -> None:
    """Take WEIGHTS, a model file, to everything that hangs on them."""
    from vaecodec.format.catalog import model_path, read_model_info

    model_id = read_model_info(weights).model_id.hex()
    folder /= model_id
    folder.mkdir(parents=True, exist_ok=True)
    sources = tuple(path.resolve() for path in data)
    release = Release(
        weights.resolve(), name, model_id, model_path(against or name), sources, kodak.resolve(), effort, folder
    )
    done = Store(release.result("release").with_suffix(".json"))
    for step in steps(release):
        if quick and not step.quick:
            continue
        if only_list:
            click.echo(f"{step.name:20} {step.shown}  → {step.output}")
        else:
            run_step(step, release, done)


if __name__ == "__main__":
    main()
