"""Our own histogram says what Prometheus's would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from agents.metrics import FINE_SECONDS, Ages

NOW = 1_790_000_000_000
AGES = st.lists(st.sampled_from([-50, 0, 1, 2, 3, 50, 74, 75, 76, 10_000, 10_001, 60_000]) | st.integers(-9, 20_000))


@given(st.lists(AGES, max_size=5))
def test_ages_are_counted_as_by_a_histogram(slices: list[list[int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    ages = Ages("age_seconds", "how old", FINE_SECONDS, ours)
    histogram = Histogram("age_seconds", "how old", buckets=FINE_SECONDS, registry=theirs)
    for slice_ in slices:
        ages.observe(NOW, [NOW - age for age in slice_])
        for age in slice_:
            histogram.observe(max(0.0, age) / 1000)
    assert _told(ours) == _told(theirs)


def _told(registry: CollectorRegistry) -> dict[tuple[str, str | None], float]:
    (family,) = registry.collect()
    assert (family.name, family.type, family.documentation) == ("age_seconds", "histogram", "how old")
    samples = {(sample.name, sample.labels.get("le")): round(sample.value, 6) for sample in family.samples}
    samples.pop(("age_seconds_created", None), None)
    return samples
