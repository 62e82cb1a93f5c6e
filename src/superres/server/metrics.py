"""What /metrics tells, in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from superres.errors import SuperresError
from superres.executors.base import Done, Executor
from superres.jobs import JobService

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The counters of one server. Not shared between processes: one process, one target."""

    def __init__(self, executor: Executor, jobs: JobService) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Executor(executor))
        registry.register(_Jobs(jobs))
        self._requests = Counter(
            "superres_requests", "Requests answered.", ["dialect", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "superres_request_seconds",
            "From a request's header to the end of its answer.",
            ["dialect"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._bytes = Counter(
            "superres_bytes", "Bytes of bodies.", ["direction"], registry=registry
        )
        self._wait = Histogram(
            "superres_queue_wait_seconds",
            "Time an upscale waited for a worker.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._inference = Histogram(
            "superres_inference_seconds",
            "Time the networks of an upscale ran.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._megapixels = Counter(
            "superres_megapixels", "Pixels in and out, in millions.", ["side"], registry=registry
        )

    def answered(self, door: str, outcome: str, seconds: float, received: int, sent: int) -> None:
        """Count one request; sizes in bytes."""
        self._requests.labels(door, outcome).inc()
        self._seconds.labels(door).observe(seconds)
        self._bytes.labels("in").inc(received)
        self._bytes.labels("out").inc(sent)

    def upscaled(self, done: Done) -> None:
        """Count one finished upscale."""
        report = done.report
        self._wait.observe(done.queue_seconds)
        self._inference.labels(report.model).observe(report.inference_seconds)
        self._megapixels.labels("in").inc(report.width * report.height / 1e6)
        self._megapixels.labels("out").inc(report.out_width * report.out_height / 1e6)

    def response(self) -> Response:
        """The answer to GET /metrics."""
        return Response(
            generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


class _Executor(Collector):
    """Asks the executor when somebody asks for the metrics."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def describe(self) -> Iterator[Metric]:
        # Otherwise registering would collect once, before the workers are there.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        state = self._executor.state()
        yield GaugeMetricFamily("superres_queue_depth", "Upscales waiting.", state.queued)
        yield GaugeMetricFamily("superres_running", "Upscales under way.", state.running)
        ready = GaugeMetricFamily("superres_worker_ready", "1 if it takes work.", labels=["device"])
        rss = GaugeMetricFamily(
            "superres_worker_resident_bytes", "Resident memory.", labels=["device"]
        )
        restarts = CounterMetricFamily(
            "superres_worker_restarts", "Times it died and was started anew.", labels=["device"]
        )
        for worker in state.workers:
            ready.add_metric([worker.device], worker.ready)
            rss.add_metric([worker.device], worker.rss_bytes)
            restarts.add_metric([worker.device], worker.restarts)
        yield from (ready, rss, restarts)


class _Jobs(Collector):
    """Asks the database: the same for every process on it."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            load = self._jobs.load()
        except SuperresError:
            return  # what this process knows itself is told all the same
        items = GaugeMetricFamily("superres_job_items", "Pictures of jobs.", labels=["state"])
        items.add_metric(["waiting"], load.waiting)
        items.add_metric(["running"], load.running)
        yield items
        yield GaugeMetricFamily("superres_job_processes", "Processes that do jobs.", load.processes)
        yield GaugeMetricFamily(
            "superres_job_pace",
            "Millions of output pixels a second, in the default model's, of all together.",
            load.pace,
        )
