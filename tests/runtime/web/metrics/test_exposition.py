import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.runtime.lanes.histogram import Histogram
from monitor.runtime.web.metrics.exposition import MetricsPage, label_text, number


def test_the_page_is_what_prometheus_reads() -> None:
    page = MetricsPage()
    page.family("a_total", "counter", "Things.", [(label_text(("x",), ('quo"te\\ \n',)), 3)])
    page.family("b", "gauge", "More.", [("", 0.1), ('x="1"', math.inf)])
    page.family("empty", "gauge", "Nothing.", [])
    histogram = Histogram((1, 2))
    histogram.observe(np.array([0.5, 1.0, 1.5, 9.0]))
    page.histogram("h", "Hist.", [("", *histogram.totals([histogram.part_totals(0)]))])
    families = {family.name: family for family in text_string_to_metric_families(page.text().decode())}
    assert families["a"].samples[0].labels == {"x": 'quo"te\\ \n'}
    assert [sample.value for sample in families["b"].samples] == [0.1, math.inf]
    assert "empty" not in families
    values = {(s.name, s.labels.get("le")): s.value for s in families["h"].samples}
    assert values[("h_bucket", "1.0")] == 2
    assert values[("h_bucket", "2.0")] == 3
    assert values[("h_bucket", "+Inf")] == values[("h_count", None)] == 4
    assert values[("h_sum", None)] == 12


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (0.25, "0.25"), (math.nan, "NaN"), (-math.inf, "-Inf"), (1e9 + 0.25, "1000000000.25")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    histogram = Histogram((1, 2, 3))
    assert math.isnan(histogram.quantile(0.5))
    histogram.observe(np.array([0.5] * 98 + [2.5, 9.0]))
    assert histogram.quantile(0.5) == 1
    assert histogram.quantile(0.99) == 3
    assert histogram.quantile(1.0) == math.inf
