"""Files of weights are told apart without running what is in them."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.models.checkpoint import architecture_of, tensor_names
from tests.unit.models.publisher import NAMES, archive, archive_of, safetensors, weights


@pytest.mark.parametrize("architecture", NAMES)
@pytest.mark.parametrize("prefix", ["", "module.", "netG."])
def test_each_network_is_known(tmp_path, architecture, prefix):
    path = tmp_path / "a.pth"
    path.write_bytes(weights(architecture, prefix))
    assert architecture_of(path) == architecture
    assert {prefix + name for name in NAMES[architecture]} <= tensor_names(path)


@pytest.mark.parametrize("architecture", NAMES)
def test_in_safetensors_too(tmp_path, architecture):
    path = tmp_path / "no-ending-says-it"
    path.write_bytes(safetensors(architecture))
    assert architecture_of(path) == architecture
    assert tensor_names(path) == set(NAMES[architecture])


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, eval, getattr, __import__, collections.Counter])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_what_would_be_run_is_refused_and_not_run(tmp_path, call, protocol):
    trace = tmp_path / "trace"
    content = dict.fromkeys(NAMES["GFPGAN"], 0)
    content["x"] = Evil(call, f"touch {trace}")
    path = tmp_path / "evil.pth"
    path.write_bytes(archive_of(pickle.dumps(content, protocol)))
    with pytest.raises(BadParameter, match="wants to be run"):
        architecture_of(path)
    assert not trace.exists()


def test_what_tensors_are_made_of_is_not_refused(tmp_path):
    made = b"".join(
        [
            pickle.PROTO + b"\x02",
            *(
                pickle.GLOBAL + each + b"\n" + pickle.POP
                for each in (
                    b"collections\nOrderedDict",
                    b"torch._utils\n_rebuild_tensor_v2",
                    b"torch._utils\n_rebuild_parameter",
                    b"torch\nFloatStorage",
                    b"torch\nBFloat16Storage",
                )
            ),
            pickle.dumps(dict.fromkeys(NAMES["GFPGAN"], 0), 2)[2:],
        ]
    )
    path = tmp_path / "a.pth"
    path.write_bytes(archive_of(made))
    assert architecture_of(path) == "GFPGAN"


@pytest.mark.parametrize("name", [b"torch\nload", b"torch\nFloatStorage.x", b"torch.hub\nload"])
def test_other_things_of_torch_are_refused(tmp_path, name):
    path = tmp_path / "a.pth"
    path.write_bytes(archive_of(pickle.PROTO + b"\x02" + pickle.GLOBAL + name + b"\n."))
    with pytest.raises(BadParameter, match="wants to be run"):
        tensor_names(path)


def test_weights_of_something_else(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(archive({"params": {"conv_first.weight": 0}}))
    with pytest.raises(BadParameter, match="not weights of a network that restores faces"):
        architecture_of(path)


GOOD = weights()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        GOOD[: len(GOOD) // 2],
        GOOD[:80] + b"\xff" * 20 + GOOD[100:],
        pickle.dumps({"a": 1}),
        archive({}, inner="data.pkl"),
        archive({}, inner="a/b/data.pkl"),
        archive_of(b"\x80\x02}q"),
        archive_of(b""),
        struct.pack("<Q", 10),
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{x",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
)
def test_what_is_no_file_of_weights(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(BadParameter, match="no file of weights"):
        architecture_of(path)


@given(st.data())
def test_whatever_it_is_there_is_an_answer(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.pth"
    content = bytearray(data.draw(st.sampled_from([GOOD, safetensors()])))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(BadParameter):
        assert architecture_of(path) in NAMES


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        architecture_of(tmp_path / "none.pth")
