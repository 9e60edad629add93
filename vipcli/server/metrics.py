"""What is counted, in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vipcli.engine import Result

__all__ = ["Metrics"]

_FIRST_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "vip_requests", "Requests that ended, by how", ["path", "status"], registry=self._registry
        )
        self._answers = Counter("vip_answers", "Answers, by why they ended", ["finish"], registry=self._registry)
        self._tokens = Counter("vip_tokens", "Tokens, of prompts and of answers", ["of"], registry=self._registry)
        self._first = Histogram(
            "vip_first_token_seconds",
            "From a question's coming until the first token of its answer",
            buckets=_FIRST_SECONDS,
            registry=self._registry,
        )

    def watch(self, in_flight: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Show what these say whenever somebody looks."""
        for name, text, value in (
            ("vip_in_flight", "Questions that are being answered", in_flight),
            ("vip_waiting", "Questions that wait", waiting),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def request(self, path: str, status: int) -> None:
        """A request ended."""
        self._requests.labels(path, str(status)).inc()

    def began(self, seconds: float) -> None:
        """A first token came."""
        self._first.observe(seconds)

    def ended(self, result: Result) -> None:
        """An answer ended, or failed."""
        answer = result.answer
        self._answers.labels("error" if answer is None else answer.finish).inc()
        if answer is not None:
            self._tokens.labels("prompt").inc(answer.prompt_tokens)
            self._tokens.labels("answer").inc(answer.answer_tokens)

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)
