"""Are faces found, only faces, and at what cost?

Looks for faces in pictures whose faces are known, each at several sizes, and in pictures without
any, and reports

- recall by the size of the face (root of width · height of its box);
- whatever was found that is no face, for some thresholds;
- processor and wall seconds of the search against those of enlarging the same 1080p picture ×4
  with `general`: one with fifteen faces, of which ten are reported, one with one, one with none.

Pictures: those of scikit-image; portraits from the source archive of face_recognition 1.3.0 (pip
downloads it); groups and a sheet of 108 faces from two npm packages (npm downloads them); Set5 and
Set14, where shared/benchmarks is. Archives are checked and kept in --cache; what cannot be had is
left out, and the report says so. Others by --folder, whose faces.json says which faces they have:
{"NAME": {"faces": [[x, y, width, height], …], "optional": […]}}, as does the one beside this file.
A face counts as found where boxes overlap by 0.4 (intersection over union); optional ones count
neither way: drawn, or seen from the side with one eye. The sheet counts apart: thumbnails enlarged
to one size, with writing on them.

Goals: 99 % of the faces of 24 pixels and more, nothing that is no face, less than 5 % of a job.

Floor: none; a perfect detector would have 100 % and nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.pictures import Picture, photo
from bench.published import DATA
from bench.report import RESULTS, Goal, Report, Table, program, say
from bench.timing import Took, clock, private_folder, settings
from superres.engines.cache import CompiledCache
from superres.faces import Face
from superres.faces.detect import MOST, THRESHOLD, Detector
from superres.pipeline import UpscaleOptions, Upscaler

Box = Sequence[float]

LEAST, RECALL, SHARE = 24, 0.99, 0.05
SCALES = (1, 0.7, 0.5, 0.35, 0.25, 0.18, 0.125)
SCALES_WITHOUT = (1, 0.7, 0.5, 0.35, 0.25)
QUICK = (1, 0.5, 0.25)
CLASSES = (16, 20, 24, 32, 48, 96, 200, 10_000)
THRESHOLDS = (0.8, 0.84, 0.86, THRESHOLD, 0.88, 0.9)
LARGEST = 9_000_000
"""Pixels; larger pictures are reduced to it first."""

PIP = "face_recognition==1.3.0"
ARCHIVE = "face_recognition-1.3.0.tar.gz"
ARCHIVE_SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
NPM = {
    "@vladmandic/face-api": (
        "1.7.15",
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    ),
    "@vladmandic/human": (
        "3.3.6",
        "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
    ),
}
INSIDE = "face_recognition-1.3.0/tests/test_images/"
KNOWN = Path(__file__).with_name("faces.json")
PORTRAITS: dict[str, list[Box]] = {
    "biden.jpg": [(430, 181, 281, 386)],
    "obama.jpg": [(368, 87, 239, 339)],
    "obama2.jpg": [(203, 240, 266, 385)],
    "obama3.jpg": [(640, 246, 270, 367)],
    "obama_partial_face.jpg": [(10, 79, 177, 330)],
    "obama_partial_face2.jpg": [(366, 84, 209, 338)],
}
WITHIN: dict[str, list[Box]] = {"astronaut": [(180, 66, 89, 110)], "camera": [(197, 118, 60, 83)]}
WITHOUT = (
    *("brick", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon"),
    *("page", "retina", "rocket", "text"),
)


EXPECTED = {
    *PORTRAITS,
    *(path for paths in json.loads(KNOWN.read_text("utf-8")).values() for path in paths),
}
"""Pictures that are not scikit-image's."""


@dataclass(frozen=True)
class Known:
    """A picture and the boxes of its faces."""

    name: str
    pixels: Picture
    faces: list[Box] = field(default_factory=list)
    optional: list[Box] = field(default_factory=list)
    apart: bool = False

    def scaled(self, factor: float) -> Known:
        """Reduced by areas."""
        if factor == 1:
            return self
        height, width = (max(1, round(n * factor)) for n in self.pixels.shape[:2])
        small = Image.fromarray(self.pixels).resize((width, height), Image.Resampling.BOX)
        faces, optional = (
            [[value * factor for value in box[:4]] for box in boxes]
            for boxes in (self.faces, self.optional)
        )
        return Known(self.name, np.asarray(small), faces, optional, self.apart)


def shipped() -> Iterator[Known]:
    """Pictures that scikit-image ships."""
    from skimage import data

    for name in (*WITHIN, *WITHOUT):
        picture = getattr(data, name)()
        if picture.dtype != np.uint8:
            picture = np.uint8(picture * 255.0)
        rgb = np.asarray(Image.fromarray(picture).convert("RGB"))
        yield Known(name, rgb, WITHIN.get(name, []))
    for side, picture in zip(("left", "right"), data.stereo_motorcycle()[:2], strict=True):
        yield Known(f"motorcycle {side}", picture)


def portraits(cache: Path) -> list[Known]:
    """Those of face_recognition's archive."""
    call = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:"]
    archive = _archive(cache / ARCHIVE, ARCHIVE_SHA256, [*call, "--dest", str(cache), PIP])
    if archive is None:
        return []
    return [Known(n, _opened(archive(INSIDE + n)), faces) for n, faces in PORTRAITS.items()]


def groups(cache: Path, benchmarks: Path) -> Iterator[Known]:
    """Those of ``faces.json``, as far as they can be had."""
    for source, pictures in json.loads(KNOWN.read_text("utf-8")).items():
        if source in NPM:
            version, sha256 = NPM[source]
            path = cache / f"{source.removeprefix('@').replace('/', '-')}-{version}.tgz"
            call = ["npm", "pack", "--silent", f"{source}@{version}", "--pack-destination"]
            archive = _archive(path, sha256, [*call, str(cache)])
            if archive is None:
                continue
        elif not benchmarks.is_dir():
            continue
        for name, boxes in pictures.items():
            pixels = _opened(archive(f"package/{name}") if source in NPM else benchmarks / name)
            if "crop" in boxes:
                left, top, right, bottom = boxes["crop"]
                pixels = np.ascontiguousarray(pixels[top:bottom, left:right])
            optional, apart = boxes.get("optional", []), boxes.get("apart", False)
            yield Known(name, pixels, boxes["faces"], optional, apart)


def _archive(path: Path, sha256: str, call: list[str]) -> Callable[[str], BytesIO] | None:
    """A reader of what is in an archive, which ``call`` downloads if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        say(f"pictures: {path.name} …")
        try:
            subprocess.run(call, check=True, timeout=600, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError):
            return None
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path} is not the archive that is known; remove it.")

    def read(member: str) -> BytesIO:
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            file = archive.extractfile(member)
            assert file is not None
            return BytesIO(file.read())

    return read


def in_folder(folder: Path) -> Iterator[Known]:
    """Pictures of a person's own."""
    for name, boxes in json.loads((folder / "faces.json").read_text("utf-8")).items():
        known = Known(name, _opened(folder / name), boxes["faces"], boxes.get("optional", []))
        area = known.pixels.shape[0] * known.pixels.shape[1]
        yield known.scaled(min(1.0, (LARGEST / area) ** 0.5))


def _opened(source: Path | BytesIO) -> Picture:
    return np.asarray(ImageOps.exif_transpose(Image.open(source)).convert("RGB"))


def overlap(box: Box, face: Face) -> float:
    """Intersection over union."""
    x, y, width, height = box[:4]
    across = min(x + width, face.x + face.width) - max(x, face.x)
    down = min(y + height, face.y + face.height) - max(y, face.y)
    both = max(across, 0) * max(down, 0)
    return both / (width * height + face.width * face.height - both)


@dataclass
class Found:
    """All that was seen: faces by size with their score (0: not found), and what is none."""

    faces: list[tuple[float, float, str]] = field(default_factory=list)
    apart: list[tuple[float, float, str]] = field(default_factory=list)
    false: list[tuple[float, str]] = field(default_factory=list)
    pictures: int = 0
    without: int = 0

    def look(self, detector: Detector, known: Known, label: str) -> None:
        self.pictures += bool(known.faces)
        self.without += not known.faces
        found = detector.find(known.pixels, most=200, threshold=min(THRESHOLDS))
        for box in known.faces:
            best = max((f.score for f in found if overlap(box, f) >= 0.4), default=0.0)
            (self.apart if known.apart else self.faces).append(
                ((box[2] * box[3]) ** 0.5, best, label)
            )
        for face in found:
            if all(overlap(box, face) < 0.2 for box in [*known.faces, *known.optional]):
                self.false.append((face.score, label))

    def recall(self, threshold: float, low: float, high: float = 1e9) -> tuple[float, int]:
        """Share found, and number, of the faces of ``low`` to ``high`` pixels."""
        scores = [score for size, score, _ in self.faces if low <= size < high]
        return (sum(s >= threshold for s in scores) / len(scores) if scores else 1), len(scores)


def cost(quick: bool) -> dict[str, tuple[Took, Took, int]]:
    """Of the search and of the job: best of several, and the number of faces."""
    height, width = (540, 960) if quick else (1080, 1920)
    cat = Image.fromarray(photo("chelsea")).resize((width, height), Image.Resampling.BICUBIC)
    one = Image.fromarray(photo("astronaut")).resize((384, 384), Image.Resampling.BICUBIC)
    crowd = np.tile(np.asarray(one), (3, 5, 1))[:height, :width]
    lone = np.array(cat)
    lone[:384, :384] = one
    options = UpscaleOptions(scale=4, model="general")
    found = {}
    with private_folder() as folder, Upscaler(settings(folder)) as upscaler:
        detector = Detector(CompiledCache(folder, 1 << 30))
        for name, picture in (("faces", crowd), ("face", lone), ("no face", np.asarray(cat))):
            say(f"time: {name} …")
            faces = len(detector.find(picture))
            searches = [_timed(lambda p=picture: detector.find(p)) for _ in range(5)]
            upscaler.upscale_pixels(picture[:256, :256], options)
            jobs = [_timed(lambda p=picture: upscaler.upscale_pixels(p, options)) for _ in range(2)]
            found[name] = _best(searches), _best(jobs), faces
    return found


def _timed(call) -> Took:
    with clock() as took:
        call()
    return took()


def _best(times: Sequence[Took]) -> Took:
    return Took(min(t.wall for t in times), min(t.cpu for t in times))


def run(asked: argparse.Namespace) -> Report:
    detector = Detector()
    pictures = [*shipped(), *portraits(asked.cache), *groups(asked.cache, asked.data)]
    missing = sorted(EXPECTED - {known.name for known in pictures})
    seen = Found()
    for known in (*pictures, *(in_folder(asked.folder) if asked.folder else ())):
        say(f"{known.name} …")
        usual = SCALES if known.faces else SCALES_WITHOUT
        for factor in QUICK if asked.quick else usual:
            small = known.scaled(factor)
            if max(small.pixels.shape[:2]) >= 48:
                seen.look(detector, small, f"{known.name} ×{factor:g}")
    return _report(seen, cost(asked.quick), asked.quick, missing)


def _report(
    seen: Found, costs: dict[str, tuple[Took, Took, int]], quick: bool, missing: Sequence[str]
) -> Report:
    classes = list(pairwise(CLASSES))
    names = [f"{low}–{high}" if high < CLASSES[-1] else f"≥ {low}" for low, high in classes]
    counts = [seen.recall(0, *sizes)[1] for sizes in classes]
    recalls = Table(
        f"Faces found, by their size in pixels; {seen.pictures} views with faces, "
        f"{seen.without} without",
        ("threshold", *(f"{n} ({c})" for n, c in zip(names, counts, strict=True)), "≥ 24", "none"),
    )
    for threshold in THRESHOLDS:
        shares = [seen.recall(threshold, *sizes)[0] for sizes in [*classes, (LEAST,)]]
        none = sum(score >= threshold for score, _ in seen.false)
        recalls.rows.append((f"{threshold:g}", *(f"{s:.1%}" for s in shares), str(none)))
    times = Table(
        "Search against enlarging the same picture ×4 with general, seconds",
        ("", "search, processor", "wall", "job, processor", "wall", "share, processor", "wall"),
    )
    share = 0.0
    for name, (search, job, faces) in costs.items():
        share = max(share, search.cpu / job.cpu)
        figures = (search.cpu, search.wall, job.cpu, job.wall)
        label = f"{name} ({faces})" if faces else name
        cells = *(f"{f:.2f}" for f in figures), f"{search.cpu / job.cpu:.1%}"
        times.rows.append((label, *cells, f"{search.wall / job.wall:.1%}"))
    recall, number = seen.recall(THRESHOLD, LEAST)
    false = sorted((f for f in seen.false if f[0] >= THRESHOLD), reverse=True)
    goals = [
        Goal(
            f"of {number} faces of {LEAST} pixels and more found",
            f"{recall:.1%}",
            f"≥ {RECALL:.0%}",
            recall >= RECALL,
        ),
        Goal("found that is no face", str(len(false)), "0", not false),
        Goal(
            "processor seconds of the search, of a job's at 1080p",
            f"{share:.1%}",
            f"< {SHARE:.0%}",
            None if quick else share < SHARE,
        ),
    ]
    notes = [f"No face, highest scores: {_listed(sorted(seen.false, reverse=True)[:6])}."]
    lost = sorted((s, label) for size, s, label in seen.faces if size >= LEAST)
    notes.append(f"Faces, lowest scores: {_listed(lost[:6])}.")
    sheet = [score for size, score, _ in seen.apart if size >= LEAST]
    notes.append(f"Of {len(sheet)} enlarged thumbnails {sum(s >= THRESHOLD for s in sheet)} found.")
    notes.append(f"The search reports {MOST} faces at most.")
    if missing:
        notes.append(f"Could not be had, and are left out: {', '.join(missing)}.")
    if quick:
        notes.append("Quick: three sizes of each picture; time on a quarter of 1080p.")
    shown = {"faces": seen.faces, "apart": seen.apart, "false": seen.false}
    seconds = {name: [vars(s), vars(j), n] for name, (s, j, n) in costs.items()}
    return Report([recalls, times], goals, notes, {**shown, "seconds": seconds})


def _listed(scores: Sequence[tuple[float, str]]) -> str:
    return ", ".join(f"{label} {score:.3f}" for score, label in scores) or "–"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache", type=Path, default=RESULTS / "cache", help="folder of downloaded pictures"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of Set5 and Set14")
    parser.add_argument("--folder", type=Path, help="more pictures, with a faces.json")


def main(arguments: Sequence[str] | None = None) -> int:
    return program("faces", __doc__, run, arguments, _options)


if __name__ == "__main__":
    sys.exit(main())
