"""The page in a real browser, against the real server."""

from __future__ import annotations

import io
import json
import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.e2e.page_server import PageServer, serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: make test-tools (apt-get install chromium)"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 20_000  # ms; the machine is shared
COLOURS = {
    (0, 0): (220, 60, 40),
    (1, 0): (40, 160, 80),
    (0, 1): (50, 80, 200),
    (1, 1): (240, 220, 60),
}


def picture(path: Path, width: int, height: int, **options: object) -> Path:
    """Four rectangles of different colours, so that a result can be told from another's."""
    image = Image.new("RGB", (width, height))
    for (x, y), colour in COLOURS.items():
        box = (x * width // 2, y * height // 2, width, height)
        image.paste(colour, box)
    image.save(path, **options)
    return path


def check_enlarged(path: Path | io.BytesIO, size: tuple[int, int], kind: str = "PNG") -> None:
    with Image.open(path) as image:
        assert image.format == kind
        assert image.size == size
        rgb = image.convert("RGB")
        for (x, y), colour in COLOURS.items():
            found = rgb.getpixel((size[0] * (1 + 2 * x) // 4, size[1] * (1 + 2 * y) // 4))
            assert all(abs(a - b) < 12 for a, b in zip(found, colour, strict=True)), (found, colour)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with serving(tmp_path_factory.mktemp("page"), pause=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


Open = Callable[..., object]


@pytest.fixture
def open_page(browser, server: PageServer) -> Iterator[Open]:
    """Opens the page; afterwards no script may have failed and no other host been asked."""
    contexts, hosts, wrong = [], set(), []

    def open_it(url: str = server.url, **options: object):
        options = {"viewport": {"width": 1280, "height": 800}} | options
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        context.on(
            "request",
            lambda asked: hosts.add((urlsplit(asked.url).scheme, urlsplit(asked.url).netloc)),
        )
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if "Content Security" in said.text else None,
        )
        page.goto(url)
        expect(page.locator("#models input").first).to_be_attached(timeout=WAIT)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert wrong == []
    asked = {host for scheme, host in hosts if scheme not in ("blob", "data")}
    assert asked <= {urlsplit(server.url).netloc}
    assert asked or not contexts


def row(page, name: str):
    return page.locator(".item").filter(has_text=name)


def finished(page, name: str) -> None:
    expect(row(page, name)).to_have_attribute("data-state", "done", timeout=WAIT)


def compared(page) -> None:
    expect(page.locator("#compare")).to_be_visible(timeout=WAIT)
    expect(page.locator("#after img")).to_be_attached(timeout=WAIT)


def share(page) -> int:
    return int(
        page.get_by_role("slider", name="Share of the original").get_attribute("aria-valuenow")
    )


def download(page, locator, into: Path) -> Path:
    with page.expect_download() as caught:
        locator.click()
    into.mkdir(exist_ok=True)
    target = into / caught.value.suggested_filename
    caught.value.save_as(target)
    return target


SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shifted += entry.value;
  }).observe({type: 'layout-shift'});
}"""


def test_from_a_picture_to_its_enlargement(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("radio", name="2 ×", exact=True).check()
    page.locator("#files").set_input_files(picture(tmp_path / "holiday.jpg", 1100, 740, quality=95))

    # Before it begins: what it will be. Then progress.
    expect(page.locator("#facts-line")).to_contain_text("1100 × 740 → 2200 × 1480 px")
    bar = page.locator("#card").get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", re.compile("^[1-9][0-9]$"), timeout=WAIT)
    expect(page.locator("#card-text")).to_contain_text(re.compile("Enlarging [1-9][0-9] %"))
    page.evaluate(SHIFTS)
    compared(page)
    assert page.evaluate("() => window.shifted") < 0.01
    expect(page.locator("#facts-line")).to_contain_text("1100 × 740 → 2200 × 1480 px · PNG")
    expect(page.locator("#facts-line")).to_contain_text(re.compile(r"\d\s[kM]B\s· [\d.]+\ss$"))
    expect(page.locator("#plainly")).to_contain_text("enlarged plainly by your browser")
    expect(page.get_by_role("status")).to_contain_text("holiday.jpg is done")

    # The divider follows the mouse.
    handle = page.get_by_role("slider", name="Share of the original")
    view = page.locator("#viewport").bounding_box()
    middle = handle.bounding_box()
    x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    assert share(page) == 50
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 150, y, steps=4)
    page.mouse.up()
    moved = handle.bounding_box()
    assert moved["x"] + moved["width"] / 2 == pytest.approx(x - 150, abs=2)
    assert 10 < share(page) < 45

    # And the arrow keys.
    expect(handle).to_be_focused()
    before = share(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert share(page) == before + 6
    page.keyboard.press("Home")
    assert share(page) == 0
    page.keyboard.press("End")
    assert share(page) == 100
    assert handle.get_attribute("aria-valuetext") == "100 % original, 0 % enlarged"

    # Zoom keeps what lies under the pointer where it is; "100 %" is a pixel for a pixel.
    picture_shown = page.locator("#after img")
    point = view["x"] + view["width"] * 0.7
    start = picture_shown.bounding_box()
    page.mouse.move(point, y)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(100)
    larger = picture_shown.bounding_box()
    assert larger["width"] > start["width"] * 1.5
    assert (point - larger["x"]) / larger["width"] == pytest.approx(
        (point - start["x"]) / start["width"], abs=0.01
    )
    page.get_by_role("button", name="Zoom to 100 %").click()
    assert picture_shown.bounding_box()["width"] == pytest.approx(2200, abs=1)
    left = picture_shown.bounding_box()["x"]
    page.mouse.move(view["x"] + 100, y)
    page.mouse.down()
    page.mouse.move(view["x"] + 160, y + 20, steps=3)
    page.mouse.up()
    assert picture_shown.bounding_box()["x"] == pytest.approx(left + 60, abs=1)
    page.get_by_role("button", name="Fit").click()
    assert picture_shown.bounding_box()["width"] == pytest.approx(start["width"], abs=1)

    target = download(page, page.get_by_role("link", name="Download", exact=True), tmp_path / "out")
    assert target.name == "holiday_x2.png"
    check_enlarged(target, (2200, 1480))


def paths(page) -> list[str]:
    """What the page asks of the API from now on, such as "POST /v1/jobs"."""
    asked = []

    def note(request) -> None:
        path = urlsplit(request.url).path
        if path.startswith("/v1/"):
            asked.append(f"{request.method} {path}")

    page.on("request", note)
    return asked


def states(page) -> list[str]:
    """Of all pictures, in their order."""
    return page.locator(".item").evaluate_all("rows => rows.map((row) => row.dataset.state)")


def all_done(page, count: int) -> None:
    expect(page.locator('.item[data-state="done"]')).to_have_count(count, timeout=WAIT)


def test_several_pictures_are_one_job(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    asked = paths(page)
    names = [f"p{n}.png" for n in range(4)] + ["P1.png"]
    files = [picture(tmp_path / name, 40 + 2 * n, 30) for n, name in enumerate(names)]
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear all, this is no picture.")
    page.locator("#files").set_input_files([*files, bad])
    expect(page.get_by_role("progressbar", name="Progress of all pictures")).to_be_visible()
    expect(page.locator("#overall-text")).to_contain_text("You can close this page")
    all_done(page, 5)
    expect(row(page, "letter.jpg")).to_have_attribute("data-state", "failed", timeout=WAIT)
    expect(row(page, "letter.jpg").locator(".state")).to_contain_text("is not a picture")
    expect(page.get_by_role("heading", name="5 of 6 done")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Progress of all pictures")).to_be_hidden()
    expect(page.get_by_role("status")).to_contain_text("5 of 6 pictures are done")
    assert asked.count("POST /v1/jobs") == 1
    assert "POST /v1/upscale" not in asked
    # Only what is shown is loaded: beside the first, what a person picks.
    compared(page)
    loaded = [path for path in asked if path.startswith("GET /v1/results/")]
    assert len(loaded) == 1
    row(page, "p2.png").locator(".pick").click()
    expect(page.locator("#facts-line")).to_contain_text("44 × 30 → 176 × 120 px")
    expect(page.get_by_role("img", name="Before: p2.png")).to_be_attached()

    archive = download(page, page.get_by_role("button", name="Download all"), tmp_path / "out")
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        # "p1" and "P1" would be one file on many a disk.
        assert sorted(name.lower() for name in opened.namelist()) == [
            "p0_x4.png", "p1_x4 (2).png", "p1_x4.png", "p2_x4.png", "p3_x4.png"
        ]  # fmt: skip
        check_enlarged(io.BytesIO(opened.read("p2_x4.png")), (176, 120))

    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("heading", name="Drop pictures here")).to_be_visible()
    expect(page.get_by_role("button", name="Choose pictures")).to_be_focused()
    page.reload()
    expect(page.locator("#models input").first).to_be_attached()
    expect(page.locator(".item")).to_have_count(0)


def test_what_is_handed_in_is_found_again(
    open_page: Open, server: PageServer, tmp_path: Path
) -> None:
    page = open_page()
    warnings = []
    page.on("dialog", lambda dialog: (warnings.append(dialog.message), dialog.accept()))
    files = [
        picture(tmp_path / f"{name}.png", 50, 40)
        for name in ("one", "two", "three", "four", "five")
    ]
    with server.held():
        page.locator("#files").set_input_files(files)
        expect(row(page, "one.png")).to_have_attribute("data-state", "working", timeout=WAIT)
        waiting = row(page, "five.png").locator(".state")
        expect(waiting).to_have_text(re.compile("^Waiting · about .* left$"))
        expect(page.locator("#overall-text")).to_have_text(
            re.compile("^About .* left. You can close this page: .* kept here for an hour.$")
        )
        assert unnamed(page) == []
        page.close()  # and somebody opens it again
        page = page.context.new_page()
        page.goto(server.url)
        expect(page.locator(".item")).to_have_count(5)
        expect(row(page, "one")).to_have_attribute("data-state", "working", timeout=WAIT)
        expect(row(page, "five")).to_have_attribute("data-state", "queued")
        page.reload()
        expect(page.locator(".item")).to_have_count(5)
    all_done(page, 5)
    assert warnings == []
    # The original is not there any more, and what would need it neither.
    expect(page.locator("#after img")).to_be_attached(timeout=WAIT)
    expect(page.locator("#divider")).to_be_hidden()
    expect(page.locator("#plainly")).to_contain_text("The original is not kept")
    expect(page.locator("#facts-line")).to_contain_text("50 × 40 → 200 × 160 px")
    expect(row(page, "one").locator("canvas")).to_be_attached()
    page.get_by_role("radio", name="2 ×", exact=True).check()
    expect(page.get_by_role("button", name="Enlarge again")).to_be_hidden()
    target = download(page, page.get_by_role("button", name="Download three"), tmp_path / "out")
    assert target.name == "three_x4.png"
    check_enlarged(target, (200, 160))
    # What is taken off the list stays off it.
    page.get_by_role("button", name="Remove two").click()
    page.reload()
    expect(page.locator(".item")).to_have_count(4)
    expect(row(page, "two")).to_have_count(0)


def test_cancelling_all(open_page: Open, server: PageServer, tmp_path: Path) -> None:
    page = open_page()
    asked = paths(page)
    files = [picture(tmp_path / f"{n}.png", 40, 40) for n in range(5)]
    # On the way up: hung up, and never taken.
    page.route("**/v1/jobs", lambda route: None)
    page.locator("#files").set_input_files(files)
    expect(row(page, "4.png")).to_have_attribute("data-state", "sending")
    expect(page.locator("#overall-text")).to_contain_text("Keep this page open")
    page.get_by_role("button", name="Cancel all").click()
    assert states(page) == ["cancelled"] * 5
    page.unroute("**/v1/jobs")
    with server.held():
        page.get_by_role("button", name="Try all again").click()
        expect(row(page, "0.png")).to_have_attribute("data-state", "working", timeout=WAIT)
        page.get_by_role("button", name="Cancel all").focus()
        page.keyboard.press("Enter")
        expect(page.locator('.item[data-state="cancelled"]')).to_have_count(5)
        expect(page.get_by_role("button", name="Add")).to_be_focused()
        assert [path.endswith("/cancel") for path in asked].count(True) == 1
    # One alone goes by itself, beside what is left of the others.
    page.get_by_role("button", name="Try again: 3.png").click()
    finished(page, "3.png")
    assert asked.count("POST /v1/upscale") == 1
    assert states(page).count("cancelled") == 4


def test_trouble_while_handing_in(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    asked = paths(page)
    answers = ["lost", "too large"]

    def trouble(route) -> None:
        kind = answers.pop(0) if answers else ""
        if kind == "lost":  # the server has taken it, but the page is never told
            route.fetch()
            route.abort("connectionreset")
        elif kind == "too large":  # of a proxy, which has no words for it
            route.fulfill(status=413, body="<h1>413</h1>", content_type="text/html")
        else:
            route.continue_()

    keys = []
    page.on(
        "request",
        lambda request: (
            keys.append(request.headers.get("idempotency-key"))
            if request.url.endswith("/v1/jobs")
            else None
        ),
    )
    page.route("**/v1/jobs", trouble)
    page.route("**/events", lambda route: route.abort())  # a proxy that lets no events through
    page.locator("#files").set_input_files(
        [picture(tmp_path / f"{n}.png", 40, 40) for n in range(3)]
    )
    expect(row(page, "2.png").locator(".state")).to_contain_text("Waiting", timeout=WAIT)
    all_done(page, 3)
    # Asked again with the same key, which a proxy refused; then each half with one of its own.
    assert len(keys) == 4
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3

    page.route(
        "**/v1/jobs",
        lambda route: route.fulfill(
            status=403, json={"error": {"code": "permission_denied", "message": "No jobs."}}
        ),
    )
    page.locator("#files").set_input_files([picture(tmp_path / f"{n}.png", 30, 30) for n in "ab"])
    finished(page, "a.png")
    finished(page, "b.png")
    assert asked.count("POST /v1/upscale") == 2


def test_a_server_without_workers_and_a_restart(browser, tmp_path: Path) -> None:
    environ = {"SUPERRES_JOBS__CONCURRENCY": "0", "SUPERRES_JOBS__SLOT_TIMEOUT": "1"}
    with serving(tmp_path / "server", pause=0.2, environ=environ) as idle:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.clock.install()
        page.goto(idle.url)
        page.locator("#files").set_input_files(
            [picture(tmp_path / f"{n}.png", 400, 300) for n in range(4)]
        )
        expect(page.locator('.item[data-state="queued"]')).to_have_count(4, timeout=WAIT)
        expect(page.locator("#overall-text")).to_contain_text("left. You can close this page")
        page.clock.fast_forward(50_000)
        expect(page.locator("#overall-text")).to_contain_text(
            re.compile("^Nothing has moved for about .*: the server has nobody at work")
        )
        idle.process.kill()
        idle.process.wait(20)
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        assert states(page) == ["queued"] * 4
        idle.environ = {"SUPERRES_JOBS__SLOT_TIMEOUT": "1"}
        idle.start()
        page.clock.fast_forward(20_000)
        expect(page.get_by_role("alert")).to_be_hidden(timeout=WAIT)
        expect(row(page, "0.png")).to_have_attribute("data-state", "working", timeout=WAIT)
        expect(page.locator("#overall-text")).not_to_contain_text("Nothing has moved")
        # In the middle of it once more.
        idle.process.kill()
        idle.process.wait(20)
        idle.start()
        page.evaluate("() => window.dispatchEvent(new Event('online'))")
        all_done(page, 4)
        context.close()


def test_choices_reach_the_server(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Times each side").fill("2.5")
    page.get_by_role("radio", name="Drawing, quickly").check()
    page.get_by_role("slider", name="How it should look").fill("80")
    expect(page.locator("#detail-help")).to_contain_text("texture of its own")
    page.get_by_label("Save as").select_option(label="WebP – smaller files")
    with page.expect_response("**/v1/upscale") as caught:
        page.locator("#files").set_input_files(picture(tmp_path / "a.png", 50, 31))
    finished(page, "a.png")
    *_, result = re.findall(r"^data: *(.*?)\r?$", caught.value.text(), re.MULTILINE)
    used = {name: json.loads(result)[name] for name in ("scale", "model", "fidelity", "format")}
    assert used == {"scale": 2.5, "model": "anime-video", "fidelity": 0.2, "format": "webp"}
    target = download(page, page.get_by_role("link", name="Download", exact=True), tmp_path / "out")
    assert target.name == "a_x2.5.webp"
    check_enlarged(target, (125, 78), "WEBP")

    # The same picture once more, with other settings, beside the first result.
    page.get_by_role("radio", name="2 ×", exact=True).check()
    expect(page.locator("#estimate")).to_contain_text("100 × 62 px")
    page.get_by_role("button", name="Enlarge again").click()
    expect(page.locator(".item")).to_have_count(2)
    expect(page.locator("#facts-line")).to_contain_text(
        "50 × 31 → 100 × 62 px · WEBP", timeout=WAIT
    )

    page.get_by_role("radio", name="People").check()
    expect(page.get_by_role("slider", name="How it should look")).to_be_disabled()


def test_a_bad_file_is_told_in_the_servers_words(
    open_page: Open, server: PageServer, tmp_path: Path
) -> None:
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear all, <b>this</b> is no picture.")
    request = urllib.request.Request(
        f"{server.url}/v1/upscale", bad.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value as answer:
        sentence = json.load(answer)["error"]["message"]

    page = open_page()
    page.locator("#files").set_input_files([bad, picture(tmp_path / "good.png", 20, 20)])
    expect(row(page, "letter.jpg")).to_have_attribute("data-state", "failed", timeout=WAIT)
    expect(page.locator("#card-text")).to_have_text(sentence)
    expect(row(page, "letter.jpg").locator(".state")).to_have_text(sentence)
    finished(page, "good.png")  # the others go on
    page.get_by_role("button", name="Remove letter.jpg").click()
    expect(page.locator(".item")).to_have_count(1)


def test_cancelling_stops_the_server_too(
    open_page: Open, server: PageServer, tmp_path: Path
) -> None:
    page = open_page()
    page.locator("#files").set_input_files(picture(tmp_path / "large.png", 1400, 1000))
    expect(row(page, "large.png")).to_have_attribute("data-state", "working", timeout=WAIT)
    assert server.metric("superres_running") == 1
    page.locator("#stop").click()
    expect(row(page, "large.png")).to_have_attribute("data-state", "cancelled")
    until = time.monotonic() + 5
    while server.metric("superres_running") and time.monotonic() < until:
        time.sleep(0.1)
    assert server.metric("superres_running") == 0
    # And again, by the list's own button, then from the start.
    page.get_by_role("button", name="Try again: large.png").click()
    page.get_by_role("button", name="Cancel large.png").click()
    expect(page.locator("#card-text")).to_have_text("Cancelled")


PASTE = """([type, name, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
  const event = type === 'paste'
    ? new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true})
    : new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true});
  (document.activeElement ?? document.body).dispatchEvent(event);
}"""


def test_pasting_and_dropping(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    content = list(picture(tmp_path / "in.png", 24, 16).read_bytes())
    page.evaluate(PASTE, ["paste", "image.png", content])
    finished(page, "pasted.png")
    page.evaluate(PASTE, ["dragenter", "x.png", content])
    expect(page.get_by_text("Drop to enlarge")).to_be_visible()
    page.evaluate(PASTE, ["drop", "dropped.png", content])
    expect(page.get_by_text("Drop to enlarge")).to_be_hidden()
    finished(page, "dropped.png")
    target = download(
        page, page.get_by_role("button", name="Download pasted.png"), tmp_path / "out"
    )
    check_enlarged(target, (96, 64))


CONTRAST = """() => {
  const parse = (text) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('.unseen, .chip, .skip, option, script, noscript')) continue;
    let behind = element;
    const back = () => parse(getComputedStyle(behind).backgroundColor);
    while (behind !== document.body && back()[3] < 255) behind = behind.parentElement;
    const a = light(parse(getComputedStyle(element).color));
    const b = light(back());
    found.push([node.data.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(open_page: Open, tmp_path: Path, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    background = "() => getComputedStyle(document.body).backgroundColor"
    bright = sum(map(int, re.findall(r"\d+", page.evaluate(background))[:3])) > 384
    assert bright == (scheme == "light")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no")
    page.locator("#files").set_input_files([picture(tmp_path / "a.png", 30, 20), bad])
    compared(page)
    expect(row(page, "bad.png")).to_have_attribute("data-state", "failed", timeout=WAIT)
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 25
    assert [(text, ratio) for text, ratio in ratios if ratio < 4.5] == []


def test_the_colours_chosen_are_kept(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    button = page.get_by_role("button", name="Colours:")
    expect(button).to_have_accessible_name("Colours: automatic")
    button.click()
    button.click()
    expect(button).to_have_accessible_name("Colours: dark")
    page.reload()
    expect(button).to_have_accessible_name("Colours: dark")
    assert (
        page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 21)"
    )


def test_a_phone(open_page: Open, tmp_path: Path) -> None:
    page = open_page(
        viewport={"width": 360, "height": 740},
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    width = "() => document.documentElement.scrollWidth"
    assert page.evaluate(width) == 360
    name = "a_rather_long_name_as_cameras_and_messengers_like_to_give_20261121_061500_000.jpg"
    page.locator("#files").set_input_files(picture(tmp_path / name, 300, 200))
    expect(page.locator("#card")).to_be_visible()
    assert page.evaluate(width) == 360
    compared(page)
    assert page.evaluate(width) == 360
    # A finger slides the divider.
    box = page.get_by_role("slider", name="Share of the original").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    touch.send(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    )
    for step in range(1, 7):
        points = [{"x": x + 15 * step, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    assert share(page) > 65
    # Two fingers zoom.
    for kind, spread in (("touchStart", 40), ("touchMove", 60), ("touchMove", 100)):
        points = [{"x": 180 - spread, "y": y, "id": 0}, {"x": 180 + spread, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    assert page.locator("#after img").bounding_box()["width"] > 360 * 1.5


NAMED = {
    "button", "checkbox", "combobox", "dialog", "form", "group", "image", "link", "progressbar",
    "radio", "region", "slider", "spinbutton", "textbox",
}  # fmt: skip


def unnamed(page) -> list[dict[str, object]]:
    """Nodes of the accessibility tree that should have a name and have none."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    seen = [node for node in tree["nodes"] if not node["ignored"]]
    roles = {node["role"]["value"] for node in seen}
    assert {"button", "radio", "slider", "combobox"} <= roles
    return [
        node
        for node in seen
        if node["role"]["value"] in NAMED
        and node["role"].get("type") == "role"
        and not node.get("name", {}).get("value", "").strip()
    ]


def test_every_control_has_a_name(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    assert unnamed(page) == []
    page.get_by_role("radio", name="Custom").check()
    page.locator("#files").set_input_files(
        [picture(tmp_path / "large.png", 900, 700), picture(tmp_path / "a.png", 30, 20)]
    )
    expect(row(page, "large.png")).to_have_attribute("data-state", "working", timeout=WAIT)
    assert unnamed(page) == []
    finished(page, "a.png")
    compared(page)
    assert unnamed(page) == []
    expect(page.get_by_role("img", name="Before: large.png")).to_be_attached()


def test_the_keyboard_alone(open_page: Open, tmp_path: Path) -> None:
    page = open_page()

    def tab_to(locator, most: int = 40) -> None:
        for _ in range(most):
            if locator.evaluate("node => node === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{locator} is not reached by Tab")

    with page.expect_file_chooser() as chooser:
        page.wait_for_timeout(200)  # for the browser to be told that a test answers the chooser
        tab_to(page.get_by_role("button", name="Choose pictures"))
        page.keyboard.press("Enter")
    chooser.value.set_files(picture(tmp_path / "keys.png", 64, 48))
    compared(page)
    view = page.locator("#viewport")
    page.evaluate("() => document.activeElement.blur()")
    tab_to(view)
    outline = "node => getComputedStyle(node).outlineStyle"
    assert view.evaluate(outline) == "solid"
    for _ in range(8):
        page.keyboard.press("+")
    left = page.locator("#after img").bounding_box()["x"]
    page.keyboard.press("ArrowRight")
    assert page.locator("#after img").bounding_box()["x"] == pytest.approx(left - 60, abs=1)
    page.keyboard.press("0")
    handle = page.get_by_role("slider", name="Share of the original")
    tab_to(handle)
    page.keyboard.press("PageUp")
    assert share(page) == 60
    link = page.get_by_role("link", name="Download", exact=True)
    tab_to(link)
    with page.expect_download() as caught:
        page.keyboard.press("Enter")
    caught.value.save_as(tmp_path / "out.png")
    check_enlarged(tmp_path / "out.png", (256, 192))
    tab_to(page.get_by_role("button", name="Remove keys.png"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_focused()


def test_pictures_that_a_browser_cannot_show(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.locator("#files").set_input_files(picture(tmp_path / "scan.tif", 30, 20))
    expect(page.locator("#card-text")).to_contain_text("cannot show TIFF", timeout=WAIT)
    target = download(page, page.get_by_role("link", name="Download", exact=True), tmp_path / "out")
    check_enlarged(target, (120, 80), "TIFF")
    # The result can be shown, the original cannot: no comparison then.
    page.get_by_label("Save as").select_option("png")
    page.get_by_role("button", name="Enlarge again").click()
    compared(page)
    expect(page.locator("#plainly")).to_contain_text("cannot show the original (TIF)")
    expect(page.locator("#divider")).to_be_hidden()


def test_a_result_that_the_server_no_longer_has(
    open_page: Open, server: PageServer, tmp_path: Path
) -> None:
    page = open_page()
    page.route("**/never", lambda route: route.abort())  # Playwright's way to have no cache
    page.locator("#files").set_input_files(picture(tmp_path / "gone.png", 31, 20))
    compared(page)
    link = page.get_by_role("link", name="Download", exact=True)
    blob = urlsplit(link.get_attribute("href")).path.rpartition("/")[2]
    (kept,) = (server.data / "data" / "objects" / "superres" / "blobs").glob(f"{blob}*")
    kept.unlink()
    link.click()
    expect(page.locator("#card-text")).to_contain_text("no longer has this result")
    page.locator("#begin").click()
    finished(page, "gone.png")
    check_enlarged(download(page, link, tmp_path / "out"), (124, 80))


@pytest.mark.slow
def test_a_huge_result_is_shown_reduced(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Times each side").fill("16")
    page.get_by_role("radio", name="People").check()
    page.get_by_label("Save as").select_option("jpeg")
    page.locator("#files").set_input_files(picture(tmp_path / "huge.png", 500, 420))
    expect(page.locator("#plainly")).to_contain_text("Shown reduced", timeout=3 * WAIT)
    shown = page.locator("#after canvas")
    assert shown.evaluate("node => [node.width, node.height]") == [4096, 3441]
    page.get_by_role("button", name="Zoom to 100 %").click()
    assert shown.bounding_box()["width"] == pytest.approx(8000, abs=1)


def test_what_is_large_waits_for_a_word(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Times each side").fill("16")
    page.locator("#files").set_input_files(picture(tmp_path / "wall.png", 800, 700))
    expect(page.locator("#card-text")).to_contain_text("This is large: 12800 × 11200 px")
    page.get_by_role("radio", name="2 ×", exact=True).check()
    expect(page.locator("#card-text")).to_contain_text("Ready · 1600 × 1400 px")
    page.get_by_role("button", name="Start", exact=True).click()
    finished(page, "wall.png")


def kept(page) -> list[str]:
    """The jobs that the browser remembers: the key and the value."""
    key = "superres.jobs"
    return [key, page.evaluate("(key) => localStorage.getItem(key)", key)]


def test_an_access_token(open_page: Open, server: PageServer, tmp_path: Path, browser) -> None:
    # Through a proxy nobody is local, and the server wants to know who is asking.
    context = browser.new_context(extra_http_headers={"X-Forwarded-For": "192.0.2.7"})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    dialog = page.get_by_role("dialog", name="Access token")
    if not dialog.is_visible():
        page.locator("#files").set_input_files(picture(tmp_path / "a.png", 30, 20))
    expect(dialog).to_be_visible(timeout=WAIT)
    page.get_by_label("Token", exact=True).fill("wrong-token")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("did not accept", timeout=WAIT)
    token = server.new_token()
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use it").click()
    expect(dialog).to_be_hidden()
    page.locator("#files").set_input_files(picture(tmp_path / "b.png", 30, 20))
    finished(page, "b.png")
    expect(page.locator("#after img")).to_be_attached(timeout=WAIT)  # links need no header
    # What was handed in with it is found again, by who has it and by nobody else.
    page.locator("#files").set_input_files([picture(tmp_path / f"{n}.png", 30, 20) for n in "cd"])
    finished(page, "c.png")
    finished(page, "d.png")
    page.reload()
    expect(page.locator('.item[data-state="done"]')).to_have_count(2, timeout=WAIT)
    other = open_page()
    other.evaluate("([key, value]) => localStorage.setItem(key, value)", kept(page))
    other.reload()
    expect(other.locator("#models input").first).to_be_attached(timeout=WAIT)
    expect(other.locator(".item")).to_have_count(0)
    assert kept(other) == kept(page)
    assert all(token not in url for url in asked)
    assert token not in page.evaluate("() => JSON.stringify({...localStorage}) + document.cookie")
    page.get_by_role("button", name="Forget token").click()
    assert token not in page.evaluate("() => JSON.stringify({...sessionStorage})")
    context.close()


def test_faces(open_page: Open, portrait: bytes, tmp_path: Path) -> None:
    page = open_page()
    switch = page.get_by_role("switch", name="Faces")
    expect(switch).to_be_checked()
    people = tmp_path / "people.png"
    people.write_bytes(portrait)
    page.get_by_role("radio", name="2 ×", exact=True).check()
    page.locator("#files").set_input_files(people)
    compared(page)
    found = page.get_by_role("button", name="1 face kept")
    expect(found).to_be_visible()

    # Where it is: while the pointer is there, or for good.
    frame = page.locator("#marks i")
    expect(frame).to_be_hidden()
    found.hover()
    expect(frame).to_be_visible()
    box, image = frame.bounding_box(), page.locator("#after img").bounding_box()
    zoom = image["width"] / 200
    x, y = (box["x"] - image["x"]) / zoom, (box["y"] - image["y"]) / zoom
    assert x < 72 < x + box["width"] / zoom
    assert y < 122 < y + box["height"] / zoom
    page.mouse.move(0, 0)
    expect(frame).to_be_hidden()
    found.click()
    page.mouse.move(0, 0)
    expect(found).to_have_attribute("aria-pressed", "true")
    page.locator("#viewport").hover()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    larger, zoomed = page.locator("#after img").bounding_box(), frame.bounding_box()
    assert larger["width"] > image["width"] * 1.2
    assert zoomed["width"] / larger["width"] == pytest.approx(box["width"] / image["width"], 0.02)

    # Together with another, as a job; then without.
    wall = picture(tmp_path / "wall.png", 40, 30)
    page.locator("#files").set_input_files([people, wall])
    all_done(page, 3)
    row(page, "wall.png").locator(".pick").click()
    expect(page.get_by_role("button", name="no faces found")).to_be_disabled()
    switch.uncheck()
    row(page, "people.png").last.locator(".pick").click()
    expect(found).to_be_visible()
    page.get_by_role("button", name="Enlarge again").click()
    all_done(page, 4)
    row(page, "people.png").last.locator(".pick").click()
    compared(page)
    expect(page.locator("#faces-found")).to_be_hidden()
    page.get_by_role("radio", name="Drawing or anime").check()
    expect(switch).to_be_disabled()


def test_a_busy_server_and_one_that_goes_away(browser, tmp_path: Path) -> None:
    environ = {"SUPERRES_WORKERS__CONCURRENCY": "1", "SUPERRES_WORKERS__QUEUE": "0"}
    with serving(tmp_path / "server", pause=0.2, environ=environ) as small:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(small.url)
        for name in ("one", "two"):  # each by itself
            page.locator("#files").set_input_files(picture(tmp_path / f"{name}.png", 600, 500))
            expect(row(page, f"{name}.png")).not_to_have_attribute("data-state", "reading")
        later = page.locator('.item[data-state="later"]')
        expect(later.locator(".state")).to_contain_text(re.compile(r"Trying again in \d+ s"))
        finished(page, "one.png")
        finished(page, "two.png")

        page.locator("#files").set_input_files(picture(tmp_path / "three.png", 900, 800))
        expect(row(page, "three.png")).to_have_attribute("data-state", "working", timeout=WAIT)
        small.process.kill()
        small.process.wait(20)
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        expect(row(page, "three.png").locator(".state")).to_contain_text("connection was lost")
        small.start()
        page.evaluate("() => window.dispatchEvent(new Event('online'))")  # asks at once
        expect(page.get_by_role("alert")).to_be_hidden(timeout=WAIT)
        finished(page, "three.png")
        context.close()


def test_words_and_events(open_page: Open) -> None:
    page = open_page()
    told = page.evaluate(
        """async () => {
          const words = await import('/assets/web/words.js');
          const {EventReader} = await import('/assets/web/events.js');
          const {waits} = await import('/assets/web/waits.js');
          const {gather} = await import('/assets/web/batches.js');
          const events = [];
          const reader = new EventReader((type, data, id) => events.push([type, data, id]));
          const text = ': hello\\r\\n\\r\\n'
            + 'event: progress\\r\\ndata: {"a":\\r\\ndata: 1}\\r\\n\\r\\n'
            + 'id: 7\\nevent:result\\ndata:x\\n\\ndata: é\\n\\n';
          for (const letter of text) reader.feed(letter);
          const job = (...states) => ({
            wait_seconds: 12,
            images: states.map(([state, progress]) => ({state, progress})),
          });
          const fresh = job(['waiting', 0], ['waiting', 0], ['waiting', 0]);
          const begun = job(['done', 1], ['running', 0.5], ['waiting', 0]);
          const line = (...sizes) =>
            sizes.map((size) => ({state: size ? 'waiting' : 'reading', file: {size: size * 1e6}}));
          const limits = {items: 3, bytes: 20e6};
          const count = (...sizes) => gather(line(...sizes), limits)?.length ?? null;
          return {
            events,
            names: words.distinct(['a.png', 'A.png', 'a.png', 'b']),
            result: words.resultName('x/my.photo.jpeg', 2.5, 'jpeg'),
            bytes: [words.bytes(999), words.bytes(5_240_000), words.bytes(268_435_456)],
            about: [0.2, 42, 80, 600, 7200].map(words.about),
            seconds: [3.42, 59.7, 130, 7300].map(words.seconds),
            span: [60, 90, 3600, 5400, 86400, 604800].map(words.span),
            waits: [
              waits(fresh, [1, 2, 3], 6), // another of ours comes first
              waits(fresh, [1, 2, 3], null), // who knows what comes first
              waits(begun, [3, 1, null], 99), // nothing does any more
              waits({...begun, wait_seconds: null}, [], null),
            ],
            gathered: [count(1, 1), count(1, 0), count(9, 9, 9), count(1, 1, 1, 0), count(99, 0)],
            enlarged: [words.enlarged(3, 2.5), words.enlarged(1, 1)],
            line: words.line(['1 × 2 → 10 × 20 px', '', 'PNG', '3.5 MB', '2 min 3 s']),
            faces: ["", "e", "eee", "eru"].map((tiers) => words.faces([...tiers].map((tier) => ({
              tier: {e: "enhanced", r: "restored", u: "unchanged"}[tier],
            })))),
          };
        }"""
    )
    assert told == {
        "events": [
            ["progress", '{"a":\n1}', ""],
            ["result", "x", "7"],
            ["message", "é", "7"],
        ],
        "names": ["a.png", "A (2).png", "a (3).png", "b"],
        "result": "my.photo_x2.5.jpg",
        "bytes": ["999 bytes", "5.2 MB", "268 MB"],
        "about": [
            "about a second",
            "about 40 seconds",
            "about a minute",
            "about 10 minutes",
            "about 2 hours",
        ],
        "seconds": ["3.4 s", "1 min", "2 min 10 s", "2 h 2 min"],
        "span": ["1 minute", "1 minute", "an hour", "90 minutes", "24 hours", "7 days"],
        "waits": [[7, 9, 12], [12, 12, 12], [0, 2.4, 12], [None, None, None]],
        "gathered": [2, None, 2, 3, 1],
        "enlarged": [8, 1],
        "line": "1_×_2 → 10_×_20_px_· PNG_· 3.5_MB_· 2_min 3_s".replace("_", "\u00a0"),
        "faces": [
            "no faces found",
            "1 face kept",
            "3 faces kept",
            "3 faces: 1 restored, 1 kept, 1 unchanged",
        ],
    }


def test_headers_of_the_page(server: PageServer) -> None:
    with urllib.request.urlopen(server.url + "/", timeout=10) as answer:
        headers = answer.headers
        page = answer.read().decode()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page)
    again = urllib.request.Request(server.url + "/", headers={"If-None-Match": headers["ETag"]})
    for url, status in (
        (again, 304),
        (server.url + "/assets/web/nothing.js", 404),
        (server.url + "/assets/web/..%2f__init__.py", 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10)
        refused.value.close()
        assert refused.value.code == status
