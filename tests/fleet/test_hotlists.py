"""Hotlist files and rules: what they may look like, and how a wrong line is told."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet import audit
from fleet.commands import hotlist
from fleet.commands.hotlist import rules as rules_command
from fleet.errors import CommandError
from fleet.hotlist_files import read_entries, read_file, write_file
from fleet.hotlist_rules import change_rules, parse_hours, read_area
from fleet.hotlists import make_entry
from fleet.look_back import span
from schemas.hotlist import Hours


def test_a_table_with_any_of_the_known_columns(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('﻿plate,priority,reason,valid_until\nab 12-cd,HIGH,"stolen, again",2030-01-01\n\nXY?9*,,,\n')
    first, second = read_entries(path, "wanted", "me")
    assert (first.entry, first.priority, first.reason, first.added_by) == ("AB12CD", "high", "stolen, again", "me")
    assert first.valid_until == datetime(2030, 1, 1, tzinfo=UTC)
    assert (second.entry, second.is_pattern, second.priority) == ("XY?9*", True, "normal")


def test_a_text_file_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# of the week\nAB 12\n\nCD34 # seen twice\n")
    assert [entry.entry for entry in read_entries(path, "wanted")] == ["AB12", "CD34"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no entries"),
        ("plate\n", "holds no entries"),
        ("plate,colour\nAB12,red", "unknown column 'colour'"),
        ("AB12\n***\n", r":2: hotlist entry '\*\*\*'"),
        ("AB12,high\nCD34,low\n", "names no columns"),
        ("plate,priority\nAB12,urgent", ":2: .*urgent"),
        ("plate,region\nAB12,Germany", ":2: region 'Germany'"),
        ("plate,valid_from,valid_until\nAB12,2030-01-02,2030-01-01", ":2: it ends 2030-01-01 00:00, before"),
        ("plate,partial\nAB12,perhaps", ":2: partial is 'perhaps'"),
        ("plate,reason\nAB12", ":2: 1 fields, the header has 2"),
        ("plate,reason\nAB12,a,b", ":2: 3 fields"),
        ('plate,reason\nAB12,"never ends\nCD34,x\n', ":2: not CSV: unexpected end"),
        ("plate\n" + "A" * 10_000 + "\n", ":2: hotlist entry 'AAAA"),
        ("plate,valid_until\nAB12,tomorrow", ":2: 'tomorrow' is no time"),
    ],
)
def test_wrong_files_are_told_with_their_line(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(CommandError, match=match) as caught:
        read_entries(path, "wanted")
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file"):
        read_entries(tmp_path / "none", "wanted")
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="not a text file"):
        read_entries(tmp_path / "x", "wanted")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_list_needs_a_name_without_a_slash(name: str) -> None:
    with pytest.raises(ValueError, match="hotlist name"):
        make_entry(name, "AB12")


CSV = """\ufeffPlate;Priority;Reason;partial
ab-12 cd;high;"stolen; blue ""van""\nof two lines";no
KLM471;urgent;;
AB12CD;high;"stolen; blue ""van""\nof two lines";
KLM471;low;;
KLM471;high;;
0PX1;;;yes

AB10;;;
ABI0;;;
ABIO;;;
ABX?;;;"x
"""


def test_a_hostile_file_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(CSV.replace("\n", "\r\n").encode())
    found = read_file(path, "wanted")
    assert [entry.entry for entry in found.entries] == ["AB12CD", "KLM471", "*0PX1*", "AB10", "ABI0", "ABIO"]
    assert found.entries[0].reason == 'stolen; blue "van"\r\nof two lines'
    assert (found.rows, found.bad, found.repeated) == (10, 3, 1)
    told = dict(found.bad_rows)
    assert set(told) == {4, 8, 14}, "as an editor counts lines"
    assert "urgent" in told[4]
    assert told[8] == "KLM471 says something else than line 7, which stands"
    assert "not CSV" in told[14]
    assert found.twin_pairs == [("AB10", "ABI0"), ("AB10", "ABIO")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_is_written_is_read_again(tmp_path: Path, delimiter: str) -> None:
    until = "2030-01-01T00:00:00+01:00"
    entries = [
        make_entry("wanted", "AB12", reason='a, "b"; c\td', owner="desk 7", region="us-ca", valid_until=until),
        make_entry("wanted", "X?9*", priority="high", valid_from="2020-01-01"),
    ]
    text = io.StringIO()
    assert write_file(text, entries) == 2
    path = tmp_path / "list.csv"
    path.write_text(text.getvalue())
    plain = {"added_at": entries[0].added_at}
    again = [change(entry, **plain) for entry in read_file(path, "wanted").entries]
    assert again == [change(entry, **plain) for entry in entries]


def change(entry: Any, **fields: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__} | fields


def test_a_person_without_a_name_is_unknown_wherever_one_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert (audit.user(), hotlist.user()) == ("unknown", "unknown")


def test_text_lines_are_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("AB12\nAB12\n!!\nCD34\n")
    found = read_file(path, "wanted")
    assert ([e.entry for e in found.entries], found.repeated) == (["AB12", "CD34"], 1)
    assert [line for line, _ in found.bad_rows] == [3]


def test_a_partial_entry_is_a_pattern() -> None:
    assert make_entry("wanted", "AB 12", partial=True).entry == "*AB12*"
    assert make_entry("wanted", "*AB", partial=True).entry == "*AB*"


@pytest.mark.parametrize(("text", "wanted"), [("30d", timedelta(30)), (" 90M ", timedelta(minutes=90))])
def test_spans(text: str, wanted: timedelta) -> None:
    assert span(text) == wanted


@pytest.mark.parametrize("text", ["", "30", "0d", "-1d", "1y", "1e9d"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="no span of time"):
        span(text)


NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_rules_change_one_by_one(tmp_path: Path) -> None:
    area = tmp_path / "area.json"
    ring = [[13, 52, 40], [14, 52, 40], [14, 53, 40], [13, 52, 40]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    area.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, feature]}))
    first = change_rules(
        None,
        "wanted",
        {"area": str(area), "schedule": ("mon-fri 22:00-06:00",), "threshold": "0.5", "region": "de"},
        NOW,
        "me",
    )
    assert first.area is not None
    assert len(first.area.coordinates) == 2
    assert first.area.coordinates[0][0][0] == (13.0, 52.0)
    assert (first.threshold, first.region, first.updated_by) == (0.5, "DE", "me")
    second = change_rules(first, "wanted", {"threshold": "", "headings": "350-45", "area": ""}, NOW, "me")
    assert (second.threshold, second.headings, second.area) == (None, (350.0, 45.0), None)
    assert (
        second.schedule
        == first.schedule
        == (Hours(days=("mon", "tue", "wed", "thu", "fri"), begin="22:00", end="06:00"),)
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"schedule": ("mon 25:00-26:00",)}, "matching regex"),
        ({"schedule": ("noon",)}, "write them as"),
        ({"schedule": ("mon-xyz 08:00-09:00",)}, "days are"),
        ({"headings": "north"}, "350-45"),
        ({"headings": "350-720"}, "degrees"),
        ({"threshold": "1.5"}, "<= 1.0"),
        ({"threshold": "half"}, "half"),
        ({"valid_from": "2030-01-02", "valid_until": "2030-01-01"}, "ends before"),
        ({"region": "Bavaria"}, "ISO 3166"),
    ],
)
def test_rules_that_cannot_be(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        change_rules(None, "wanted", changes, NOW, "me")


@pytest.mark.parametrize(
    "text", ["", "{}", '{"type": "Point", "coordinates": [1, 2]}', '{"type": "Polygon", "coordinates": [[["a", 1]]]}']
)
def test_an_area_must_enclose_something(tmp_path: Path, text: str) -> None:
    path = tmp_path / "area.json"
    path.write_text(text)
    with pytest.raises(CommandError, match="no polygon in GeoJSON"):
        read_area(path)


def test_hours_go_round_the_week() -> None:
    assert parse_hours("sat-mon 08:00-12:00").days == ("sat", "sun", "mon")
    assert parse_hours("08:00-24:00").days == ()


def test_the_page_names_every_option_of_the_rules() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "hotlists.md").read_text("utf-8")
    for option in rules_command.params:
        name = option.opts[0]
        if name.startswith("--") and name not in ("--json", "--remove"):
            assert f"`{name}" in page, name
