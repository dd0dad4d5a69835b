"""The HTML report: it shows what was measured and fetches nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from loadtest.runs import profile as profiles
from loadtest.runs.chart import Axis, Line, line_chart
from loadtest.runs.page import page
from loadtest.runs.report import LoadReport
from tests.support.loadruns import MS, after_ms, played


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def soak() -> LoadReport:
    return played(profiles.soak(20, 60, 1), lambda at_ns: at_ns + (1 + at_ns // MS % 53) * MS)


def test_nothing_is_fetched_when_it_is_opened(soak: LoadReport) -> None:
    document = page(soak)
    elements = Elements(document).found
    assert not {tag for tag, _ in elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "image",
        "use",
    }
    attributes = {name for _, attributes in elements for name in attributes}
    assert not attributes & {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "style"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", document)


def test_all_plots_and_tables_are_there(soak: LoadReport) -> None:
    document = page(soak)
    charts = [attributes["aria-label"] for tag, attributes in Elements(document).found if tag == "svg"]
    assert charts == [
        "Latency of the requests due in each interval", "Latency by percentile", "Requests per second", "Waiting",
        "Processor time", "Memory",
    ]  # fmt: skip
    for words in (
        'Verdict: <span class="good">pass',
        "Drift",
        "MB an hour",
        "part 10",
        "dead letters: posted-ambiguous",
    ):
        assert words in document
    assert document.count("<tr>") > 60, "every interval has its row"


def test_charts_are_well_formed_and_have_a_point_for_every_interval(soak: LoadReport) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page(soak), re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314  (our own)
    throughput = re.findall(r"<svg.*?</svg>", page(soak), re.DOTALL)[2]
    assert throughput.count("<circle") == 3 * len(soak.intervals)


def test_a_failed_run_says_why() -> None:
    report = played(profiles.steady(50, 2, 0), lambda _at_ns: None)
    document = page(report)
    assert "no pass" in document
    assert "100 requests were never decided" in document
    assert "Latency by percentile: nothing was measured." in document


def test_without_stages_and_drift_their_tables_are_left_out() -> None:
    document = page(played(profiles.steady(50, 2, 0), after_ms(1)))
    assert "<h2>Stages" not in document
    assert "<h2>Drift" not in document


def test_names_are_escaped() -> None:
    drawn = line_chart("a < b & c", [Line("<script>", [(0, 1), (1, 2)], 0)], Axis("x"), Axis("y"))
    assert "<script>" not in drawn
    assert "a &lt; b &amp; c" in drawn


def test_a_gap_breaks_the_line_and_values_are_in_place() -> None:
    drawn = line_chart("t", [Line("l", [(0, 0), (1, 10), (2, None), (3, 5)], 0)], Axis("x"), Axis("y"))
    [path] = re.findall(r'<path class="l c0" d="([^"]*)"', drawn)
    assert path == "M64.0 256.0L324.0 12.0M844.0 134.0"


def test_a_logarithmic_axis_has_equal_steps_for_equal_ratios() -> None:
    drawn = line_chart("t", [Line("l", [(0, 1), (1, 10), (2, 100), (3, 0)], 0)], Axis("x"), Axis("y", logarithmic=True))
    [path] = re.findall(r'<path class="l c0" d="([^"]*)"', drawn)
    heights = [float(height) for height in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    assert len(heights) == 3, "nought has no place on it"
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])


@pytest.mark.parametrize("points", [[(5, 3)], [(0, 0), (1, 0)], [(1, 1e-6), (2, 2e6)], [(7, 4), (7, 4)]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_odd_data_is_drawn_too(points: list[tuple[float, float]], logarithmic: bool) -> None:
    drawn = line_chart("t", [Line("l", points, 0)], Axis("x"), Axis("y", logarithmic=logarithmic))
    assert "nan" not in drawn
    assert "inf" not in drawn
