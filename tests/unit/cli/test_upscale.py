"""``superres upscale``: names, what is kept, what is refused, what is told."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from superres.cli.console import faces_told
from superres.faces import Face, FaceReport
from superres.pipeline import Upscaler
from tests.unit.cli.calls import Run, draw, names, size_of


def test_result_lies_beside_the_input(run: Run, folder: Path) -> None:
    draw("photo.jpg")
    done = run("upscale", "photo.jpg")
    assert done.code == 0, done.err
    assert done.out == ""
    assert names(folder) == ["photo.jpg", "photo_x4.png"]
    assert size_of("photo_x4.png") == (48, 32)


@pytest.mark.parametrize(
    ("words", "name", "size"),
    [
        (["-s", "2"], "photo_x2.png", (24, 16)),
        (["--scale", "1.5"], "photo_x1.5.png", (18, 12)),
        (["-s", "1"], "photo_x1.png", (12, 8)),
        (["--width", "36"], "photo_36x24.png", (36, 24)),
        (["--height", "40"], "photo_60x40.png", (60, 40)),
        (["--width", "100", "--height", "24"], "photo_36x24.png", (36, 24)),
        (["--megapixels", "0.0006"], "photo_30x20.png", (30, 20)),
        (["--format", "jpeg"], "photo_x4.jpg", (48, 32)),
        (["--format", "jpg", "--quality", "50"], "photo_x4.jpg", (48, 32)),
        (["--format", "webp", "--lossless"], "photo_x4.webp", (48, 32)),
        (["--format", "tiff"], "photo_x4.tif", (48, 32)),
        (["-o", "other.webp"], "other.webp", (48, 32)),
        (["-o", "deep/other.PNG"], "deep/other.PNG", (48, 32)),
        (["-o", "deep/er"], "deep/er/photo_x4.png", (48, 32)),
    ],
)
def test_names_and_sizes(
    run: Run, folder: Path, words: list[str], name: str, size: tuple[int, int]
) -> None:
    draw("photo.jpg")
    done = run("upscale", "photo.jpg", *words)
    assert done.code == 0, done.err
    assert names(folder) == sorted([name, "photo.jpg"])
    assert size_of(name) == size


def test_an_existing_folder_is_a_folder_whatever_its_name(run: Run, folder: Path) -> None:
    draw("photo.jpg")
    Path("out.png").mkdir()
    assert run("upscale", "photo.jpg", "-o", "out.png").code == 0
    assert names(folder) == ["out.png/photo_x4.png", "photo.jpg"]


def test_options_reach_the_pipeline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    estimate = Upscaler.estimate

    def spy(self, source, target, options):
        seen.append(options)
        return estimate(self, source, target, options)

    monkeypatch.setattr(Upscaler, "estimate", spy)
    draw("photo.jpg")
    words = ["-m", "anime", "--fidelity", "0.25", "--no-colour-lock", "--strip", "--first-frame"]
    words += ["--denoise", "0.5", "--tta"]
    assert run("upscale", "photo.jpg", "-q", *words, "--format", "jpeg", "--quality", "7").code == 0
    (options,) = seen
    assert (options.model, options.fidelity) == ("anime", 0.25)
    assert not options.colour_lock
    assert (options.denoise, options.tta) == (0.5, True)
    assert options.first_frame
    assert options.output.strip
    assert options.output.quality == 7


def test_the_model_comes_from_the_settings_file(run: Run, folder: Path) -> None:
    draw("photo.jpg")
    Path("mine.toml").write_text('[models]\ndefault = "faithful"\n')
    done = run("upscale", "photo.jpg", "--config", "mine.toml", "--json")
    assert done.records[0]["model"] == "faithful"
    done = run("upscale", "photo.jpg", "-s", "2", "--config", "mine.toml", "-m", "photo", "--json")
    assert done.records[0]["model"] == "photo"


# ------------------------------------------------------------------------- folders


def test_a_folder_without_its_subfolders(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    draw("in/sub/b.jpg")
    Path("in/notes.txt").write_text("no picture")
    done = run("upscale", "in")
    assert done.code == 0
    assert names(folder / "in") == ["a.jpg", "a_x4.png", "notes.txt", "sub/b.jpg"]


def test_recursive_keeps_the_structure(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    draw("in/sub/deep/b.tif")
    done = run("upscale", "in", "-r", "-o", "out")
    assert done.code == 0
    assert names(folder / "out") == ["a_x4.png", "sub/deep/b_x4.tif"]


def test_folders_hold_other_things(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    draw("in/.hidden.jpg")
    draw("in/.cache/c.jpg")
    draw("in/raw.png").rename("in/raw.nef")  # raw files look like TIFF from inside
    draw("in/plain.png").rename("in/plain")
    Path("in/README").write_text("no picture")
    Path("in/film.mp4").write_bytes(bytes(100))
    done = run("upscale", "in", "-r", "-o", "out")
    assert done.code == 0
    assert names(folder / "out") == ["a_x4.png", "plain_x4.png"]
    assert "3 other files passed over" in done.told


def test_a_folder_given_again_does_not_enlarge_the_enlarged(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    draw("in/b_x4.png")  # nobody's result: there is no b
    assert run("upscale", "in").code == 0
    first = ["a.jpg", "a_x4.png", "b_x4.png", "b_x4_x4.png"]
    assert names(folder / "in") == first
    again = run("upscale", "in", "--overwrite")
    assert again.code == 0
    assert names(folder / "in") == first
    assert "2 skipped (earlier result of another picture in the folder)" in again.told
    assert run("upscale", "in", "-s", "2").code == 0
    assert names(folder / "in") == sorted([*first, "a_x2.png", "b_x4_x2.png"])


def test_results_named_by_size_are_known_again(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    draw("in/b_36x24.jpg")  # nobody's result
    for _ in range(2):
        assert run("upscale", "in", "--width", "36", "--overwrite").code == 0
    assert names(folder / "in") == ["a.jpg", "a_36x24.png", "b_36x24.jpg", "b_36x24_36x24.png"]


def test_the_result_folder_is_no_input(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    for _ in range(2):
        assert run("upscale", "in", "-r", "-o", "in/large", "--overwrite").code == 0
    assert names(folder / "in") == ["a.jpg", "large/a_x4.png"]


def test_a_named_result_is_enlarged(run: Run, folder: Path) -> None:
    draw("a.jpg")
    draw("a_x4.png")
    assert run("upscale", "a_x4.png", "-s", "2").code == 0
    assert names(folder) == ["a.jpg", "a_x4.png", "a_x4_x2.png"]
    assert run("upscale", ".", "a_x4.png", "-s", "3").code == 0  # named beats found
    assert names(folder) == ["a.jpg", "a_x3.png", "a_x4.png", "a_x4_x2.png", "a_x4_x3.png"]


def test_an_empty_folder_says_so(run: Run, folder: Path) -> None:
    draw("in/sub/a.jpg")
    done = run("upscale", "in")
    assert done.code == 1
    assert "in: There is no picture in this folder; --recursive" in done.told


def test_patterns_that_the_shell_left_alone(run: Run, folder: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.png", "[x].jpg", "sub/d.jpg"):
        draw(name)
    assert run("upscale", "?.jpg", "-o", "one").code == 0
    assert names(folder / "one") == ["a_x4.png", "b_x4.png"]
    assert run("upscale", "[x].jpg", "-o", "two").code == 0
    assert names(folder / "two") == ["[x]_x4.png"]
    assert run("upscale", "**/*.jpg", "-o", "three").code == 0
    assert names(folder / "three") == ["[x]_x4.png", "a_x4.png", "b_x4.png", "d_x4.png"]
    done = run("upscale", "*.heic")
    assert done.code == 1
    assert "*.heic: No file matches this pattern." in done.told


def test_the_same_file_twice_is_one(run: Run, folder: Path) -> None:
    draw("in/a.jpg")
    done = run("upscale", "in/a.jpg", "in", folder / "in/a.jpg", "--json")
    assert done.code == 0
    assert [record["input"] for record in done.records] == ["in/a.jpg"]


# ------------------------------------------------------------ what must not be lost


def test_an_existing_result_is_an_error_that_tells_both_flags(run: Run) -> None:
    draw("a.jpg")
    Path("a_x4.png").write_text("precious")
    done = run("upscale", "a.jpg")
    assert done.code == 1
    assert "--overwrite" in done.told
    assert "--resume" in done.told
    assert Path("a_x4.png").read_text() == "precious"


def test_overwrite(run: Run) -> None:
    draw("a.jpg")
    draw("a_x4.png", 1, 1)
    assert run("upscale", "a.jpg", "--overwrite").code == 0
    assert size_of("a_x4.png") == (48, 32)


def test_resume_keeps_what_is_valid_and_makes_the_rest(run: Run) -> None:
    for name in "abcd":
        draw(f"{name}.jpg")
    draw("out/a_x4.png", 48, 32)  # finished
    draw("out/b_x4.png", 24, 16)  # another size
    Path("out/c_x4.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # cut off
    before = Path("out/a_x4.png").read_bytes()
    words = ["upscale", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "-o", "out"]
    done = run(*words, "--resume", "--json")
    assert done.code == 0, done.err
    assert Path("out/a_x4.png").read_bytes() == before
    assert [r["input"] for r in done.records if "skipped" not in r] == ["b.jpg", "c.jpg", "d.jpg"]
    assert [r for r in done.records if "skipped" in r] == [
        {"input": "a.jpg", "output": "out/a_x4.png", "skipped": "finished earlier"}
    ]
    assert [size_of(f"out/{name}_x4.png") for name in "bcd"] == [(48, 32)] * 3
    again = run(*words, "--resume")
    assert again.code == 0
    assert "4 skipped (finished earlier)" in again.told


def test_resume_wants_the_right_format(run: Run) -> None:
    draw("a.jpg")
    draw("wrong.jpg", 48, 32).rename("out.png")
    assert run("upscale", "a.jpg", "-o", "out.png", "--resume").code == 0
    with Image.open("out.png") as image:
        assert image.format == "PNG"


def test_the_input_is_never_replaced(run: Run) -> None:
    draw("a.png")
    before = Path("a.png").read_bytes()
    for word in ("a.png", "./b/../a.png", "link.png"):
        Path("b").mkdir(exist_ok=True)
        if word == "link.png":
            Path(word).symlink_to("a.png")
        done = run("upscale", "a.png", "-o", word, "--overwrite")
        assert done.code == 1
        assert "would replace this picture itself" in done.told
    assert Path("a.png").read_bytes() == before


def test_another_input_is_never_replaced(run: Run) -> None:
    draw("a.png")
    draw("a_x4.png")
    before = Path("a_x4.png").read_bytes()
    done = run("upscale", "a.png", "a_x4.png", "--overwrite")
    assert done.code == 1
    assert "a.png: The result would replace another input (a_x4.png)" in done.told
    assert Path("a_x4.png").read_bytes() == before
    assert size_of("a_x4_x4.png") == (48, 32)


def test_two_inputs_with_one_result(run: Run, folder: Path) -> None:
    draw("a.jpg", 10, 10)
    draw("a.png", 20, 20)
    done = run("upscale", "a.jpg", "a.png")
    assert done.code == 1
    assert "error: a.png: The result would be a_x4.png, as that of a.jpg" in done.told
    assert size_of("a_x4.png") == (40, 40)


def test_a_result_that_appears_meanwhile_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from superres.cli import report

    draw("a.jpg")

    def appear(*_: object) -> None:
        Path("a_x4.png").write_text("precious")

    monkeypatch.setattr(report, "announce", appear)
    assert run("upscale", "a.jpg").code == 1
    assert Path("a_x4.png").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_found_before_the_work(run: Run) -> None:
    draw("in/a.jpg")
    Path("in").chmod(0o555)
    done = run("upscale", "in/a.jpg")
    Path("in").chmod(0o755)
    assert done.code == 1
    assert "cannot be written to" in done.told


def test_a_result_folder_that_cannot_be_made(run: Run) -> None:
    draw("a.jpg")
    Path("file").write_text("")
    done = run("upscale", "a.jpg", "-o", "file/sub")
    assert done.code == 1
    assert "a.jpg: The folder file/sub cannot be made" in done.told


# ----------------------------------------------------------------------- bad files


def test_a_bad_file_does_not_stop_the_others(run: Run, folder: Path) -> None:
    Path("bad.jpg").write_text("no picture")
    Path("empty.png").touch()
    cut = draw("cut.png", 64, 64)
    cut.write_bytes(cut.read_bytes()[:2000])
    draw("good.jpg")
    done = run("upscale", "bad.jpg", "missing.jpg", "empty.png", "cut.png", "good.jpg")
    assert done.code == 1
    assert names(folder) == ["bad.jpg", "cut.png", "empty.png", "good.jpg", "good_x4.png"]
    assert "error: missing.jpg: The file does not exist." in done.told
    for name in ("bad.jpg", "missing.jpg", "empty.png", "cut.png"):
        assert f"error: {name}: " in done.told
        assert f"failed: {name}: " in done.told
    assert "1 file enlarged" in done.told
    assert "4 failed" in done.told
    assert "Traceback" not in done.err


def test_files_that_fail_in_json(run: Run) -> None:
    Path("bad.jpg").write_text("no picture")
    done = run("upscale", "bad.jpg", "missing.jpg", "--json", "-q")
    assert done.code == 1
    errors = {record["input"]: record["error"] for record in done.records}
    assert errors["bad.jpg"]["code"] == "unsupported_format"
    assert errors["missing.jpg"]["code"] == "input_error"
    assert all(error["message"].endswith(".") for error in errors.values())


def test_a_named_file_that_is_no_picture_is_never_skipped(run: Run) -> None:
    Path("notes.txt").write_text("no picture")
    done = run("upscale", "notes.txt")
    assert done.code == 1
    assert "notes.txt: The file is not a picture" in done.told


def test_an_error_nobody_foresaw(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("[bold]boom")

    draw("a.jpg")
    draw("b.jpg")
    monkeypatch.setattr(Upscaler, "upscale_file", broken)
    done = run("upscale", "a.jpg", "b.jpg", "--json")
    assert done.code == 1
    assert "a.jpg: Unexpected RuntimeError: [bold]boom. This is a bug" in done.told
    assert "--debug" in done.told
    assert "Traceback" not in done.err
    assert [record["error"]["code"] for record in done.records] == ["internal_error"] * 2
    assert "Traceback" in run("upscale", "a.jpg", "--debug").err


# ----------------------------------------------------------------------------- use


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--resume", "--overwrite"], "--resume keeps finished results and --overwrite"),
        (["--scale", "2", "--width", "9"], "--scale and --width exclude each other"),
        (["--scale", "2", "--megapixels", "9"], "--scale and --megapixels exclude"),
        (["--height", "2", "--megapixels", "9"], "--megapixels and --height exclude"),
        (["--scale", "0.5"], "--scale must be from 1 to 16, not 0.5"),
        (["--scale", "17"], "--scale must be from 1 to 16"),
        (["--scale", "nan"], "--scale must be from 1 to 16"),
        (["--scale", "big"], "Invalid value for '--scale'"),
        (["--width", "0"], "--width must be from 1|more than 0"),
        (["--megapixels", "0"], "--megapixels must be more than 0"),
        (["--fidelity", "1.1"], "--fidelity must be from 0 to 1"),
        (["--fidelity", "nan"], "--fidelity must be from 0 to 1"),
        (["--quality", "80"], "--quality is for JPEG and WebP and the result would be PNG"),
        (["--quality", "80", "--format", "png"], "--quality is for JPEG and WebP and PNG has none"),
        (["--quality", "80", "-o", "b.tif"], "--quality is for JPEG and WebP and TIFF has none"),
        (["--quality", "0", "--format", "jpeg"], "--quality must be from 1 to 100"),
        (["--lossless", "--format", "jpeg"], "--lossless cannot be had in JPEG"),
        (["--lossless", "-o", "b.jpg"], "--lossless cannot be had in JPEG"),
        (["--lossless", "--quality", "3", "-o", "b.webp"], "--lossless and --quality exclude"),
        (["--format", "bmp"], "cannot be written as 'bmp'"),
        (["-o", "b.gif"], "cannot be written as '.gif'"),
        (["-o", "b.png", "--format", "jpeg"], "--format jpeg contradicts the name b.png"),
        (["-o", "text"], "-o text is a file, not a folder"),
        (["b.jpg", "-o", "b.png"], "-o b.png names one file, but there may be several"),
        (["-"], "Standard input (-) must be the only input"),
        (["b.jpg", "-o", "-"], "Only one picture fits through standard output"),
        (["-o", "-", "--json"], "--json and the picture cannot both go to standard output"),
        (["--jobs", "0"], "--jobs must be from 1 to 64"),
        (["-m", "genral"], "Did you mean 'general'?"),
        (["--device", "gpu"], "choose one of auto, cpu, cuda"),
        (["--precision", "f64"], "expects one of auto, f16, bf16, f32"),
        (["--config", "none.toml"], "The settings file none.toml cannot be read"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_what_is_not_understood_is_told_before_any_work(
    run: Run, folder: Path, words: list[str], sentence: str
) -> None:
    draw("a.jpg")
    Path("text").touch()
    done = run("upscale", "a.jpg", *words)
    assert done.code == 2, done.err
    assert any(part in done.told for part in sentence.split("|")), done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert names(folder) == ["a.jpg", "text"]


def test_no_input_is_a_usage_error(run: Run) -> None:
    done = run("upscale")
    assert done.code == 2
    assert "Missing argument 'INPUT'" in done.told


def test_a_mistyped_environment_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERRES_ENGINE__DEVCE", "fake")
    draw("a.jpg")
    done = run("upscale", "a.jpg")
    assert done.code == 2
    assert "did you mean SUPERRES_ENGINE__DEVICE?" in done.told


# --------------------------------------------------------------- standard in and out


def picture(width: int = 12, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 40).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def test_from_standard_input_to_standard_output(run: Run, folder: Path) -> None:
    done = run("upscale", "-", stdin=picture())
    assert done.code == 0, done.err
    assert Image.open(io.BytesIO(done.raw)).size == (48, 32)
    assert names(folder) == []


def test_standard_output_is_the_picture_and_nothing_else(run: Run) -> None:
    done = run("upscale", "-", "--format", "jpeg", "-q", stdin=picture())
    assert done.raw.startswith(b"\xff\xd8")
    assert done.raw.endswith(b"\xff\xd9")
    assert done.err == ""


def test_from_standard_input_to_files(run: Run, folder: Path) -> None:
    assert run("upscale", "-", "-o", "a.webp", stdin=picture()).code == 0
    assert run("upscale", "-", "-o", "out", stdin=picture()).code == 0
    assert names(folder) == ["a.webp", "out/stdin_x4.png"]


def test_from_a_file_to_standard_output(run: Run, folder: Path) -> None:
    draw("a.jpg")
    done = run("upscale", "a.jpg", "-o", "-")
    assert Image.open(io.BytesIO(done.raw)).size == (48, 32)
    assert names(folder) == ["a.jpg"]


def test_nothing_on_standard_input(run: Run) -> None:
    done = run("upscale", "-", "--json", "-o", "a.png", stdin=b"")
    assert done.code == 1
    assert done.records[0]["input"] == "-"
    assert done.records[0]["error"]["code"] == "corrupt_image"


def test_standard_input_has_a_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERRES_LIMITS__MAX_INPUT_BYTES", "100")
    done = run("upscale", "-", stdin=bytes(101))
    assert done.code == 1
    assert "more than 100 bytes" in done.told


def test_a_terminal_is_no_place_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    from superres.cli.plan import destination
    from superres.cli.upscale import _read_stdin
    from superres.errors import BadParameter

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(BadParameter, match="is a terminal; redirect it"):
        destination(None, ["-"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(BadParameter, match="is a terminal; pipe a picture"):
        _read_stdin(100)


# ------------------------------------------------------------------------ what is told


def test_json(run: Run) -> None:
    draw("a.jpg")
    (record,) = run("upscale", "a.jpg", "--json", "--fidelity", "0.25").records
    expected = {
        "input": "a.jpg",
        "output": "a_x4.png",
        "width": 12,
        "height": 8,
        "out_width": 48,
        "out_height": 32,
        "format": "png",
        "model": "general",
        "fidelity": 0.25,
        "passes": [4],
        "precision": "f32",
    }
    assert {name: record[name] for name in expected} == expected
    rest = ["device", "faces", "inference_seconds", "peak_memory", "seconds"]
    assert sorted(set(record) - set(expected)) == rest
    assert record["seconds"] >= record["inference_seconds"] >= 0
    assert record["faces"] is None  # nobody asked


def test_faces_are_told_of(run: Run, portrait: bytes) -> None:
    Path("portrait.png").write_bytes(portrait)
    draw("wall.png")
    done = run("upscale", "portrait.png", "wall.png", "--face", "-s", "2", "--json")
    assert "portrait_x2.png  400 × 440  1 face kept  " in done.err
    assert "wall_x2.png  24 × 16  no faces  " in done.err
    with_one, without = done.records
    assert without["faces"] == []
    (face,) = with_one["faces"]
    assert set(face) == {"box", "score", "tier"}
    assert face["tier"] == "enhanced"
    box = face["box"]
    assert box["x"] < 72 < box["x"] + box["width"]
    assert box["y"] < 122 < box["y"] + box["height"]


def test_faces_are_not_told_of_if_nobody_asked(run: Run, portrait: bytes) -> None:
    Path("portrait.png").write_bytes(portrait)
    assert "face" not in run("upscale", "portrait.png", "-s", "2").err


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        ("", "no faces"),
        ("e", "1 face kept"),
        ("eee", "3 faces kept"),
        ("rr", "2 faces restored"),
        ("u", "1 face unchanged"),
        ("erru", "4 faces: 2 restored, 1 kept, 1 unchanged"),
    ],
)
def test_faces_in_words(tiers: str, told: str) -> None:
    points = ((8.0, 30.0), (24.0, 30.5), (16.0, 38.0), (9.0, 46.0), (23.0, 46.0))
    face = Face(0, 0, 32, 64, 0.9, points)
    named = {"e": "enhanced", "r": "restored", "u": "unchanged"}
    assert faces_told([FaceReport(face, named[tier]) for tier in tiers]) == told


def test_a_network_that_is_not_installed(run: Run) -> None:
    draw("a.png")
    done = run("upscale", "a.png", "--restore", "gfpgan")
    assert done.code == 1
    assert "superres models pull gfpgan" in done.told
    assert names(Path()) == ["a.png"]
    missing = run("upscale", "a.png", "--restore", "gfpgam")
    assert "did you mean 'gfpgan'?" in missing.told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--restore-strength", "0.5"], "name a network with --restore, too"),
        (["--restore", "gfpgan", "--restore-strength", "1.5"], "--restore-strength must be from 0"),
        (["--restore", "gfpgan", "--restore-strength", "nan"], "--restore-strength must be from 0"),
        (["--restore", "gfpgan", "-m", "anime"], "Faces are not looked for in drawings"),
    ],
)
def test_restoring_is_not_understood(run: Run, words: list[str], told: str) -> None:
    draw("a.png")
    done = run("upscale", "a.png", *words)
    assert done.code == 2
    assert told in done.told


def test_plain_lines_where_there_is_no_terminal(run: Run) -> None:
    draw("a.jpg")
    draw("b.jpg")
    lines = run("upscale", "a.jpg", "b.jpg").err.splitlines()
    assert lines[0].startswith("2 files: 0.00 → 0.00 megapixels")
    assert lines[1].startswith("[1/2] a.jpg → a_x4.png  48 × 32  ")
    assert lines[2].startswith("[2/2] b.jpg → b_x4.png  48 × 32  ")
    assert lines[3].startswith("2 files enlarged, 0.00 megapixels in ")
    assert len(lines) == 4
    assert not any("\x1b" in line for line in lines)


def test_quiet_tells_errors_only(run: Run) -> None:
    draw("a.jpg")
    assert run("upscale", "a.jpg", "-q").err == ""
    done = run("upscale", "a.jpg", "-q")
    assert done.code == 1
    assert done.err.startswith("error: a.jpg: a_x4.png exists already")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("width", ["80", "40"])
def test_dry_run_does_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    draw("in/a.jpg", 60, 40)
    draw("in/b.jpg")
    draw("in/b_x16.png")
    done = run("upscale", "in", "-s", "16", "-o", "new")
    before = names(folder)
    done = run("upscale", "in", "-s", "16", "-o", "other", "--dry-run")
    assert done.code == 0
    assert names(folder) == before
    told = " ".join(done.out.split())
    if width == "80":
        assert "60 × 40" in told
        assert "→ other/a_x16.png (png) 960 × 640 ×4 ×4" in told
    assert "2 files to make, 0.64 megapixels" in told
    assert "Skipped: in/b_x16.png: earlier result" in told
    assert max(map(len, done.out.splitlines()[:-1])) <= 80


def test_dry_run_in_json(run: Run, folder: Path) -> None:
    draw("a.jpg")
    Path("bad.jpg").touch()
    done = run("upscale", "a.jpg", "bad.jpg", "--dry-run", "--json")
    assert done.code == 1
    bad, good = done.records
    assert bad["error"]["code"] == "corrupt_image"
    assert (good["output"], good["out_width"], good["passes"]) == ("a_x4.png", 48, [4])
    assert {"seconds", "scratch_bytes", "memory_bytes"} <= set(good)
    assert names(folder) == ["a.jpg", "bad.jpg"]


def test_jobs_share_one_upscaler(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    meeting = threading.Barrier(3, timeout=20)
    seen = set()
    upscale_file = Upscaler.upscale_file

    def meet(self, *args, **named):
        meeting.wait()  # breaks unless three work at the same time
        seen.add(id(self))
        return upscale_file(self, *args, **named)

    monkeypatch.setattr(Upscaler, "upscale_file", meet)
    for n in range(6):
        draw(f"in/{n}.jpg")
    done = run("upscale", "in", "--jobs", "3")
    assert done.code == 0, done.err
    assert len(seen) == 1
    assert len(names(folder / "in")) == 12


# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["ünï — 日本.jpg", "a [bold]b[/bold].jpg", "-dash.jpg", "a b\n.jpg"]
)
def test_uncommon_names(run: Run, folder: Path, name: str) -> None:
    draw(name)
    done = run("upscale", "--json", "--", name)
    assert done.code == 0, done.err
    assert done.records[0]["input"] == name
    assert size_of(name.replace(".jpg", "_x4.png")) == (48, 32)
    lines = done.err.splitlines()
    assert len(lines) == 2  # a line break in a name is written out
    assert all(name.replace("\n", "\\n") in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="others want names in Unicode")
def test_names_that_are_not_utf8(run: Run, folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    draw("a.png").rename(name)
    done = run("upscale", ".", "--json")
    assert done.code == 0, done.err
    assert "caf\\xe9.png" in done.err
    assert os.fsencode(json.loads(done.out)["input"]) == b"caf\xe9.png"
    assert (folder / os.fsdecode(b"caf\xe9_x4.png")).exists()


def test_one_file_that_fails_is_told_once(run: Run) -> None:
    draw("a.jpg")
    cut = draw("cut.png", 64, 64)
    cut.write_bytes(cut.read_bytes()[:2000])
    assert run("upscale", "cut.png").err.count("cut.png: The") == 1
    assert "failed" not in run("upscale", "missing.jpg").err
