"""What does each share of the faithful model cost or gain, on clean and on damaged pictures?

Four photographs, reduced to a quarter (bicubic), left clean or damaged by noise or JPEG, and
enlarged four times with fidelity 0, ¼, ½, ¾, 1 and the automatic default; bicubic for
comparison. PSNR-Y against the original by the papers' protocol (8 bits, BT.601, 4 pixels cut
from each border), and sharpness: variance of the Laplacian relative to bicubic's of the
same input. The default fidelity and damage.py rest on these figures.

PSNR rewards blur: a picture can look better and score lower. So the default is judged by
both. Goals: on clean pictures the default of `general` scores above bicubic on all four
photographs and is at least 1.3 times as sharp.

Floor: none for quality; the time is that of about 30 small pictures per setting.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from statistics import mean

import numpy as np
from PIL import Image

from bench.pictures import PHOTOS, Picture, photo
from bench.report import Goal, Report, Table, program, say
from bench.timing import private_folder, settings
from superres.models import list_models
from superres.pipeline import UpscaleOptions, Upscaler
from superres.pipeline.damage import adapted_fidelity
from tests.pictures.measures import cropped, enlarged, psnr_y, reduced, sharpness

SCALE = 4
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0, None)
DAMAGES = ("clean", "noise 4", "noise 8", "noise 15", "JPEG 80", "JPEG 60", "JPEG 20")
QUICK = ("clean", "noise 8", "JPEG 60")


def damaged(picture: Picture, damage: str) -> Picture:
    """Gaussian noise of so many levels, the same every time, or JPEG of so much quality."""
    kind, _, amount = damage.partition(" ")
    if kind == "noise":
        noise = np.random.default_rng(0).normal(0, float(amount), picture.shape)
        return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    if kind == "JPEG":
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=int(amount))
        return np.asarray(Image.open(file))
    return picture


def measure(upscaler: Upscaler, model: str, damages: Sequence[str]) -> list[dict[str, object]]:
    """One row per photograph, damage and setting."""
    default = UpscaleOptions(model=model).effective_fidelity
    rows: list[dict[str, object]] = []
    for name in PHOTOS:
        truth = cropped(photo(name), SCALE)
        inputs = {damage: damaged(reduced(truth, SCALE), damage) for damage in damages}
        plain = {damage: enlarged(small, SCALE) for damage, small in inputs.items()}
        # By fidelity first, so that a compiled network serves all damages.
        results = {(damage, "bicubic"): plain[damage] for damage in damages}
        for fidelity in FIDELITIES:
            setting = "default" if fidelity is None else f"{fidelity:g}"
            options = UpscaleOptions(scale=SCALE, model=model, fidelity=fidelity)
            for damage, small in inputs.items():
                results[damage, setting] = upscaler.upscale_pixels(small, options)
        for (damage, setting), result in results.items():
            share = {"bicubic": None, "default": adapted_fidelity(default, inputs[damage])}
            rows.append(
                {
                    "model": model,
                    "photo": name,
                    "damage": damage,
                    "setting": setting,
                    "fidelity": share.get(setting, setting),
                    "psnr_y": psnr_y(result, truth, SCALE),
                    "sharpness": sharpness(result) / sharpness(plain[damage]),
                }
            )
    return rows


def run(asked: argparse.Namespace) -> Report:
    report = Report()
    names = asked.model or (["general"] if asked.quick else ["general", "photo"])
    damages = QUICK if asked.quick else DAMAGES
    rows: list[dict[str, object]] = []
    with private_folder() as folder, Upscaler(settings(folder)) as upscaler:
        for name in names:
            say(f"{name} …")
            rows += measure(upscaler, name, damages)
    report.figures["rows"] = rows
    for name in names:
        own = [row for row in rows if row["model"] == name]
        report.tables += _tables(name, own, damages)
        if name == "general":
            report.goals += _goals(own)
    return report


def _tables(name: str, rows: list[dict[str, object]], damages: Sequence[str]) -> list[Table]:
    settings_ = list(dict.fromkeys(str(row["setting"]) for row in rows))
    psnr = Table(f"{name} ×{SCALE}: PSNR-Y, dB", ("photo", "damage", *settings_, "default is"))
    means = Table(
        f"{name} ×{SCALE}, mean of the photographs: PSNR-Y, dB (sharpness, bicubic = 1)",
        ("damage", *settings_),
    )
    for damage in damages:
        here = [row for row in rows if row["damage"] == damage]
        cells = []
        for setting in settings_:
            found = [row for row in here if row["setting"] == setting]
            score, sharp = (mean(float(r[k]) for r in found) for k in ("psnr_y", "sharpness"))
            cells.append(f"{score:.2f} ({sharp:.1f})")
        means.rows.append((damage, *cells))
        for picture in PHOTOS:
            own = {str(r["setting"]): r for r in here if r["photo"] == picture}
            scores = (f"{own[s]['psnr_y']:.2f}" for s in settings_)
            psnr.rows.append((picture, damage, *scores, f"{own['default']['fidelity']:g}"))
    return [psnr, means]


def _goals(rows: list[dict[str, object]]) -> list[Goal]:
    clean = {(r["photo"], r["setting"]): r for r in rows if r["damage"] == "clean"}
    gains = {
        name: float(clean[name, "default"]["psnr_y"]) - float(clean[name, "bicubic"]["psnr_y"])
        for name in PHOTOS
    }
    worst = min(gains, key=lambda name: gains[name])
    sharp = min(float(clean[name, "default"]["sharpness"]) for name in PHOTOS)
    return [
        Goal(
            f"general, clean: default above bicubic on all four (least on {worst})",
            f"{gains[worst]:+.2f} dB",
            "> 0 dB",
            gains[worst] > 0,
        ),
        Goal(
            "general, clean: default sharper than bicubic (least of four)",
            f"{sharp:.1f} ×",
            "≥ 1.3 ×",
            sharp >= 1.3,
        ),
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    names = [model.name for model in list_models()]
    parser.add_argument("--model", action="append", choices=names, help="only this; repeatable")


def main(arguments: Sequence[str] | None = None) -> int:
    return program("fidelity", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
