"""Run the server: uvicorn over the ASGI application, until a signal says stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn

from superres import __version__, app
from superres.errors import BadParameter
from superres.server import logs
from superres.server.asgi import create_app
from superres.server.identity import is_private
from superres.server.protocol import limited
from superres.settings import Settings

log = structlog.get_logger("superres.server")


def serve(
    settings: Settings,
    *,
    allow_anonymous: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish what runs.

    Args:
        settings: see ``superres.settings``.
        allow_anonymous: listen on a public address although a stage asks for no credential.
        on_ready: called with the server's address once it listens.

    Raises:
        BadParameter: an address that cannot be listened on, or one that is not loopback
            while a stage is open to everybody.
        SuperresError: from :func:`superres.app.build`.
    """
    check_openness(settings, allow_anonymous=allow_anonymous)
    logs.set_up(settings.server)
    # uvicorn finishes what runs and then raises the signal again, to end as if it had never
    # caught it; a service that was asked to stop, and did, ends with 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    listening = _listen(settings.server.host, settings.server.port)
    with listening:
        host, port = listening.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        built = app.build(settings)
        try:
            server = _Server(config(create_app(built), settings))
            server.on_ready = lambda: _ready(url, on_ready)
            server.run(sockets=[listening])
        finally:
            built.close()
            log.info("stopped")
            if built.runner.hangs():
                os._exit(0 if sys.exc_info()[0] in (None, SystemExit) else 1)


def _leave(*_: object) -> None:
    raise SystemExit(0)


def check_openness(settings: Settings, *, allow_anonymous: bool) -> None:
    """Refuse to be open to the world unless somebody said so in words.

    Raises:
        BadParameter: the address, or the public one, is not loopback and a stage asks for no
            credential.
    """
    open_stages = [name for name, kind in settings.ai_solution_kit.stages.items() if kind == "NONE"]
    if open_stages and not allow_anonymous and not is_private(settings.server):
        where = settings.server.public_url or settings.server.host
        raise BadParameter(
            f"At {where} everybody who can reach it could use the "
            f"stage {', '.join(open_stages)} without a credential. Set [ai_solution_kit] stages "
            '= {prod = "API_KEY"} (or AWS_IAM), or say --allow-anonymous if that is meant.'
        )


def config(asgi: object, settings: Settings) -> uvicorn.Config:
    """Uvicorn's settings for serving ``asgi``."""
    server = settings.server
    return uvicorn.Config(
        asgi,  # type: ignore[arg-type]
        http=limited(server.header_timeout, server.body_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Beyond max_requests every door refuses in its own words; this is for what is no request.
        limit_concurrency=2 * server.max_requests,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=round(server.shutdown_timeout),
    )


class _Server(uvicorn.Server):
    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            # Asked twice: whoever asks will not wait. The workers end with this process, and
            # the next start tidies up.
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


def _ready(url: str, on_ready: Callable[[str], None] | None) -> None:
    log.info("listening", url=url, version=__version__)
    if on_ready is not None:
        on_ready(url)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as exc:
        listening.close()
        why = getattr(exc, "strerror", None) or str(exc)
        raise BadParameter(
            f"Cannot listen on {host} port {port}: {why}. Choose others with --host and --port."
        ) from exc
    listening.set_inheritable(False)
    return listening
