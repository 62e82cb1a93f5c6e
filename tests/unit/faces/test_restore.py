"""Which networks can restore faces here; and one that does, from its file to the picture."""

from __future__ import annotations

import importlib.util
import threading
import time
import weakref

import numpy as np
import pytest

from superres.errors import (
    Cancelled,
    EngineUnavailable,
    ModelNotFound,
    OutOfMemory,
    WeightsMissing,
)
from superres.faces import restore
from superres.faces.region import mask, oval
from superres.faces.restore import Restorers, check_restorer, installed
from superres.models.installed import InstalledWeights, WeightsFolder
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load
from tests.unit.engines.thin import have_torch, write_thin
from tests.unit.models.publisher import weights


@pytest.fixture
def settings(tmp_path):
    return load(None, {"models.weights_dir": tmp_path / "weights"})


@pytest.fixture
def with_torch(monkeypatch):
    """Look as if what runs the networks were there, all but spandrel_extra_arches."""
    find = importlib.util.find_spec

    def found(name, package=None):
        if name == "spandrel_extra_arches":
            return None
        return object() if name in ("torch", "spandrel") else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.fixture
def without_torch(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name)
    )


def add(settings, name, architecture, path):
    folder = WeightsFolder(settings.models.weights_dir)
    with folder.stage(path) as staged:
        folder.add(
            staged,
            InstalledWeights(
                name,
                architecture,
                "Apache-2.0",
                False,
                staged.sha256,
                staged.size,
                path.name,
                "2026-11-21T17:00:00+00:00",
            ),
        )


@pytest.fixture
def some(settings, tmp_path):
    """gfpgan, and codeformer under another name; names of tensors, no tensors."""
    for name, architecture in (("gfpgan", "GFPGAN"), ("mine", "CodeFormer")):
        path = tmp_path / f"{name}.pth"
        path.write_bytes(weights(architecture))
        add(settings, name, architecture, path)
    return settings


def test_without_weights(settings, with_torch):
    assert installed(settings) == ()
    with pytest.raises(WeightsMissing, match=r"models pull gfpgan \(or superres models add gfpgan"):
        check_restorer("gfpgan", settings)


def test_a_name_that_nobody_knows(some, with_torch):
    with pytest.raises(ModelNotFound, match="did you mean 'gfpgan'"):
        check_restorer("gfpgn", some)
    with pytest.raises(ModelNotFound, match="gfpgan, restoreformer, codeformer, mine"):
        check_restorer("\x1b[31m" + "x" * 500, some)


def test_without_torch(some, without_torch):
    assert installed(some) == ()
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        check_restorer("gfpgan", some)
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        Restorers(some).prove("gfpgan")


def test_without_either_the_weights_are_asked_for_first(settings, without_torch):
    with pytest.raises(WeightsMissing):
        Restorers(settings).check("gfpgan")


def test_what_is_installed(some, with_torch):
    check_restorer("gfpgan", some)
    (only,) = installed(some)  # CodeFormer needs a package that is not there
    assert (only.name, only.title, only.licence) == ("gfpgan", "GFPGAN", "Apache-2.0")
    assert "sharp" in only.purpose
    with pytest.raises(EngineUnavailable, match="spandrel_extra_arches"):
        check_restorer("mine", some)


def test_a_damaged_list_is_told_to_who_asks_by_name(some, with_torch):
    (some.models.weights_dir / "installed.json").write_text("{")
    assert installed(some) == ()
    with pytest.raises(WeightsMissing, match=r"installed\.json"):
        check_restorer("gfpgan", some)


class Loads:
    """Stands in for loading: counts, and how many networks are in memory at a time."""

    def __init__(self):
        self.done, self.most = [], 0
        self._alive = weakref.WeakSet()
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, file, architecture, threads):
        self.begun.set()
        assert self.go.wait(20)
        network = Network()
        self._alive.add(network)
        self.done.append((architecture, file.read()))
        self.most = max(self.most, len(self._alive))
        return network

    @property
    def architectures(self):
        return [architecture for architecture, _ in self.done]


class Network:
    pass


@pytest.fixture
def loads(monkeypatch):
    made = Loads()
    monkeypatch.setattr(restore, "load_restorer", made)
    monkeypatch.setattr(restore, "check_runtime", lambda architecture: None)
    return made


def test_one_network_is_kept_and_follows_what_is_installed(some, loads, tmp_path):
    networks = Restorers(some)
    with networks.use("gfpgan") as first, networks.use("gfpgan") as again:
        assert first is again
    del first, again
    for name in ("gfpgan", "mine", "mine", "gfpgan"):
        with networks.use(name):
            pass
    path = tmp_path / "new.pth"
    path.write_bytes(weights("GFPGAN", seed=1))
    add(some, "gfpgan", "GFPGAN", path)
    with networks.use("gfpgan"):
        pass
    networks.close()
    with networks.use("gfpgan"):
        pass
    assert loads.architectures == ["GFPGAN", "CodeFormer", "GFPGAN", "GFPGAN", "GFPGAN"]
    assert loads.done[-1][1] == path.read_bytes()
    assert loads.most == 1


def test_that_weights_load_is_proved_once(some, loads):
    networks = Restorers(some)
    for name in ("gfpgan", "mine", "gfpgan", "mine"):
        networks.prove(name)
    assert loads.architectures == ["GFPGAN", "CodeFormer"]


def test_another_network_waits_until_nobody_uses_the_first(some, loads):
    networks, began = Restorers(some), threading.Event()

    def other():
        with networks.use("mine"):
            began.set()

    with networks.use("gfpgan"):
        waiting = threading.Thread(target=other)
        waiting.start()
        assert not began.wait(0.5)
        with networks.use("gfpgan"):  # saves loading it again
            pass
        assert loads.architectures == ["GFPGAN"]
    waiting.join(10)
    assert began.is_set()
    assert loads.architectures == ["GFPGAN", "CodeFormer"]


def test_who_has_waited_long_goes_before_who_comes_later(some, loads, monkeypatch):
    monkeypatch.setattr(restore, "PATIENCE_S", 0.3)
    networks, order = Restorers(some), []

    def turn(name):
        with networks.use(name):
            order.append(name)

    with networks.use("gfpgan"):
        other = threading.Thread(target=turn, args=["mine"])
        other.start()
        time.sleep(0.6)
        late = threading.Thread(target=turn, args=["gfpgan"])
        late.start()
        time.sleep(0.3)
        assert order == []
    other.join(10)
    late.join(10)
    assert order == ["mine", "gfpgan"]


@pytest.mark.parametrize("busy", ["used", "loading"])
def test_waiting_can_be_stopped(some, loads, busy):
    networks, inside, leave = Restorers(some), threading.Event(), threading.Event()

    def first():
        with networks.use("gfpgan"):
            inside.set()
            leave.wait(20)

    if busy == "loading":
        loads.go.clear()
    holder = threading.Thread(target=first)
    holder.start()
    assert (inside if busy == "used" else loads.begun).wait(10)
    asked = []

    def check():
        asked.append(time.monotonic())
        if len(asked) > 2:
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled), networks.use("mine", check):
        pass
    loads.go.set()
    leave.set()
    holder.join(10)
    assert loads.architectures == ["GFPGAN"]
    with networks.use("mine"):  # nobody is taken for waiting any more
        pass


def test_what_fails_to_load_is_in_nobody_s_way(some, loads, monkeypatch):
    networks = Restorers(some)

    def fails(file, architecture, threads):
        raise OutOfMemory("It does not fit.")

    monkeypatch.setattr(restore, "load_restorer", fails)
    for _ in range(2):
        with pytest.raises(OutOfMemory):
            networks.prove("gfpgan")
    monkeypatch.setattr(restore, "load_restorer", loads)
    for name in ("mine", "gfpgan"):
        networks.prove(name)
    assert loads.architectures == ["CodeFormer", "GFPGAN"]


def test_many_who_want_different_networks_all_come_to_their_turn(some, loads, monkeypatch):
    monkeypatch.setattr(restore, "PATIENCE_S", 0.05)
    networks, inside, seen = Restorers(some), [], []

    def turns(name):
        for _ in range(5):
            with networks.use(name) as network:
                inside.append(id(network))
                seen.append(len(set(inside)))
                time.sleep(0.01)
                inside.remove(id(network))
                del network

    threads = [threading.Thread(target=turns, args=[n]) for n in ("gfpgan", "mine") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(seen) == 40
    assert set(seen) == {1}
    assert loads.most == 1


def test_weights_that_were_changed_are_not_loaded(some, with_torch):
    folder = WeightsFolder(some.models.weights_dir)
    (folder.folder / folder.get("gfpgan").file).write_bytes(b"other")
    with pytest.raises(WeightsMissing, match="not the ones that were added"):
        Restorers(some).prove("gfpgan")


@pytest.fixture
def portrait(photos):
    return np.ascontiguousarray(photos["astronaut"][:200, 130:330])


@pytest.mark.slow
def test_from_a_file_of_weights_to_the_picture(settings, tmp_path, portrait):
    """The real architecture, the real form of file, the real detector; random weights."""
    have_torch()
    add(settings, "gfpgan", "RestoreFormer", write_thin("RestoreFormer", tmp_path / "a.pth"))
    results = {}
    with Upscaler(settings) as up:
        for strength in (None, 0.0, 0.5, 0.5):
            faces = []
            options = UpscaleOptions(
                scale=2,
                face=True,
                restore=None if strength is None else "gfpgan",
                restore_strength=strength or 0.0,
            )
            picture = up.upscale_pixels(portrait, options, on_faces=faces.extend)
            ((face, tier),) = [(each.face, each.tier) for each in faces]
            results.setdefault(strength, []).append((picture, tier))
    ((plain, _),), ((zero, none),), ((half, some), (again, _)) = results.values()
    assert np.array_equal(plain, zero)
    assert none != "restored"
    assert some == "restored"
    assert np.array_equal(half, again), "same input, same bytes"
    inside = mask([oval(face)], 0, 0, *plain.shape[:2], 2) > 0
    assert np.array_equal(plain[~inside], half[~inside])
    assert (plain != half).any(2)[inside].mean() > 0.5


def test_asking_by_name_fails_before_any_work_and_face_alone_never(settings, portrait):
    with Upscaler(settings) as up:
        options = UpscaleOptions(scale=2, restore="gfpgan")
        with pytest.raises(WeightsMissing, match="models pull gfpgan"):
            up.upscale_pixels(portrait, options)
        picture = up.upscale_pixels(portrait, UpscaleOptions(scale=2, face=True))
    assert picture.shape == (400, 400, 3)
