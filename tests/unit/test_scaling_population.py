"""Copies of simulated accounts: their rows are the engine's, and the engine decides their requests."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import msgspec
import numpy as np
import pytest

from loadtest.scaling.hits import hit
from loadtest.scaling.population import HISTORY, TEMPLATES, Population, Template, account_id, templates
from tables import rows
from tests.support.engine import Bench
from topics import codec
from topics.keys import partition_for

NOW_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def made() -> list[Template]:
    return templates(3, seed=4, now_ms=NOW_MS, on_progress=lambda _what, _done, _total: None)


@pytest.fixture(scope="module")
def population(made: list[Template]) -> Population:
    return Population(made, 3 * len(made))


def test_templates_have_lived_and_go_on(made: list[Template]) -> None:
    assert TEMPLATES / 2 < len(made) <= TEMPLATES
    assert sum(len(each.requests) for each in made) > 3 * len(made)
    held = [rows.decode(each.row).holds for each in made]
    assert sum(map(len, held)) > HISTORY * len(made) / 4, "holds are open: the history is recent"
    latest = max(request.transmitted_at for each in made for request in each.requests)
    assert NOW_MS - 86_400_000 < latest <= NOW_MS


def test_a_copied_row_is_what_the_engine_writes_for_that_account(made: list[Template], population: Population) -> None:
    numbers = range(len(made), population.size)
    for number, (key, row) in zip(numbers, population.rows(numbers), strict=True):
        account = rows.decode(row)
        assert key.decode() == account.account_id == account_id(number)
        assert rows.encode(account) == row
        template = rows.decode(made[number % len(made)].row)
        account.account_id = template.account_id
        assert account == template


def test_the_engine_decides_the_requests_of_copies_like_those_of_anybody(population: Population) -> None:
    bench = Bench()
    bench.rows.update({(0, key): row for key, row in population.rows(range(population.size))})
    numbers = [number for number in range(population.size) for _ in range(2)]
    groups = list(population.requests(numbers, "run", 1))
    assert {len(group) for group in groups} == {1}
    asked = [codec.decode(record.topic, record.key, record.value) for (record,) in groups]
    decided = Counter(
        answer["reason"] or answer["outcome"]
        for request in asked
        for answer in bench.run(request)
        if answer["type"] == "authorization-decision"
    )
    assert decided.total() == len(numbers)
    assert decided["approved"] > 0.9 * len(numbers), decided
    assert not decided["unknown-account"]


def test_every_request_is_one_of_its_own_and_at_home(population: Population) -> None:
    numbers = [7, 7, 8, 7]
    groups = list(population.requests(numbers, "r1", 4))
    assert [record.reference for (record,) in groups] == ["r1-0", "r1-1", "r1-2", "r1-3"]
    for number, (record,) in zip(numbers, groups, strict=True):
        assert record.key == account_id(number).encode()
        assert record.partition == partition_for(record.key, 4)
    first, second, _other, third = (msgspec.json.decode(record.value) for (record,) in groups)
    assert first["network_reference"] != second["network_reference"]
    assert len({each["transmitted_at"] for each in (first, second, third)}) > 1, (
        "the next of its requests, not the same"
    )


def test_an_account_that_is_asked_for_more_than_is_kept_begins_again(population: Population) -> None:
    kept = len(population.templates[0].requests)
    values = [msgspec.json.decode(group[0].value) for group in population.requests([0] * (kept + 1), "r", 1)]
    assert values[kept]["transmitted_at"] == values[0]["transmitted_at"]
    assert values[kept]["network_reference"] == f"r-{kept}"


def test_openings_open_every_account_once(population: Population) -> None:
    bench = Bench()
    answers = bench.run(*islice(population.openings("open"), 10))
    applied = [each["account_id"] for each in answers if each.get("outcome") == "applied"]
    assert applied == [account_id(number) for number in range(10)]


def test_uniform_hits_favour_nobody() -> None:
    numbers = hit(50, 50_000, "uniform", seed=3)
    counts = np.bincount(numbers, minlength=50)
    assert len(counts) == 50
    assert 800 < counts.min() <= counts.max() < 1200
    assert (hit(50, 100, "uniform", 3) == numbers[:100]).all()
    assert (hit(50, 100, "uniform", 4) != numbers[:100]).any()


def test_zipf_hits_fall_with_the_rank_and_lie_anywhere() -> None:
    counts = np.bincount(hit(1000, 200_000, "zipf", seed=3), minlength=1000)
    by_rank = np.sort(counts)[::-1]
    harmonic = (1 / np.arange(1, 1001)).sum()
    assert by_rank[0] / 200_000 == pytest.approx(1 / harmonic, rel=0.05)
    assert by_rank[0] / by_rank[9] == pytest.approx(10, rel=0.2)
    hottest = np.argsort(counts)[-5:]
    assert np.ptp(hottest) > 50, "the most wanted accounts are no neighbours"
