from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from rtp_monolith.metrics import BOUNDS_MS, Metrics

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(metrics: Metrics) -> dict[Sample, float]:
    text = metrics.render().decode()
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.request("/v1/rank", status, 1.0)
    found = samples(metrics)
    assert found["rtp_requests_total", (("route", "/v1/rank"), ("status", "200"))] == 2
    assert found["rtp_requests_total", (("route", "/v1/rank"), ("status", "503"))] == 1


def test_a_histogram_is_cumulative_in_seconds_and_its_bounds_belong_to_their_bucket() -> None:
    metrics = Metrics()
    for ms in (0.01, 1.0, 1.2, 99_999.0):
        metrics.stage("recall", ms)
    found = samples(metrics)
    labels = ("stage", "recall")
    assert found["rtp_stage_seconds_bucket", (("le", "5e-05"), labels)] == 1
    assert found["rtp_stage_seconds_bucket", (("le", "0.001"), labels)] == 2
    assert found["rtp_stage_seconds_bucket", (("le", "0.0015"), labels)] == 3
    assert found["rtp_stage_seconds_bucket", (("le", "10.0"), labels)] == 3
    assert found["rtp_stage_seconds_bucket", (("le", "+Inf"), labels)] == 4
    assert found["rtp_stage_seconds_count", (labels,)] == 4
    assert abs(found["rtp_stage_seconds_sum", (labels,)] - 100.00121) < 1e-9


def test_bounds_rise() -> None:
    assert sorted(set(BOUNDS_MS)) == list(BOUNDS_MS)


def test_records_and_degraded_lists_are_counted_by_code() -> None:
    metrics = Metrics()
    metrics.ingested(3, 2)
    metrics.ingested(1, 0)
    metrics.rejected("bad_ts")
    metrics.degraded("no_model")
    metrics.degraded("no_model")
    found = samples(metrics)
    assert found["rtp_records_total", (("outcome", "accepted"),)] == 4
    assert found["rtp_records_total", (("outcome", "duplicate"),)] == 2
    assert found["rtp_records_rejected_total", (("code", "bad_ts"),)] == 1
    assert found["rtp_lists_degraded_total", (("code", "no_model"),)] == 2


def test_what_others_keep_is_read_when_asked() -> None:
    metrics = Metrics()
    kept = {"users": 1, "log_durable_offset": 10}
    metrics.add_stats(lambda: kept)
    kept["users"] = 7
    found = samples(metrics)
    assert (found["rtp_users", ()], found["rtp_log_durable_offset", ()]) == (7, 10)
