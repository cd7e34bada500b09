"""Does the regions file hold what it should, and is a bad one refused by line?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flink_jobs import regions
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT

HEADER = "province,province_name,province_name_en,city,city_name,city_name_en\n"
BEIJING = "110000,北京市,Beijing,110100,北京市,Beijing\n"


@pytest.fixture(scope="module")
def shipped() -> regions.Regions:
    return regions.load(ROOT / "conf" / "regions.csv")


def test_the_shipped_file_has_34_provinces_and_their_prefectures(shipped: regions.Regions) -> None:
    assert len(shipped.provinces) == 34
    assert len(shipped.cities) > 330
    assert {"Hong Kong", "Macau", "Taiwan", "Inner Mongolia", "Shaanxi", "Shanxi", "Tibet"} <= {
        shipped.name(province) for province in shipped.provinces
    }


def test_every_shipped_code_has_six_digits_and_a_city_begins_as_its_province(shipped: regions.Regions) -> None:
    assert shipped.cities
    for city, province in shipped.cities.items():
        assert re.fullmatch(r"[1-8][0-9]{3}00", city) and province == city[:2] + "0000"


def test_a_municipality_is_one_city(shipped: regions.Regions) -> None:
    for province in ("110000", "120000", "310000", "500000"):
        assert shipped.provinces[province] == (province[:2] + "0100",)


def test_names_come_in_both_languages_and_an_unknown_code_stays_a_code(shipped: regions.Regions) -> None:
    assert shipped.name("610000", "610100") == "Xi'an"
    assert shipped.name("610000", "610100", english=False) == "西安市"
    assert shipped.name("999999") == "999999"
    assert shipped.name("610000", "999999") == "999999"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the first line must be"),
        ("province,city\n1,2\n", "the first line must be"),
        (HEADER, "lists no city"),
        (HEADER + BEIJING + "120000,天津市,Tianjin,120100,天津市\n", "line 3: needs 6 filled columns"),
        (HEADER + "110000,北京市,,110100,北京市,Beijing\n", "line 2: needs 6 filled columns"),
        (HEADER + "11 00,北京市,Beijing,110100,北京市,Beijing\n", "line 2: code '11 00'"),
        (HEADER + "110000,北京市,Beijing,1|1,北京市,Beijing\n", "line 2: code '1|1'"),
        (HEADER + "ALL,北京市,Beijing,110100,北京市,Beijing\n", "line 2: code 'ALL'"),
        (HEADER + "１１,北京市,Beijing,110100,北京市,Beijing\n", "line 2: code '１１'"),
        (HEADER + "1" * 33 + ",北京市,Beijing,110100,北京市,Beijing\n", "line 2: code"),
        (HEADER + BEIJING + BEIJING, "line 3: city 110100 is listed twice"),
        (HEADER + BEIJING + "120000,天津市,Tianjin,110100,天津市,Tianjin\n", "line 3: city 110100 is listed twice"),
        (HEADER + BEIJING + "110000,北京,Beijing,110200,县,County\n", "line 3: province 110000 has two names"),
        (HEADER + '"110000,北京市\n', "line 2:"),
    ],
)
def test_a_bad_line_is_named_in_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "regions.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        regions.load(file)
    assert complaint in str(refused.value) and str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        regions.load(tmp_path / "none.csv")
    (tmp_path / "gbk.csv").write_bytes((HEADER + BEIJING).encode("gbk"))
    with pytest.raises(UserError, match="not UTF-8"):
        regions.load(tmp_path / "gbk.csv")
