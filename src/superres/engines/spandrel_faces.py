"""Networks that restore faces, run by PyTorch on the processor: GFPGAN, RestoreFormer, CodeFormer.

spandrel knows the architectures and builds them from the weights' shapes. It is asked for no more:
its own way to run GFPGAN and CodeFormer leaves out that both see and answer -1…1, and lets GFPGAN
draw noise anew with every call. torch and spandrel are imported when weights are loaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from superres.engines.spandrel_import import check_installed, import_spandrel, read_tensors
from superres.errors import EngineError, EngineUnavailable, OutOfMemory, WeightsMissing

SIDE = 512
"""Height and width that these networks take, in pixels."""

CODEFORMER_FIDELITY = 0.7
"""How much of CodeFormer's input goes round its code book, 0…1: its own default, 0.5, is freer."""

_MOST_VALUES = 1 << 29
"""Shapes make the network, and a small file can claim large ones: the largest here has 94 M."""

_WAIT_S = 0.2

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "GFPGAN": {"return_rgb": False, "randomize_noise": False},
    "RestoreFormer": {},
    "CodeFormer": {"weight": CODEFORMER_FIDELITY},
}


def check_runtime(architecture: str) -> None:
    """See that what runs ``architecture`` is installed, without importing it.

    Raises:
        EngineUnavailable: it is not; the sentence says how to install it.
    """
    check_installed("Restoring faces needs")
    if architecture == "CodeFormer" and importlib.util.find_spec("spandrel_extra_arches") is None:
        raise EngineUnavailable(
            "CodeFormer needs one more package, whose licence is non-commercial too: "
            "pip install spandrel_extra_arches"
        )


class FaceRestorer:
    """A loaded network. Thread-safe; one face at a time, for the memory that each takes."""

    def __init__(self, model: Any, architecture: str, threads: int) -> None:
        self._model = model
        self._arguments = _ARGUMENTS[architecture]
        self._threads = threads
        self._lock = threading.Lock()
        self._check: Callable[[], None] = _unasked
        for part in model.modules():
            part.register_forward_pre_hook(lambda *_: self._check())

    def __call__(
        self, face: NDArray[np.float32], check: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        """Restore one face; blocks for seconds.

        Args:
            face: ``(512, 512, 3)`` RGB in [0, 1], aligned to the template of
                ``superres.faces.align``.
            check: called a few times a second; what it raises stops the work.

        Returns:
            The same, restored; not finite where the network went wrong.

        Raises:
            OutOfMemory, EngineError: PyTorch failed.
        """
        import torch

        values = np.ascontiguousarray(face.transpose(2, 0, 1)[None] * np.float32(2) - np.float32(1))
        with self._turn(check or _unasked), _translated(), torch.inference_mode():
            if self._threads:
                torch.set_num_threads(self._threads)
            restored = self._model(torch.from_numpy(values), **self._arguments)[0][0]
            restored = ((restored + 1) / 2).clamp_(0, 1)
            result: NDArray[np.float32] = restored.permute(1, 2, 0).contiguous().numpy()
        return result

    @contextlib.contextmanager
    def _turn(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait for others to be done, and be asked by every part of the network from then on."""
        while not self._lock.acquire(timeout=_WAIT_S):
            check()
        self._check = check
        try:
            yield
        finally:
            self._check = _unasked
            self._lock.release()


def _unasked() -> None:
    pass


def load_restorer(file: BinaryIO, architecture: str, threads: int = 0) -> FaceRestorer:
    """Load weights. Nothing that is in the file is run.

    Args:
        file: of PyTorch's or safetensors' form, at its start.
        architecture: "GFPGAN", "RestoreFormer" or "CodeFormer": what the weights must be.
        threads: processors to use; 0 leaves it to PyTorch.

    Raises:
        EngineUnavailable: PyTorch or spandrel cannot be had.
        WeightsMissing: the file holds something else.
        OutOfMemory: they do not fit.
    """
    check_runtime(architecture)
    spandrel = _spandrel(architecture)
    try:
        with _translated():
            tensors = spandrel.canonicalize_state_dict(read_tensors(file))
            if sum(tensor.numel() for tensor in tensors.values()) > _MOST_VALUES:
                raise ValueError("more values than any of these networks has")
            found = spandrel.ModelLoader("cpu").load_from_state_dict(tensors)
    except OutOfMemory:
        raise
    except Exception as exc:  # whatever a file can make of two foreign libraries
        raise _not_weights(architecture) from exc
    if found.architecture.id != architecture:
        raise _not_weights(architecture)
    return FaceRestorer(found.model.float().eval(), architecture, threads)


def _spandrel(architecture: str) -> Any:
    spandrel = import_spandrel()
    if architecture == "CodeFormer":
        try:
            import spandrel_extra_arches
        except (ImportError, RuntimeError, OSError, AttributeError) as exc:
            raise EngineUnavailable(
                f"spandrel_extra_arches does not load ({type(exc).__name__}: {str(exc)[:200]}); "
                "install it again."
            ) from exc
        spandrel_extra_arches.install(ignore_duplicates=True)
    return spandrel


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Tell a lack of memory, and what else PyTorch says, in words of ours.

    Raises:
        OutOfMemory, EngineError: a RuntimeError or MemoryError within.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        if (
            isinstance(exc, MemoryError)
            or "allocate memory" in str(exc)
            or "enough memory" in str(exc)
        ):
            raise OutOfMemory(
                "The network that restores faces does not fit in memory; leave restore out, or "
                "work on fewer pictures at a time."
            ) from exc
        raise EngineError(
            f"The network that restores faces failed ({str(exc)[:200]}); leave restore out, and "
            "report this if you can."
        ) from exc


def _not_weights(architecture: str) -> WeightsMissing:
    return WeightsMissing(
        f"The file that was added holds no weights of {architecture} that load; get it again, "
        "from its authors, and run superres models add again."
    )
