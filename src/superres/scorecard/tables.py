"""A scorecard as Markdown: the page, and the short form that the README shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from superres.scorecard.measure import PERCEIVED
from superres.scorecard.speed import OWN, Speed

Card = Mapping[str, Any]

_DIGITS = {"psnr_y": 3, "fidelity": 2}
_COLUMNS = (
    ("psnr_y", "PSNR-Y, dB", 2, max),
    ("ssim", "SSIM", 4, max),
    ("ms_ssim", "MS-SSIM", 4, max),
    ("perceptual", "{perceptual}", 3, min),
    ("delta_e", "ΔE", 2, min),
    ("shift", "shift", 2, min),
    ("blur", "blur", 3, None),
    ("fidelity", "fidelity", 2, None),
)


def dumped(card: Card) -> str:
    """The card as JSON: rows as short lists, one a line, so that a change shows as few lines."""
    rows = card["rows"]
    columns = list(rows[0])
    head = json.dumps(
        {**{k: v for k, v in card.items() if k != "rows"}, "columns": columns},
        indent=1,
        ensure_ascii=False,
    )
    lines = (
        json.dumps([_short(key, row[key]) for key in columns], ensure_ascii=False) for row in rows
    )
    return head.removesuffix("\n}") + ',\n "rows": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def loaded(text: str) -> dict[str, Any]:
    """What :func:`dumped` wrote.

    Raises:
        ValueError: it is no such text.
    """
    card = json.loads(text)
    if not isinstance(card, dict) or "columns" not in card:
        raise ValueError("no scorecard")
    columns = card.pop("columns")
    card["rows"] = [dict(zip(columns, row, strict=True)) for row in card["rows"]]
    return card


def _short(key: str, value: Any) -> Any:
    return round(value, _DIGITS.get(key, 4)) if isinstance(value, float) else value


def page(card: Card) -> str:
    """The whole scorecard."""
    parts = [
        "# Scorecard\n",
        _about(card),
        "![Crops side by side](scorecard.jpg)\n",
        "## What is measured\n",
        _protocol(card),
    ]
    if card["speed"]:
        parts += ["## Speed and memory\n", speed_table(card)]
    for scale in card["scales"]:
        parts.append(f"## Quality, ×{scale}\n")
        for degradation, what in card["degradations"].items():
            parts.append(f"**×{scale}, {_title(degradation)}** ({what})\n")
            parts.append(quality_table(card, scale, degradation))
    parts += ["## Pictures\n", _pictures(card)]
    return "\n".join(parts)


def short(card: Card) -> str:
    """What the README shows: quality at the largest scale, speed."""
    scale = max(card["scales"])
    names = list(card["degradations"])
    table = [["", *(_title(name) for name in names), "blur"]]
    cells = {name: _column(card, scale, name, "psnr_y", 2, max, key2=("ssim", 3)) for name in names}
    blurs = _column(card, scale, names[0], "blur", 2, None)
    made = {}
    for index, (method, setting) in enumerate(card["methods"]):
        made[method, setting] = [*(cells[name][index] for name in names), blurs[index]]
    for (method, setting), row in made.items():
        same = setting == "0" and made.get((method, "default")) == row
        if not same and setting != "1" and any(cell != "–" for cell in row):
            table.append([_label(method, setting), *row])
    count = len(card["pictures"])
    first, sharp = _title(names[0]), mean(each["blur"] for each in card["pictures"])
    text = (
        f"PSNR-Y in dB and SSIM, ×{scale}, mean of {count} photograph{'s'[: count != 1]} "
        f"({card['date']}; higher is nearer to the truth, the best is bold). *blur*, of the "
        f"{first} ones, is Crété-Roffet's: lower is crisper, the truth has {sharp:.2f}. "
        "Fidelity 1 is `faithful`.\n"
    )
    parts = [text, _markdown(table)]
    if card["speed"]:
        about = card["machine"]
        parts.append(
            "The same weights elsewhere, each in a process of its own, best of two, on "
            f"{about['cores']} cores ({about['processor']}; load at the end: "
            f"{about.get('load', 'unknown')}):\n"
        )
        parts.append(speed_table(card))
    return "\n".join(parts)


def quality_table(card: Card, scale: int, degradation: str) -> str:
    """All measures of one scale and degradation, means over the pictures."""
    shown = [c for c in _COLUMNS if c[0] != "perceptual" or card["perceptual"]]
    head = ["", *(name.format(perceptual=card["perceptual"]) for _, name, _, _ in shown)]
    columns = [
        _column(card, scale, degradation, key, digits, best) for key, _, digits, best in shown
    ]
    table = [head]
    for index, (method, setting) in enumerate(card["methods"]):
        row = [_label(method, setting), *(column[index] for column in columns)]
        if any(cell != "–" for cell in row[1:]):
            table.append(row)
    return _markdown(table)


def speed_table(card: Card) -> str:
    """Seconds per megapixel, start-up and memory."""
    speeds = [Speed(**each) for each in card["speed"]]
    table = [["", "runtime", "s per MP in", "s per MP out", "start", "memory", "superres is"]]
    alone = {each.model: each for each in speeds if each.runtime == OWN}
    for each in speeds:  # the model alone is what a peer runs; it comes first
        if each.runtime == OWN and each.setting in ("", "0"):
            alone[each.model] = each
    for each in speeds:
        own = alone.get(each.model)
        ratio = "" if own is None or each.runtime == OWN else f"{each.seconds / own.seconds:.1f} ×"
        setting = "" if each.runtime != OWN else each.setting
        table.append(
            [
                _label(each.model, setting),
                f"{each.runtime} {each.version}",
                f"{each.per_megapixel_in:.3g}",
                f"{each.per_megapixel_out:.2g}",
                f"{each.start:.1f} s",
                f"{each.peak / 2**20:.0f} MiB" if each.peak else "–",
                ratio,
            ]
        )
    return _markdown(table, left=2)


def _column(
    card: Card,
    scale: int,
    degradation: str,
    key: str,
    digits: int,
    best: Callable[..., Any] | None,
    key2: tuple[str, int] | None = None,
) -> list[str]:
    """Cells of one measure in the order of the methods; the best is bold."""
    wanted = [tuple(method) for method in card["methods"]]
    firsts = _means(card, scale, degradation, key)
    cells = [_number(firsts.get(method), digits) for method in wanted]
    cells = _bold(cells, best)
    if key2 is None:
        return cells
    seconds = _means(card, scale, degradation, key2[0])
    others = _bold([_number(seconds.get(method), key2[1]) for method in wanted], best)
    return [one if one == "–" else f"{one} {o}" for one, o in zip(cells, others, strict=True)]


def _bold(cells: list[str], best: Callable[..., Any] | None) -> list[str]:
    known = [cell for cell in cells if cell != "–"]
    if best is None or len(set(known)) < 2:
        return cells
    top = best(known, key=float)
    return [f"**{cell}**" if cell == top else cell for cell in cells]


def _means(card: Card, scale: int, degradation: str, key: str) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = {}
    for row in card["rows"]:
        if (row["scale"], row["degradation"]) == (scale, degradation) and row[key] is not None:
            found.setdefault((row["method"], row["setting"]), []).append(row[key])
    return {method: mean(values) for method, values in found.items()}


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _label(method: str, setting: str) -> str:
    name = method if method in ("bicubic", "lanczos") else f"`{method}`"
    return f"{name} {setting}".strip()


def _title(degradation: str) -> str:
    kind, _, amount = degradation.partition("-")
    return {
        "clean": "clean",
        "jpeg": f"JPEG {amount}",
        "noise": f"noise {amount}",
        "blur": f"blurred {amount}",
    }[kind]


def _about(card: Card) -> str:
    about = card["machine"]
    lines = [f"- {name}: {value}" for name, value in about.items()]
    lines.append(f"- computed on: {card['device']}, {card['precision']}")
    form = ", quick form: a first look, not to be quoted" if card["quick"] else ""
    return f"Measured on {card['date']}{form}. Written by `superres bench --scorecard`.\n\n" + (
        "\n".join(lines) + "\n"
    )


def _protocol(card: Card) -> str:
    sharp = mean(each["blur"] for each in card["pictures"])
    parts = [
        f"Of each photograph a part of at most {card['side']} × {card['side']} pixels is the "
        "truth: the middle, an edge or a corner, whichever has the most detail. It is reduced as "
        "MATLAB's `imresize` does (bicubic with antialiasing), damaged as named (seed "
        f"{card['seed']}), stored as a PNG file, or as a JPEG file where that is the damage, and "
        "enlarged, file in to file out. Result and truth are compared in 8 bits, `scale` pixels "
        "cut from each border. Figures are means over the pictures; the best is bold.\n",
        "- **PSNR-Y**, **SSIM** (Wang et al. 2004, Gaussian window of 11 × 11, σ 1.5), "
        "**MS-SSIM** (Wang et al. 2003, five scales): of luma, BT.601.",
        "- **ΔE**: mean CIEDE2000 between the means of 16 × 16 blocks: colour that is off over "
        "areas. **shift**: largest difference of a channel's mean, in levels of 255.",
        "- **blur**: the blur effect of Crété-Roffet et al. (2007), which needs no truth: 0 crisp "
        f"… 1 blurred. The truth has {sharp:.3f}. Noise is crisp as well.",
        "- **fidelity**: that was used; where the default looked at the picture, the mean.",
    ]
    if name := card["perceptual"]:
        parts.append(
            f"- **{name}**: learned from what people see, lower is nearer; of the middle "
            f"{PERCEIVED} × {PERCEIVED} pixels, on AlexNet."
        )
    if card["speed"]:
        sides = sorted({each["side"] for each in card["speed"]}, reverse=True)
        squares = " or, for large networks, ".join(f"{side} × {side}" for side in sides)
        parts.append(
            f"- **Speed**: a square of {squares} pixels, ×4, from pixels to pixels, best of "
            "several, in processes of their own. **start**: from the start of the process to "
            "the end of a first picture of 64 × 64, caches warm. **memory**: peak of the process."
        )
    missing = ((each["name"], each["why"].rstrip(".")) for each in card["absent"])
    parts += [f"- Not measured here: {name}: {why}." for name, why in missing]
    return "\n".join(parts) + "\n"


def _pictures(card: Card) -> str:
    table = [["", "part", "blur", "SHA-256 of the file", "credit"]]
    for each in card["pictures"]:
        size = f"{each['width']} × {each['height']}"
        reduced = f", reduced ×{each['reduced']} first" if each["reduced"] > 1 else ""
        name = each["name"].replace("|", "\\|")
        table.append(
            [
                name,
                size + reduced,
                f"{each['blur']:.3f}",
                f"`{each['sha256'][:16]}…`",
                each["credit"],
            ]
        )
    text = _markdown(table)
    for each in card["skipped"]:
        text += f"\nLeft out: {each['name']}: {each['why']}\n"
    return text


def _markdown(table: Sequence[Sequence[str]], left: int = 1) -> str:
    head, *rows = table
    rule = ["---" if index < left else "--:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"
