"""The settings themselves: a section per room, each with its defaults and meanings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from superres.settings import folders
from superres.settings.kinds import (
    BUCKET,
    FLAG,
    KEY,
    LIST,
    NETWORKS,
    PATH,
    SIZE,
    TEXT,
    URL,
    choice,
    integer,
    number,
    optional,
    setting,
    table,
)


def _scratch_dir() -> Path:
    return Path(tempfile.gettempdir())


_PRECISION = choice("auto", "f16", "bf16", "f32")


@dataclass(frozen=True)
class EngineSettings:
    """What computes, and with how much of the machine. Sizes are in bytes."""

    device: str = setting("auto", TEXT, "Where networks run: auto, cpu, cuda, cuda:0, mps, torch.")
    precision: str = setting("auto", _PRECISION, "Arithmetic; auto is the fastest exact enough.")
    streams: int = setting(0, integer(0), "Tiles computed at the same time; 0 chooses itself.")
    threads: int = setting(0, integer(0), "Processor threads in all; 0 takes every core.")
    memory_ceiling: int = setting(3 << 29, SIZE, "Memory that one upscale may take in all.")
    cache_dir: Path = setting(
        lambda: folders.user_dir("cache"),
        PATH,
        "Folder of compiled networks, for a quick next start.",
    )
    cache_size: int = setting(1 << 30, SIZE, "What cache_dir may hold before the oldest files go.")
    scratch_dir: Path = setting(_scratch_dir, PATH, "Folder for results too large for memory.")


@dataclass(frozen=True)
class LimitsSettings:
    """What is refused rather than tried."""

    max_input_bytes: int = setting(256 << 20, SIZE, "Largest file that is read.")
    max_input_pixels: int = setting(1 << 28, integer(1), "Most pixels a picture read may have.")
    max_output_pixels: int = setting(1 << 32, integer(1), "Most pixels a result may have.")
    max_side: int = setting(65_535, integer(1), "Longest side of a picture or result, in pixels.")
    max_metadata_bytes: int = setting(
        16 << 20, SIZE, "Most bytes of colour profile, EXIF and XMP together."
    )


@dataclass(frozen=True)
class ModelsSettings:
    """Which network does the work."""

    default: str = setting("general", TEXT, "Model used when none is named.")
    weights_dir: Path = setting(
        lambda: folders.user_dir("data") / "models",
        PATH,
        "Folder of weights that people add: superres models add, superres models pull.",
    )


@dataclass(frozen=True)
class FacesSettings:
    """Faces, where somebody asks for them to be kept recognisable."""

    most: int = setting(10, integer(1, 100), "Most faces of one picture, the largest first.")
    threshold: float = setting(
        0.865,
        number(0, 1),
        "How sure the detector must be, 0 to 1; below 0.86 it takes some dogs for people.",
    )


@dataclass(frozen=True)
class ServerSettings:
    """Where the service listens, and what it takes from a client. Times are in seconds."""

    host: str = setting("127.0.0.1", TEXT, "Address to listen on.")
    port: int = setting(8000, integer(0), "Port to listen on; 0 takes any free one.")
    public_url: str = setting("", URL, "The address clients use, if a proxy stands before.")
    data_dir: Path = setting(
        lambda: folders.user_dir("data"),
        PATH,
        "Folder of the database, the key file and the results.",
    )
    max_body_bytes: int = setting(64 << 20, SIZE, "Largest request body.")
    max_requests: int = setting(
        512, integer(1), "Requests at the same time; twice as many connections."
    )
    header_timeout: float = setting(15.0, number(0.1), "Time for a request's header to arrive.")
    body_timeout: float = setting(
        20.0, number(0.1), "Longest pause while a body arrives or an answer is taken."
    )
    deadline: float = setting(600.0, number(0.1), "Time for one request, waiting included.")
    shutdown_timeout: float = setting(60.0, number(0), "Time to finish what runs when stopping.")
    result_lifetime: float = setting(3600.0, number(1), "How long the link to a result works.")
    max_results_bytes: int = setting(8 << 30, SIZE, "What kept results may take on disk.")
    log_format: str = setting(
        "auto", choice("auto", "text", "json"), "Form of the log; auto is text in a terminal."
    )
    log_level: str = setting(
        "info", choice("debug", "info", "warning", "error"), "Least level that is logged."
    )


@dataclass(frozen=True)
class WorkersSettings:
    """The processes that compute, one per device."""

    concurrency: int = setting(4, integer(1), "Pictures at the same time in one worker.")
    queue: int = setting(64, integer(0), "Requests that may wait before others are refused.")
    hang_timeout: float = setting(
        30.0,
        number(0.1),
        "Seconds a worker may take to stop a cancelled request before it is killed.",
    )


@dataclass(frozen=True)
class JobsSettings:
    """Work that is handed in and done later. Times are in seconds."""

    concurrency: int = setting(
        3,
        integer(0),
        "Pictures of jobs at the same time in this process; 0 only takes jobs in, for others to "
        "do.",
    )
    poll_interval: float = setting(0.2, number(0.01), "Time between two looks for waiting work.")
    max_items: int = setting(100, integer(1), "Most pictures of one job.")
    max_body_bytes: int = setting(
        1 << 30,
        SIZE,
        "Largest form of pictures in all; each of them may have [server] max_body_bytes.",
    )
    max_waiting: int = setting(
        10_000, integer(1), "Pictures that may wait before jobs are refused."
    )
    max_wait: float = setting(86_400.0, number(1), "How long a job may wait to be begun.")
    max_run: float = setting(1800.0, number(0.1), "How long one picture of a job may take.")
    attempts: int = setting(
        3, integer(1), "How often a picture is begun whose process dies before it is done."
    )
    history: float = setting(
        86_400.0, number(0), "How long a job is remembered after its results are gone."
    )
    slot_timeout: float = setting(
        15.0, number(1), "Silence after which a process is taken for dead and its work given away."
    )
    webhook_attempts: int = setting(8, integer(1), "How often a webhook is tried.")
    webhook_timeout: float = setting(10.0, number(0.1), "Time for one try of a webhook.")


@dataclass(frozen=True)
class StorageSettings:
    """Where objects are kept."""

    url: str = setting(
        "", URL, "Object store: file:///folder, s3://bucket/prefix, memory:///; empty: in data_dir."
    )


@dataclass(frozen=True)
class BucketsSettings:
    """Buckets with objects, for those who use the service as one."""

    max_object_bytes: int = setting(5 << 30, SIZE, "Largest object sent in one piece, or part.")
    max_buckets: int = setting(200, integer(1), "Most buckets that one credential may own.")
    upload_lifetime: float = setting(
        604_800.0, number(60), "Seconds until an upload in parts that nobody completes is dropped."
    )
    max_derived_bytes: int = setting(
        2 << 30, SIZE, "What super-resolved answers kept for the next time may take on disk."
    )


@dataclass(frozen=True)
class DatabaseSettings:
    """Where credentials and counters are kept."""

    url: str = setting(
        "", URL, "Database: sqlite:///file or postgresql://...; empty: a file in data_dir."
    )


@dataclass(frozen=True)
class AccessSettings:
    """Credentials and their limits."""

    key: str = setting(
        "",
        KEY,
        "What secrets are sealed with, as in the file secret.key; empty: that file in data_dir.",
        secret=True,
    )
    rate_limit_url: str = setting(
        "memory://", URL, "Where rates are counted: memory://, or redis://host:port/0 for many."
    )


@dataclass(frozen=True)
class SourcesSettings:
    """What is fetched when a request names an address instead of sending a picture."""

    allow_networks: tuple[str, ...] = setting(
        (), NETWORKS, "Private networks that may be fetched from all the same."
    )
    max_bytes: int = setting(64 << 20, SIZE, "Largest file fetched.")
    timeout: float = setting(20.0, number(0.1), "Seconds for one fetch, redirects included.")
    max_redirects: int = setting(3, integer(0), "Redirects followed.")
    anonymous_buckets: tuple[str, ...] = setting(
        (), LIST, "Buckets that s3:// may read for callers without a credential; * is all."
    )


@dataclass(frozen=True)
class AiSolutionKitSettings:
    """The AWS AI Solution Kit's door."""

    stages: Mapping[str, str] = setting(
        lambda: {"prod": "NONE"},
        table("NONE", "AWS_IAM", "API_KEY"),
        "Stages and what each asks for.",
    )
    region: str = setting("us-east-1", TEXT, "Region that signatures must name.")
    max_side: int = setting(4096, integer(1), "Longest side of a picture sent in, in pixels.")
    max_body_bytes: int = setting(10 << 20, SIZE, "Largest request body.")
    model: str | None = setting(None, optional(TEXT), "Model; auto is [models] default.")
    fidelity: float | None = setting(
        None, optional(number(0)), "Share of the faithful model, 0 to 1; auto is the model's own."
    )


@dataclass(frozen=True)
class FsrtwoSettings:
    """The door of the 8X AI Image Upscaler (``/v3/pic/fsrtwo``)."""

    max_bytes: int = setting(50 << 20, SIZE, "Largest file of a picture.")
    model: str | None = setting(None, optional(TEXT), "Model; auto is [models] default.")
    fidelity: float | None = setting(
        None, optional(number(0)), "Share of the faithful model, 0 to 1; auto is the model's own."
    )


@dataclass(frozen=True)
class PicwishSettings:
    """PicWish's doors (``/tasks/visual/scale`` and ``/api/tasks/visual/scale``)."""

    rate: float = setting(
        2.0, number(0.01), "Requests per second of a credential whose plan says nothing else."
    )
    max_bytes: int = setting(15 << 20, SIZE, "Largest file of a picture.")
    download_timeout: float = setting(10.0, number(0.1), "Seconds for fetching image_url.")
    deadline: float = setting(30.0, number(0.1), "Seconds for one picture.")
    model: str | None = setting(None, optional(TEXT), "Model; auto is [models] default.")
    fidelity: float | None = setting(
        None, optional(number(0)), "Share of the faithful model, 0 to 1; auto is the model's own."
    )


@dataclass(frozen=True)
class CloudInfiniteSettings:
    """The door of Tencent Cloud COS and Cloud Infinite."""

    suffixes: tuple[str, ...] = setting(
        (
            "cos.*.myqcloud.com",
            "cos.*.tencentcos.cn",
            "cos-internal.*.tencentcos.cn",
            "cos.localhost",
        ),
        LIST,
        "What stands behind a bucket's name in a host; * is one label.",
    )
    default_bucket: str = setting(
        "", BUCKET, "Bucket of requests whose host names none; empty: there is none."
    )
    region: str = setting("local", TEXT, "Region that buckets are said to be in.")
    enabled: bool = setting(
        True, FLAG, "Whether new buckets super-resolve before superres buckets enable-ci."
    )
    cache: bool = setting(
        True, FLAG, "Whether what was super-resolved on download is kept for the next time."
    )
    unsigned_operations: bool = setting(
        False,
        FLAG,
        "Whether Pic-Operations and x-cos-copy-source count that the signature does not name.",
    )
    model: str | None = setting(None, optional(TEXT), "Model; auto is [models] default.")
    fidelity: float | None = setting(
        None, optional(number(0)), "Share of the faithful model, 0 to 1; auto is the model's own."
    )


@dataclass(frozen=True)
class Settings:
    """All settings; ``origins`` tells where each one that is not a default came from."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    models: ModelsSettings = field(default_factory=ModelsSettings)
    faces: FacesSettings = field(default_factory=FacesSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    workers: WorkersSettings = field(default_factory=WorkersSettings)
    jobs: JobsSettings = field(default_factory=JobsSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    buckets: BucketsSettings = field(default_factory=BucketsSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    sources: SourcesSettings = field(default_factory=SourcesSettings)
    ai_solution_kit: AiSolutionKitSettings = field(default_factory=AiSolutionKitSettings)
    fsrtwo: FsrtwoSettings = field(default_factory=FsrtwoSettings)
    picwish: PicwishSettings = field(default_factory=PicwishSettings)
    cloud_infinite: CloudInfiniteSettings = field(default_factory=CloudInfiniteSettings)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
