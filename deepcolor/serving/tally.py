"""What the server has done, in Prometheus's form. The door to its library."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PICTURES = (1, 2, 4, 8, 16, 32)


class Tally:
    """Counts; one for each server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Counter("deepcolor_requests", "Requests by path and status.", ["path", "status"], registry=own)
        self._latency = Histogram(
            "deepcolor_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=own,
        )
        self._pictures = Counter(
            "deepcolor_pictures", "Pictures by model and outcome.", ["model", "outcome"], registry=own
        )
        self._batches = Histogram(
            "deepcolor_batch_pictures", "Pictures coloured together.", buckets=_PICTURES, registry=own
        )
        self._busy = Counter("deepcolor_busy_seconds", "Time that processes have spent on pictures.", registry=own)
        self._lost = Counter(
            "deepcolor_processes_lost", "Processes that a picture ended, or that took too long.", registry=own
        )
        self._switches = Counter(
            "deepcolor_model_switches", "Times that another version became the one served.", registry=own
        )
        self._served = Gauge("deepcolor_model", "1 for the version that is served by default.", ["model"], registry=own)

    def watch(self, name: str, about: str, look: Callable[[], float]) -> None:
        """Show a figure as it is at the moment it is asked for."""
        Gauge(name, about, registry=self._registry).set_function(look)

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._latency.labels(path).observe(seconds)

    def coloured(self, model: str, *, good: int, refused: int) -> None:
        self._pictures.labels(model, "coloured").inc(good)
        self._pictures.labels(model, "refused").inc(refused)

    def worked(self, pictures: int, seconds: float) -> None:
        self._batches.observe(pictures)
        self._busy.inc(seconds)

    def process_lost(self) -> None:
        self._lost.inc()

    def serves(self, model: str) -> None:
        self._served.clear()
        self._served.labels(model).set(1)
        self._switches.inc()

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self._registry)
