"""What a shard counts about itself, and its Prometheus text.

Invariant: counting is a few dictionary and list operations; everything that costs more happens when the text is asked
for. It does not know where the numbers of the state come from: `stats` is a callback.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

# Upper bounds in ms: fine where the promises of P99 are made (1-20 ms), coarse beyond.
BOUNDS_MS: tuple[float, ...] = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0),
    *(15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0),
)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Stats = Callable[[], Mapping[str, int | float]]


class Histogram:
    """Counts by bucket of milliseconds; the last bucket has no bound."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def observe(self, ms: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum_ms += ms

    def quantile_ms(self, share: float) -> float:
        """Upper bound of the bucket in which this share of the observations is reached; of the last one the bound below
        it. 0 without any."""
        total, reached = sum(self.counts), 0
        for bound, count in zip(BOUNDS_MS, self.counts, strict=False):
            reached += count
            if total and reached >= share * total:
                return bound
        return BOUNDS_MS[-1] if total else 0.0

    def buckets_s(self) -> list[tuple[str, float]]:
        """Cumulative counts with bounds in seconds, as Prometheus wants them."""
        total = 0
        out: list[tuple[str, float]] = []
        for bound, count in zip((*(str(b / 1000) for b in BOUNDS_MS), "+Inf"), self.counts, strict=True):
            total += count
            out.append((bound, total))
        return out


class Metrics:
    """All counters of one shard. Not shared between threads: the loop's thread counts and renders."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._routes: dict[str, Histogram] = {}
        self._stages: dict[str, Histogram] = {}
        self._outcomes: dict[str, int] = {"accepted": 0, "duplicate": 0}
        self._rejected: dict[str, int] = {}
        self._degraded: dict[str, int] = {}
        self._audited_values = 0
        self._audited: dict[str, int] = {}
        self._skew: dict[str, int] = {}
        self._bundle: tuple[str, str] | None = None
        self._stats: list[Stats] = []
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def request(self, route: str, status: int, ms: float) -> None:
        """One request was answered."""
        key = (route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._routes.get(route)
        if histogram is None:
            histogram = self._routes[route] = Histogram()
        histogram.observe(ms)

    def stage(self, name: str, ms: float) -> None:
        """One stage of a list was run."""
        histogram = self._stages.get(name)
        if histogram is None:
            histogram = self._stages[name] = Histogram()
        histogram.observe(ms)

    def ingested(self, accepted: int, duplicates: int) -> None:
        """Records of a batch that were taken or known already."""
        self._outcomes["accepted"] += accepted
        self._outcomes["duplicate"] += duplicates

    def rejected(self, code: str) -> None:
        """One record was refused."""
        self._rejected[code] = self._rejected.get(code, 0) + 1

    def degraded(self, code: str) -> None:
        """One list was less than it should be."""
        self._degraded[code] = self._degraded.get(code, 0) + 1

    def audited(self, values: int, decisions: Mapping[str, int], skew: Mapping[str, int]) -> None:
        """The running audit compared values of features: decisions by outcome, values that differ by feature."""
        self._audited_values += values
        for outcome, count in decisions.items():
            self._audited[outcome] = self._audited.get(outcome, 0) + count
        for feature, count in skew.items():
            self._skew[feature] = self._skew.get(feature, 0) + count

    def bundle(self, name: str, version: str) -> None:
        """This bundle is served from here on."""
        self._bundle = (name, version)

    def add_stats(self, stats: Stats) -> None:
        """Numbers that somebody else keeps; read when the text is asked for, exported as gauges `rtp_<name>`."""
        self._stats.append(stats)

    def render(self) -> bytes:
        """The Prometheus text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client; nobody else calls it."""
        requests = CounterMetricFamily("rtp_requests", "Requests answered.", labels=["route", "status"])
        for (route, status), count in sorted(self._requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        yield _histograms("rtp_request_seconds", "Time from the request's head to its answer.", "route", self._routes)
        yield _histograms("rtp_stage_seconds", "Time of one stage of a list.", "stage", self._stages)
        yield _counters("rtp_records", "Records taken in, by outcome.", "outcome", self._outcomes)
        yield _counters("rtp_records_rejected", "Records refused, by code.", "code", self._rejected)
        yield _counters("rtp_lists_degraded", "Lists that were less than they should be.", "code", self._degraded)
        values = CounterMetricFamily("rtp_feature_audit_values", "Values of features made again from the log.")
        values.add_metric([], self._audited_values)
        yield values
        yield _counters("rtp_feature_audit_decisions", "Decisions that the audit saw.", "outcome", self._audited)
        yield _counters("rtp_feature_skew", "Values that differ from what the log gives.", "feature", self._skew)
        served = GaugeMetricFamily("rtp_bundle_active", "1 for the bundle that is served.", labels=["name", "version"])
        if self._bundle is not None:
            served.add_metric(self._bundle, 1)
        yield served
        for stats in self._stats:
            for name, value in sorted(stats().items()):
                yield GaugeMetricFamily(
                    f"rtp_{name}", f"{name.replace('_', ' ')}, as the shard reports it.", value=value
                )


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, count in sorted(values.items()):
        family.add_metric([key], count)
    return family


def _histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=[label])
    for key, histogram in sorted(values.items()):
        family.add_metric([key], buckets=histogram.buckets_s(), sum_value=histogram.sum_ms / 1000)
    return family
