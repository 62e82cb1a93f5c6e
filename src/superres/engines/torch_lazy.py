"""PyTorch's engine, if it is installed; importing this does not import PyTorch."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from superres.errors import EngineUnavailable, SuperresError

if TYPE_CHECKING:
    from superres.engines.torch_engine import TorchEngine


def torch_engine(device: str, **options: Any) -> TorchEngine:
    """The engine on ``device``; ``options`` as for ``TorchEngine``.

    Raises:
        EngineUnavailable: PyTorch is not installed or does not load, or the device is not there.
    """
    if importlib.util.find_spec("torch") is None:
        raise EngineUnavailable('This needs PyTorch: pip install "superres[torch]"')
    try:
        from superres.engines.torch_engine import TorchEngine
    except Exception as exc:
        raise EngineUnavailable(
            f"PyTorch does not load ({type(exc).__name__}: {str(exc)[:200]}); install it again."
        ) from exc
    try:
        return TorchEngine(device, **options)
    except SuperresError:
        raise
    except Exception as exc:
        raise EngineUnavailable(
            f"PyTorch cannot use {device} ({type(exc).__name__}: {str(exc)[:200]}); "
            "use --device cpu."
        ) from exc
