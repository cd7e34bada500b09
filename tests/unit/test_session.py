"""The SQL files: each is filled, and the rules that fill them are exact."""

from __future__ import annotations

import re

import pytest

from flink_jobs import regions
from flink_jobs.settings import Settings
from flink_jobs.sql_files import SQL, interval, rule_values


@pytest.mark.parametrize(
    ("ms", "literal"),
    [
        (0, "INTERVAL '0 00:00:00.000' DAY TO SECOND(3)"),
        (300_001, "INTERVAL '0 00:05:00.001' DAY TO SECOND(3)"),
        (86_399_999, "INTERVAL '0 23:59:59.999' DAY TO SECOND(3)"),
        (90_061_001, "INTERVAL '1 01:01:01.001' DAY TO SECOND(3)"),
    ],
)
def test_an_interval_is_exact_to_the_millisecond(ms, literal):
    assert interval(ms) == literal


def test_every_region_can_be_found_in_the_rules_and_no_other_can():
    settings = Settings.load()
    known = regions.load(settings.regions_file())
    rules = rule_values(settings, known)
    assert len(known.cities) > 300
    assert all(f"|{province}/{city}|" in rules["cities"] for city, province in known.cities.items())
    assert rules["provinces"].count("|") == len(known.provinces) + 1
    assert "|110000/310100|" not in rules["cities"]
    pattern = re.compile(rules["place_in_canonical_order"].strip("'"))
    place = '{{"user_id":"U1","province":"{}","city":"{}","amount":"1"}}'.format
    assert all(pattern.search(place(province, city)) for city, province in known.cities.items())
    assert not any(
        pattern.search(place(*wrong)) for wrong in (("110000", "310100"), ("110000", "11010"), ("11000", "110100"))
    )


def test_a_dot_in_a_code_is_a_dot():
    known = regions.Regions({"a.b": ("c.d",)}, {"c.d": "a.b"}, {}, {})
    pattern = re.compile(rule_values(Settings.load(), known)["place_in_canonical_order"].strip("'"))
    assert pattern.search('"province":"a.b","city":"c.d","amount":"1"')
    assert not pattern.search('"province":"axb","city":"c.d","amount":"1"')


def test_each_query_says_what_question_it_answers_and_is_one_select():
    files = sorted((SQL / "queries").glob("*.sql"))
    assert len(files) >= 6
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("-- ") and "?" in text.split("\n\n")[0].split("SELECT")[0], file.name
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert code.startswith("SELECT") and "INSERT" not in code and ";" not in code, file.name
