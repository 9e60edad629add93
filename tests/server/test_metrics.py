"""``/metrics``: what Prometheus reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prometheus_client.parser import text_string_to_metric_families
from server.serving import Held, Served, serving, wait_for, words


def read(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    response = served.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_metrics(held: Held):
    with serving(held) as it, ThreadPoolExecutor(4) as threads:
        first = threads.submit(it.ask, words("Hm?", max_tokens=2))
        wait_for(lambda: it.desk.in_flight == 1)
        second = threads.submit(it.ask, words("Hm?", max_tokens=2, stream=True))
        wait_for(lambda: it.desk.waiting == 1)
        found = read(it)
        assert found["vip_in_flight", ()] == 1
        assert found["vip_waiting", ()] == 1
        held.release()
        assert first.result().status_code == second.result().status_code == 200
        it.ask({})
        it.get("/no/such/../../thing")
        wait_for(lambda: len(it.lines) == 5)
        found = read(it)
    assert found["vip_in_flight", ()] == found["vip_waiting", ()] == 0
    assert found["vip_answers_total", ("length",)] == 2
    assert found["vip_tokens_total", ("prompt",)] == 6
    assert found["vip_tokens_total", ("answer",)] == 4
    assert found["vip_first_token_seconds_count", ()] == 2
    assert found["vip_requests_total", ("/v1/chat/completions", "200")] == 2
    assert found["vip_requests_total", ("/v1/chat/completions", "400")] == 1
    assert found["vip_requests_total", ("other", "404")] == 1, "whatever the path was"
