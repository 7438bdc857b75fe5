"""The project's own tables and views on the embedded engine: folding, withdrawing, replay, migrations."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from samples import T0, alert, camera, sighting

from store import Store, migrate, open_store, rows, status
from store.migrate import Migration, MigrationError, load, revert


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path}/db")
    migrate(opened)
    yield opened
    opened.close()


def put(store: Store, *messages: object, token: str = "") -> None:
    """Each message in a block of its own, so that nothing is folded on the way in."""
    for number, message in enumerate(messages):
        store.insert(rows.SIGHTINGS, [rows.sighting_row(message)], token=f"{token}{number}")  # type: ignore[arg-type]


VIEWS = ("sightings", "sightings_by_time")


@pytest.mark.parametrize("view", VIEWS)
def test_a_sighting_is_its_newest_revision(store: Store, view: str) -> None:
    put(
        store,
        sighting(revision=2, frames=6),
        sighting(revision=3, frames=9, status="final"),
        sighting(revision=1, frames=2),
        sighting(revision=2, frames=6),
    )
    assert store.query(f"SELECT revision, frames, status FROM {view}") == [
        {"revision": 3, "frames": 9, "status": "final"}
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_revisions_of_one_block_are_kept_and_folded_by_the_views(store: Store, view: str) -> None:
    told = [
        sighting(revision=1, plate="WR0NG"),
        sighting(revision=4, plate="RIGHT", frames=9),
        sighting(revision=2, plate="WR0NG", status="withdrawn"),
        sighting(revision=3, plate="RIGHT", frames=6),
    ]
    store.execute("SYSTEM STOP MERGES")
    store.insert(rows.SIGHTINGS, [rows.sighting_row(one) for one in told], token="together")
    # to fold them while they go in is work for each row, and merges do it again
    assert store.query(f"SELECT count() AS rows FROM {view}_raw".replace("by_time", "time")) == [{"rows": 4}]
    assert store.query(f"SELECT plate, revision, frames FROM {view}") == [
        {"plate": "RIGHT", "revision": 4, "frames": 9}
    ]
    store.execute("SYSTEM START MERGES")
    store.execute(f"OPTIMIZE TABLE {view}_raw FINAL".replace("by_time", "time"))
    assert store.query(f"SELECT plate, revision, frames FROM {view}") == [
        {"plate": "RIGHT", "revision": 4, "frames": 9}
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_a_plate_that_changes_leaves_nothing_behind(store: Store, view: str) -> None:
    put(
        store,
        sighting(revision=1, plate="WR0NG"),
        sighting(revision=3, plate="RIGHT"),
        sighting(revision=2, plate="WR0NG", status="withdrawn"),
    )
    assert store.query(f"SELECT plate, revision FROM {view}") == [{"plate": "RIGHT", "revision": 3}]
    assert store.query("SELECT plate, sightings FROM vehicles") == [{"plate": "RIGHT", "sightings": 1}]


@pytest.mark.parametrize("view", VIEWS)
def test_a_plate_that_changes_back_is_there_again(store: Store, view: str) -> None:
    put(
        store,
        sighting(revision=1, plate="RIGHT"),
        sighting(revision=2, plate="RIGHT", status="withdrawn"),
        sighting(revision=3, plate="WR0NG"),
        sighting(revision=4, plate="WR0NG", status="withdrawn"),
        sighting(revision=5, plate="RIGHT"),
    )
    for _ in range(2):
        assert store.query(f"SELECT plate, revision FROM {view}") == [{"plate": "RIGHT", "revision": 5}]
        store.execute("OPTIMIZE TABLE sightings_raw FINAL")
        store.execute("OPTIMIZE TABLE sightings_time_raw FINAL")


def test_a_late_frame_that_moves_first_seen_makes_no_second_row(store: Store) -> None:
    """Also over the turn of a month: rows lie where the sighting opened."""
    opened = T0.replace(month=2, day=1, hour=0)
    put(
        store,
        sighting(revision=1, at=opened),
        sighting(revision=2, at=opened, first_seen=opened - timedelta(seconds=2)),
    )
    for view in VIEWS:
        assert store.query(f"SELECT first_seen FROM {view}") == [{"first_seen": opened - timedelta(seconds=2)}]


def test_a_block_that_lost_its_dependent_rows_gets_them_back_by_a_retry(store: Store) -> None:
    """As after a crash between the table and its materialised views: the same token, the same block."""
    block = [rows.sighting_row(sighting(number)) for number in range(20)]
    store.insert(rows.SIGHTINGS, block, token="t")
    store.execute("TRUNCATE TABLE sightings_time_raw")
    store.execute("TRUNCATE TABLE plates")
    store.insert(rows.SIGHTINGS, block, token="t")
    assert store.query("SELECT count() AS n FROM sightings_raw") == [{"n": 20}]
    assert store.query("SELECT count() AS n FROM sightings_by_time") == [{"n": 20}]
    assert store.query("SELECT count() AS n FROM plates FINAL") == [{"n": 20}]


def test_vehicles_add_up(store: Store) -> None:
    put(
        store,
        sighting(1, plate="CAR1", camera_id="cam-2", lat=1.0, lon=2.0),
        sighting(2, plate="CAR1", camera_id="cam-1", lat=None, lon=None),
        sighting(3, plate="CAR2"),
    )
    found = store.query("SELECT * FROM vehicles WHERE plate = 'CAR1'")
    assert len(found) == 1
    one = found[0]
    assert (one["sightings"], one["cameras"], one["camera_count"]) == (2, ["cam-1", "cam-2"], 2)
    assert (one["first_seen"], one["last_seen"]) == (sighting(1).first_seen, sighting(2).last_seen)
    assert (one["last_camera_id"], one["last_lat"]) == ("cam-1", None), "the newest sighting, though without a place"


def test_plates_are_found_by_part_and_by_likeness(store: Store) -> None:
    put(store, *(sighting(number, plate=f"ABC{number:03d}") for number in range(5)), sighting(9, plate="XYZ999"))
    sql = "SELECT plate FROM sightings WHERE plate IN (SELECT plate FROM plates WHERE {0}) ORDER BY plate"
    assert [row["plate"] for row in store.query(sql.format("plate LIKE '%C00%'"))] == [f"ABC{n:03d}" for n in range(5)]
    assert [row["plate"] for row in store.query(sql.format("editDistance(plate, 'XYZ998') <= 1"))] == ["XYZ999"]


def test_an_alert_is_one_row_and_its_withdrawal_is_said(store: Store) -> None:
    for number, message in enumerate([alert(), alert(revision=2, status="withdrawn"), alert()]):
        store.insert(rows.ALERTS, [rows.alert_row(message)], token=str(number))
    late = alert(2, owner="desk", region="DE", look_back=True)
    store.insert(rows.ALERTS, [rows.alert_row(late)], token="late")
    assert store.query("SELECT owner, region FROM alerts WHERE look_back") == [{"owner": "desk", "region": "DE"}]
    assert store.query("SELECT alert_id, status FROM alerts WHERE NOT look_back") == [
        {"alert_id": alert().alert_id, "status": "withdrawn"}
    ]


def test_cameras_show_the_newest_state(store: Store) -> None:
    later = camera(status="silent", emitted_at=T0 + timedelta(seconds=5))
    for number, message in enumerate([later, camera(), camera(camera_id="cam-2")]):
        store.insert(rows.CAMERA_STATES, [rows.camera_row(message)], token=str(number))
    assert store.query("SELECT camera_id, status FROM cameras ORDER BY camera_id") == [
        {"camera_id": "cam-1", "status": "silent"},
        {"camera_id": "cam-2", "status": "live"},
    ]
    assert store.query("SELECT count() AS n FROM camera_states") == [{"n": 3}]


def test_an_exact_plate_reads_little(store: Store) -> None:
    """The view hands the plate down to the table's primary key."""
    store.execute(
        "INSERT INTO sightings_raw (plate, opened_at, sighting_id) "
        "SELECT concat('P', leftPad(toString(number), 5, '0')), "
        "toDateTime64('2026-03-01 00:00:00', 3, 'UTC'), generateUUIDv4() FROM numbers(65536)"
    )
    plan = store.query("EXPLAIN indexes = 1 SELECT * FROM sightings WHERE plate = 'P00777'")
    text = "\n".join(str(row["explain"]) for row in plan)
    assert "PrimaryKey" in text
    assert "Granules: 1/64" in text, text


def test_h3_is_the_same_cell_whatever_the_engine_s_argument_order(store: Store) -> None:
    put(store, sighting(lat=50.0, lon=10.0))
    found = store.query("SELECT h3, h3ToGeo(h3) AS place FROM sightings")[0]
    assert found["h3"] == 617550055351255039
    assert found["place"] == {"latitude": pytest.approx(50.0, abs=0.01), "longitude": pytest.approx(10.0, abs=0.01)}


def test_a_camera_s_day_reads_little(store: Store) -> None:
    """A condition on opened_at reaches the hour that the second order begins with."""
    store.execute(
        "INSERT INTO sightings_raw (plate, opened_at, sighting_id, camera_id) "
        "SELECT toString(number), toDateTime64('2026-03-01 00:00:00', 3, 'UTC') + toIntervalSecond(number * 20), "
        "generateUUIDv4(), concat('cam-', toString(number % 50)) FROM numbers(131072)"
    )
    day = "opened_at >= toDateTime('2026-03-09', 'UTC') AND opened_at < toDateTime('2026-03-10', 'UTC')"
    plan = store.query(f"EXPLAIN indexes = 1 SELECT * FROM sightings_by_time WHERE camera_id = 'cam-7' AND {day}")
    text = "\n".join(str(row["explain"]) for row in plan)
    assert "toStartOfHour(opened_at)" in text
    read = int(text.rpartition("Granules: ")[2].split("/")[0])
    assert read <= 3, text


def test_the_names_that_are_promised(store: Store) -> None:
    tables = {row["name"] for row in store.query("SHOW TABLES")}
    assert {"sightings", "reads", "alerts", "vehicles", "cameras", "dead_letters", "audit", "crops", "plates"} <= tables
    columns = {row["name"] for row in store.query("DESCRIBE TABLE sightings")}
    promised = """
        sighting_id camera_id plate confidence region candidates first_seen last_seen frames lat lon heading speed
        model_version revision
    """
    assert columns.issuperset(promised.split())


def needing_users() -> list[Migration]:
    found = [one for one in load() if one.needs]
    assert [one.name for one in found] == ["roles", "analysts_read_views", "analysts_read_alerts", "analysts_search"]
    return found


def test_status_says_what_the_embedded_engine_cannot(store: Store) -> None:
    steps = status(store)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert {step.name for step in steps if step.state == "skipped"} == {one.name for one in needing_users()}
    assert {step.state for step in steps} == {"applied", "skipped"}


def test_what_the_embedded_engine_cannot_run_is_at_least_sql(store: Store) -> None:
    for one in needing_users():
        assert one.down
        for statement in (*one.statements, *one.down):
            assert store.query("SELECT formatQuerySingleLine({sql:String}) AS s", {"sql": statement.text})


def test_every_table_that_is_granted_exists(store: Store) -> None:
    tables = {row["name"] for row in store.query("SHOW TABLES")}
    for one in needing_users():
        granted = {match for said in one.statements for match in re.findall(r" ON (\w+) (?:TO|FROM) ", said.text)}
        assert granted
        assert granted <= tables


def test_analysts_and_admins_are_given_what_they_need_and_no_more() -> None:
    """Read off the statements: no server of today is at hand."""
    said = "\n".join(statement.text for one in needing_users() for statement in one.statements)
    newest_profile = said[said.rindex("analyst_limits") :].split("TO analyst")[0]
    assert "readonly" not in newest_profile, "who searches writes to the audit"
    assert said.rindex("REVOKE SELECT ON audit FROM analyst") > said.rindex("GRANT SELECT, INSERT ON audit TO analyst")
    assert "GRANT SELECT ON audit_heads TO analyst" in said
    assert said.rindex("GRANT SELECT ON camera_states TO analyst") > said.rindex("SELECT ON camera_states FROM analyst")
    assert said.rindex("REVOKE analyst FROM admin") > said.rindex("GRANT analyst, ingest, auditor TO admin")


def test_every_view_of_analysts_is_read_with_its_maker_s_rights() -> None:
    """Also when a later migration made it anew."""
    ordered = [statement.text for one in load() for statement in one.statements]
    for at, text in enumerate(ordered):
        made = re.match(r"CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?(\w+)", text)
        granted = made and any(re.search(rf"SELECT ON {made[1]} TO analyst", one) for one in ordered)
        if made and granted:
            later = [one for one in ordered[at:] if one.startswith(f"ALTER TABLE {made[1]} MODIFY DEFINER")]
            assert later, made[1]


def test_views_that_are_read_with_their_maker_s_rights_read_as_little(store: Store) -> None:
    """That part of the roles runs without users, too."""
    security = [one for one in needing_users()[1].statements if "DEFINER" in one.text]
    assert len(security) > 10
    for one in security:
        store.execute(one.text)
    store.execute(
        "INSERT INTO sightings_raw (plate, opened_at, sighting_id) "
        "SELECT concat('P', leftPad(toString(number), 5, '0')), "
        "toDateTime64('2026-03-01 00:00:00', 3, 'UTC'), generateUUIDv4() FROM numbers(65536)"
    )
    plan = store.query("EXPLAIN indexes = 1 SELECT * FROM sightings WHERE plate = 'P00777'")
    assert "Granules: 1/64" in "\n".join(str(row["explain"]) for row in plan)
    assert store.query("SELECT plate, sightings FROM vehicles WHERE plate = 'P00777'") == [
        {"plate": "P00777", "sightings": 1}
    ]


def test_views_say_what_their_columns_are(tmp_path: Path) -> None:
    """Also after the store was opened again."""
    for _ in range(2):
        opened = open_store(f"chdb://{tmp_path}/said")
        migrate(opened)
        sql = (
            "SELECT table, countIf(comment != '') AS said FROM system.columns "
            "WHERE table IN {t:Array(String)} GROUP BY table"
        )
        views = ["sightings", "sightings_by_time", "encounters", "vehicles", "camera_health"]
        found = {row["table"]: int(str(row["said"])) for row in opened.query(sql, {"t": views})}
        assert found.keys() == set(views)
        assert min(found.values()) >= 10
        opened.close()


def test_every_migration_goes_back(store: Store) -> None:
    with pytest.raises(MigrationError, match="newest applied migration is"):
        revert(store, 1)
    for migration in reversed(load()):
        assert migration.down is not None, migration.file
        if not migration.needs:
            assert revert(store, migration.number).state == "pending"
    assert [row["name"] for row in store.query("SHOW TABLES")] == ["schema_migrations"]
    assert {step.state for step in migrate(store)} == {"applied", "skipped"}


def test_two_programs_that_migrate_at_once(tmp_path: Path) -> None:
    store = open_store(f"chdb://{tmp_path}/db")
    failures: list[Exception] = []

    def work() -> None:
        try:
            migrate(store)
        except Exception as error:  # noqa: BLE001 - the thread hands it over
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {step.state for step in status(store)} == {"applied", "skipped"}
    store.close()


def test_a_folder_with_bad_names(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="no migrations"):
        load(tmp_path)
    (tmp_path / "first.sql").touch()
    with pytest.raises(MigrationError, match=r"first\.sql: want NNNN_what\.sql"):
        load(tmp_path)
    (tmp_path / "first.sql").unlink()
    (tmp_path / "0001_a.sql").touch()
    (tmp_path / "0001_b.sql").touch()
    with pytest.raises(MigrationError, match=r"0001_b\.sql: number 0001 is also 0001_a\.sql"):
        load(tmp_path)


def test_times_are_utc(store: Store) -> None:
    put(store, sighting())
    assert store.query("SELECT opened_at FROM sightings")[0]["opened_at"].tzinfo is not None  # type: ignore[attr-defined]
    assert store.query("SELECT opened_at FROM sightings")[0]["opened_at"] == sighting().opened_at.astimezone(UTC)
