"""The small parts: gate, pace, outcome, what is written down."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import (
    BadParameter,
    ImageTooLarge,
    ImageTooSmall,
    SourceTooLarge,
    UnsupportedFormat,
)
from superres.executors.recipe import Recipe, Rules
from superres.faces import Face, FaceReport
from superres.imageio import Header, OutputOptions
from superres.jobs import request
from superres.jobs.gate import Closed, Gate
from superres.jobs.job import (
    FINAL,
    ItemResult,
    State,
    outcome,
    result_from_json,
    result_to_json,
)
from superres.jobs.pace import Pace, expected, work_of
from superres.jobs.request import Callback, FromBlob, FromUrl
from superres.pipeline import UpscaleOptions

FINALS = sorted(FINAL)


def test_the_gate_lets_the_urgent_in_first() -> None:
    gate, order = Gate(1), []
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with gate.inside((5,)):
            inside.set()
            go.wait(10)

    def later(urgency: int, name: str) -> None:
        with gate.inside((urgency,)):
            order.append(name)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    inside.wait(10)
    for urgency, name in ((9, "c"), (1, "a"), (5, "b"), (9, "d")):
        threads.append(threading.Thread(target=later, args=(urgency, name)))
        threads[-1].start()
        time.sleep(0.05)
    go.set()
    for thread in threads:
        thread.join(10)
    assert order == ["a", "b", "c", "d"]


def test_a_closed_gate() -> None:
    gate = Gate(0)
    said = []

    def wait() -> None:
        try:
            with gate.inside((1,)):
                said.append("in")
        except Closed:
            said.append("closed")

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    gate.close()
    thread.join(10)
    assert said == ["closed"]
    with pytest.raises(Closed), Gate(1).inside((1,)), gate.inside((1,)):
        pass


@given(st.lists(st.sampled_from(FINALS), min_size=1), st.sampled_from([None, State.CLOSED]))
def test_outcome(states: list[State], why: State | None) -> None:
    found = outcome(states, why)
    assert found in FINAL
    assert (found is State.DONE) == (State.DONE in states)
    if State.DONE not in states and why is None:
        assert found is (State.TIMED_OUT if set(states) == {State.TIMED_OUT} else State.FAILED)


def test_pace_counts_busy_time_alone() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.value == 0
    now[0] = 100.0
    pace.begun()
    pace.begun()
    now[0] = 101.0
    pace.ended(4.0)
    now[0] = 102.0
    pace.ended(4.0)
    assert pace.value == pytest.approx(4.0, rel=0.02)
    now[0] = 1000.0
    assert pace.value == pytest.approx(4.0, rel=0.02)
    pace.begun()
    now[0] = 1001.0
    pace.ended(0.0)
    assert pace.value < 4.0


def test_work() -> None:
    assert work_of(1000, 1000, "general") == pytest.approx(1.0)
    assert work_of(1000, 1000, "photo") > 5
    assert expected(Recipe(UpscaleOptions(scale=8.0))) == pytest.approx(32.0)
    assert expected(Recipe(UpscaleOptions(width=1000, height=500))) == pytest.approx(0.5)
    assert expected(Recipe(UpscaleOptions(megapixels=3.0))) == pytest.approx(3.0)
    assert expected(Recipe(ladder=((500, 4.0), (4096, 1.0)))) == pytest.approx(8.0)


@given(
    scale=st.none() | st.floats(1, 16),
    fidelity=st.none() | st.floats(0, 1),
    quality=st.none() | st.integers(1, 100),
    formats=st.lists(st.sampled_from(["png", "jpeg", "bmp"]), max_size=3),
    side=st.none() | st.integers(1, 5000),
)
def test_what_is_written_down_is_read_again(scale, fidelity, quality, formats, side) -> None:
    recipe = Recipe(
        UpscaleOptions(scale, fidelity=fidelity, output=OutputOptions("jpeg", quality)),
        Rules(tuple(formats), side, side, side, 4.0, animations=False),
        ((500, 4.0), (1000, 2.0)),
        tuple(formats),
    )
    assert request.recipe_from_json(request.recipe_to_json(recipe)) == recipe


@pytest.mark.parametrize("source", [FromUrl("http://x/ü", True, False, 2.5), FromBlob("a" * 32)])
def test_sources_are_read_again(source: FromUrl | FromBlob) -> None:
    assert request.source_from_json(request.source_to_json(source)) == source


def test_callbacks_are_read_again() -> None:
    callback = Callback("https://x/", signed_by="AK1")
    assert request.callback_from_json(request.callback_to_json(callback)) == callback


def header(width: int, height: int, name: str = "png", frames: int = 1) -> Header:
    return Header(name, width, height, channels=3, bits=8, frames=frames)


def test_rules_include_both_ends(tmp_path) -> None:
    rules = Rules(("png",), 100, 256, 1023, 4.0, animations=False)
    for size in ((256, 256), (1023, 256), (256, 1023), (1020, 1023)):
        rules.check(header(*size))
    Rules(max_aspect=4.0).check(header(1024, 256))
    wrong = [
        (header(255, 256), ImageTooSmall, "at least 256"),
        (header(1024, 300), ImageTooLarge, "at most 1,023"),
        (header(300, 1024), ImageTooLarge, "at most 1,023"),
        (header(300, 300, "webp"), UnsupportedFormat, "WEBP"),
        (header(300, 300, frames=2), UnsupportedFormat, "2 frames"),
    ]
    for found, error, words in wrong:
        with pytest.raises(error, match=words):
            rules.check(found)
    with pytest.raises(UnsupportedFormat, match="4 times"):
        Rules(max_aspect=4.0).check(header(1025, 256))
    file = tmp_path / "x"
    file.write_bytes(b"x" * 100)
    rules.check_file(file)
    file.write_bytes(b"x" * 101)
    with pytest.raises(SourceTooLarge, match="at most 100"):
        rules.check_file(file)


@pytest.mark.parametrize(
    ("side", "scale"), [(10, 4), (500, 4), (501, 2), (1000, 2), (1001, 1), (4096, 1)]
)
def test_the_ladder(side: int, scale: float) -> None:
    recipe = Recipe(ladder=((500, 4.0), (1000, 2.0), (4096, 1.0)), keep_formats=("jpeg", "png"))
    assert recipe.settle(header(side, 9)).scale == scale
    assert recipe.settle(header(9, side, "jpeg")).output.format == "jpeg"
    assert recipe.settle(header(9, side, "webp")).output.format == "png"


def test_above_the_ladder() -> None:
    with pytest.raises(ImageTooLarge, match="at most 500"):
        Recipe(ladder=((500, 4.0),)).settle(header(501, 1))


FACE = Face(
    -3.25, 10.5, 40.0, 52.0, 0.9312, ((8.0, 30.0), (24.0, 30.5), (16.0, 38.0), (9, 46), (23, 46))
)
RESULT = ItemResult(
    "b" * 32, "p_x2.png", "png", "image/png", 8, 6, 4, 3, 99, "general", 0.5, 0.1, 2.0, 1.5, 0.0
)


@pytest.mark.parametrize(
    "faces", [None, (), (FaceReport(FACE, "enhanced"), FaceReport(FACE, "restored"))]
)
def test_a_result_is_read_as_it_was_written(faces) -> None:
    result = replace(RESULT, faces=faces)
    assert result_from_json(result_to_json(result)) == result


def test_results_of_before_there_were_faces() -> None:
    record = json.loads(result_to_json(RESULT))
    del record["faces"]
    assert result_from_json(json.dumps(record)) == RESULT


def test_options_that_are_as_usual_are_left_out_so_that_older_versions_read_the_rest() -> None:
    record = json.loads(request.recipe_to_json(Recipe(UpscaleOptions(2.0))))
    assert record["options"] == {"scale": 2.0, "output": {}}
    recipe = Recipe(UpscaleOptions(tta=True, denoise=0.0))
    text = request.recipe_to_json(recipe)
    assert json.loads(text)["options"] == {"tta": True, "denoise": 0.0, "output": {}}
    assert request.recipe_from_json(text) == recipe
    output = OutputOptions("jpeg", 80)
    record = json.loads(request.recipe_to_json(Recipe(UpscaleOptions(face=True, output=output))))
    assert record["options"] == {"face": True, "output": {"format": "jpeg", "quality": 80}}


def test_what_another_version_wrote_down_is_refused_in_a_sentence() -> None:
    record = json.loads(request.recipe_to_json(Recipe()))
    record["options"]["colourise"] = True
    with pytest.raises(BadParameter, match="another version of superres"):
        request.recipe_from_json(json.dumps(record))


def test_faces_in_a_recipe() -> None:
    options = UpscaleOptions(face=True, restore="gfpgan", restore_strength=0.25)
    text = request.recipe_to_json(Recipe(options))
    assert request.recipe_from_json(text) == Recipe(options)
    record = json.loads(text)
    for name in ("face", "restore", "restore_strength"):  # handed in before there were faces
        del record["options"][name]
    assert request.recipe_from_json(json.dumps(record)) == Recipe()
