"""Past sightings of a new entry and wrong hits, asked of a real chDB; then the commands on a real Kafka."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from fleet.errors import CommandError
from fleet.hotlists import HotlistBus, only
from fleet.local_kafka import LocalKafka
from fleet.look_back import look_back, told_before, with_pictures
from fleet.running import STORE_FOLDER
from fleet.topic_reader import read_topic
from fleet.wrong_hits import find_wrong_hit
from plumbing.kafka_admin import NO_SECURITY, create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas.alert import Alert
from schemas.codec import decode_json
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.ids import alert_id
from schemas.read import Candidate
from schemas.sighting import Sighting
from schemas.topics import ALERTS, HOTLIST, TOPICS
from store import migrate, open_store
from store import rows as to_rows
from store.interface import Store
from tests.store.samples import T0, alert, sighting

ROOT = Path(__file__).resolve().parents[2]
NOW_MS = round(T0.timestamp() * 1000) + 86_400_000
SINCE = T0 - timedelta(days=1)


def past() -> list[Sighting]:
    """Finals of several plates; one still open, one long ago, one withdrawn."""
    torn = (Candidate("ABC124", 0.6), Candidate("A8C124", 0.4))
    gone = sighting(7, plate="ABC123", status="withdrawn", revision=2)
    return [
        sighting(1, plate="ABC123", status="final", direction="unknown", lat=None, lon=None),
        sighting(2, plate="A8C123", status="final", region="FR"),
        sighting(3, plate="ABC124", status="final", candidates=torn, confidence=0.6),
        sighting(4, plate="KLM471", status="final"),
        sighting(5, plate="ABC123", status="provisional"),
        sighting(6, plate="ABC123", status="final", at=T0 - timedelta(days=40)),
        sighting(7, plate="ABC123", status="final"),
        gone,
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a filled store, which nobody has open: chDB opens one folder per process."""
    data = tmp_path_factory.mktemp("data")
    fill_data(data)
    return data


def fill(folder: str) -> None:
    """Tables, sightings, crops, and an alert."""
    store = open_store(f"chdb://{folder}")
    migrate(store)
    seen = past()
    store.insert(to_rows.SIGHTINGS, [to_rows.sighting_row(one) for one in seen], token="a")
    store.insert(to_rows.CROPS, [row for one in seen if (row := to_rows.crop_row(one))], token="b")
    store.insert(to_rows.ALERTS, [to_rows.alert_row(one) for one in (raised_before(), misread())], token="c")
    store.close()


def raised_before() -> Alert:
    """Was sent when the sighting was made."""
    seen = past()[0]
    name = alert_id("stolen", "ABC123", seen.sighting_id)
    return alert(1, alert_id=name, entry="ABC123", plate="ABC123", sighting_id=seen.sighting_id)


def misread() -> Alert:
    """A pattern met a text that was wrong."""
    seen = past()[1]
    name = alert_id("stolen", "A?C*", seen.sighting_id)
    return alert(2, alert_id=name, entry="A?C*", plate="A8C123", match="pattern", sighting_id=seen.sighting_id)


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    found = open_store(f"chdb://{folder / STORE_FOLDER}")
    yield found
    found.close()


def entry(text: str, **more: object) -> HotlistEntry:
    return HotlistEntry(hotlist_id="stolen", entry=text, added_at=T0, **more)  # type: ignore[arg-type]


def rules(**more: object) -> HotlistRules:
    return HotlistRules(hotlist_id="stolen", updated_at=T0, **more)  # type: ignore[arg-type]


def back(store: Store, entries: list[HotlistEntry], *in_force: HotlistRules | HotlistEntry | WrongHit) -> list[str]:
    found = look_back(lambda sql: store.query_raw(sql, "JSONEachRow"), entries, in_force, SINCE, NOW_MS, 0.2)
    assert all(one.look_back and one.status == "raised" for one in found)
    return [f"{one.plate} {one.match}" for one in found]


def test_only_finals_of_the_span_that_stand_are_looked_at(store: Store) -> None:
    assert back(store, [entry("ABC123")]) == ["ABC123 exact"]


def test_patterns_candidates_and_several_entries_at_once(store: Store) -> None:
    assert back(store, [entry("A?C12*")]) == ["ABC123 pattern", "A8C123 pattern", "ABC124 pattern"]
    assert back(store, [entry("*8C124")]) == ["ABC124 candidate"]
    assert back(store, [entry("A8C124"), entry("KLM471")]) == ["ABC124 candidate", "KLM471 exact"]
    assert back(store, [entry("XYZ999")]) == []


def test_the_lists_rules_hold_for_the_past_too(store: Store) -> None:
    one_edit = ["ABC123 exact", "A8C123 equivalent", "ABC124 differences"]
    assert back(store, [entry("ABC123")], rules(ocr_equivalent=1, differences=1)) == one_edit
    assert back(store, [entry("ABC123")], rules(ocr_equivalent=1, region="DE")) == ["ABC123 exact"]
    assert back(store, [entry("A?C123")], rules(direction="approaching")) == ["A8C123 pattern"]
    wrong = WrongHit(hotlist_id="stolen", entry="A?C123", plate="A8C123", at=T0)
    assert back(store, [entry("A?C123")], wrong) == ["ABC123 pattern"]
    ignored = HotlistRules(hotlist_id="own", kind="ignore", updated_at=T0)
    own = HotlistEntry(hotlist_id="own", entry="ABC123", added_at=T0)
    assert back(store, [entry("A?C123")], own, ignored) == ["A8C123 pattern"]
    with pytest.raises(CommandError, match="allow list"):
        back(store, [entry("ABC123")], rules(kind="allow"))


def test_what_was_told_before_is_known_by_its_id(store: Store) -> None:
    ask = lambda sql: store.query_raw(sql, "JSONEachRow")  # noqa: E731
    found = look_back(ask, [entry("ABC123"), entry("KLM471")], [], SINCE, NOW_MS, 0.2)
    assert len(found) == 2
    assert told_before(ask, found) == {raised_before().alert_id}
    assert found[0].evidence is not None
    assert (found[0].first_seen, found[0].evidence.offset) == (past()[0].first_seen, 1001)


def test_alerts_of_the_past_carry_the_picture_of_their_own_read(store: Store) -> None:
    asked: list[str] = []

    def ask(sql: str) -> bytes:
        asked.append(sql)
        return store.query_raw(sql, "JSONEachRow")

    found = look_back(ask, [entry("ABC123"), entry("KLM471")], [], SINCE, NOW_MS, 0.2)
    assert [one.evidence.crop_jpeg for one in found if one.evidence] == [b"", b""]
    first, other = found
    assert first.evidence is not None
    assert other.evidence is not None
    of_another_read = msgspec.structs.replace(other.evidence, crop_sha256="d" * 64)
    pictured = with_pictures(ask, [first, msgspec.structs.replace(other, evidence=of_another_read)])
    assert pictured[0] == msgspec.structs.replace(
        first, evidence=msgspec.structs.replace(first.evidence, crop_jpeg=past()[0].evidence.crop_jpeg)
    )
    assert pictured[1].evidence == of_another_read
    asked.clear()
    assert with_pictures(ask, []) == []
    assert asked == []


def test_a_wrong_hit_keeps_its_picture(store: Store) -> None:
    ask = lambda sql: store.query_raw(sql, "JSONEachRow")  # noqa: E731
    hit = find_wrong_hit(ask, misread().alert_id, truth="ABC123", silence=False, by="ann")
    assert (hit.key, hit.suppress, hit.truth) == ("stolen/A?C*/A8C123", True, "ABC123")
    assert hit.evidence is not None
    assert hit.evidence.crop_jpeg == past()[1].evidence.crop_jpeg
    own = find_wrong_hit(ask, raised_before().alert_id, truth="", silence=False, by="")
    assert not own.suppress, "it would silence the entry itself"
    assert find_wrong_hit(ask, raised_before().alert_id, truth="", silence=True, by="").suppress
    for name in ("x' OR 1=1 --", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(CommandError, match="no alert"):
            find_wrong_hit(ask, name, truth="", silence=False, by="")


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.brokers, TOPICS)
        yield kafka.brokers


def platefleet(brokers: str, data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATEFLEET_")}
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        cwd=ROOT,
        env=clean | {"PLATEFLEET_DATA_DIR": str(data), "PLATEFLEET_BROKERS": brokers},
        capture_output=True,
        text=True,
        timeout=120,
    )


class Shell:
    """Commands on one Kafka and one data folder."""

    def __init__(self, brokers: str, data: Path) -> None:
        self._brokers, self._data = brokers, data

    def __call__(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = platefleet(self._brokers, self._data, *arguments)
        assert done.returncode == code, done
        return done


def test_look_back_raises_what_was_not_raised_before(brokers: str, tmp_path: Path) -> None:
    fill_data(tmp_path)
    run = Shell(brokers, tmp_path)
    producer = KafkaBusProducer(brokers, "test")
    producer.send(HOTLIST.name, b"not json", key=b"stolen/BROKEN").result(10)
    producer.close()
    ruled = run("hotlist", "rules", "stolen", "--ocr-equivalent", "1", "--priority", "high")
    assert "is passed over" in ruled.stderr
    wide = ("--look-back", "9999d", "--alert", "--json")
    once = run("hotlist", "add", "ABC123", "A8C124", "ABCI23", "--list", "stolen", *wide)
    assert "ABCI23 looks like ABC123" in once.stderr
    told = json.loads(once.stdout)
    assert sorted(one["match"] for one in told["look_back"])[:2] == ["equivalent", "equivalent"]
    sent = [decode_json(r.value or b"", Alert) for r in read_topic(brokers, ALERTS.name, NO_SECURITY)]
    assert len(sent) == told["raised"] == len(told["look_back"]) - 1, "without what was raised before"
    assert {one.priority for one in sent} == {"high"}
    assert all(one.look_back for one in sent)
    pictures = {one.evidence.crop_jpeg for one in sent if one.evidence is not None}
    assert pictures == {past()[0].evidence.crop_jpeg}, "as live alerts have them"
    assert "ocr_equivalent 1" in run("hotlist", "list", "--list", "stolen").stdout


def test_wrong_hits_are_kept_until_they_are_undone(brokers: str, tmp_path: Path) -> None:
    fill_data(tmp_path)
    run = Shell(brokers, tmp_path)
    run("alerts", "wrong", misread().alert_id, "--truth", "abc 123")
    assert "A?C*: read A8C123, is ABC123" in run("alerts", "wrong", "--list").stdout
    assert only(HotlistBus(brokers, NO_SECURITY).records(), WrongHit)[0].evidence is not None
    run("alerts", "wrong", misread().alert_id, "--undo")
    assert only(HotlistBus(brokers, NO_SECURITY).records(), WrongHit) == []


def test_import_and_export(brokers: str, tmp_path: Path) -> None:
    run = Shell(brokers, tmp_path)
    table = tmp_path / "list.csv"
    table.write_text("plate,priority\nNEW1,high\nNEW2,urgent\n")
    failed = run("hotlist", "import", str(table), "--list", "csv", code=1)
    assert "list.csv:3:" in failed.stderr
    assert "1 of 2 rows are bad; nothing was imported" in failed.stderr
    run("hotlist", "import", str(table), "--list", "csv", "--skip-bad")
    text = run("hotlist", "export", "-", "--list", "csv").stdout
    assert text.splitlines() == ["entry,priority,reason,owner,region,valid_from,valid_until", "NEW1,high,,,,,"]


def fill_data(data: Path) -> None:
    """A store of its own: the commands of this test write their audit into it."""
    program = "from tests.fleet.test_look_back import fill; import sys; fill(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(data / STORE_FOLDER)], cwd=ROOT, check=True, timeout=100)
