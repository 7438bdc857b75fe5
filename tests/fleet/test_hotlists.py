"""Hotlist files: what they may look like, and how a wrong line is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.errors import CommandError
from fleet.hotlists import make_entry, read_entries


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
        ("plate,priority\nAB12,urgent", ":2: .*urgent"),
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
