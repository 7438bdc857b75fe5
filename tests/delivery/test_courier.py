"""A target that is down, slow, or says no: nothing is lost, nobody else waits, and nothing secret is logged."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery.senders import Refused, Unavailable, WebhookSender
from delivery.settings import DeliverySettings
from delivery.sign import DELIVERY, SIGNATURE, TIMESTAMP, is_signed
from delivery.target import Target
from plumbing.bus import TopicPartition
from schemas.alert import Alert
from schemas.codec import decode_json
from schemas.topics import ALERTS
from tests.delivery.places import Hook, Place, alert, wait_for


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.end()


def webhook(url: str, name: str = "desk", **more: Any) -> Target:
    return Target(name, "webhook", url, secret="s3cret", timeout_s=0.5, **more)


def plates(hook: Hook) -> list[str]:
    return [decode_json(body, Alert).plate for _, body in hook.accepted]


def test_an_alert_is_posted_signed_and_named(place: Place) -> None:
    with Hook() as hook:
        place.start(webhook(hook.url))
        place.raise_(alert(1))
        wait_for("delivered", lambda: bool(hook.accepted))
        ((headers, body),) = hook.accepted
    assert is_signed("s3cret", headers[TIMESTAMP], body, headers[SIGNATURE], time.time())
    assert headers[DELIVERY] == f"{alert(1).alert_id}.1.raised"
    assert headers["Content-Type"] == "application/json"


def test_a_target_that_is_away_gets_all_in_order_when_it_comes(place: Place, free_port: Callable[[], int]) -> None:
    port = free_port()
    running = place.start(webhook(f"http://127.0.0.1:{port}/"))
    place.raise_(*(alert(n) for n in range(1, 21)))
    wait_for("tried", lambda: running.courier.status.failed >= 3)
    wait_for("looked", lambda: running.courier.status.backlog == 20)
    assert running.courier.status.state == "down"
    assert running.courier.status.delay_s > 0
    with Hook(port) as hook:
        wait_for("delivered", lambda: len(hook.accepted) == 20)
        time.sleep(0.3)
        assert sorted(plates(hook)) == [alert(n).plate for n in range(1, 21)]
    assert (running.courier.status.state, running.courier.status.error) == ("up", "")
    wait_for("no backlog", lambda: running.courier.status.backlog == 0)


@pytest.mark.parametrize("fault", [500, 503, 404, 302, 2.0], ids=["500", "503", "404", "redirect", "hangs"])
def test_faults_are_tried_again_until_it_works(place: Place, fault: int | float) -> None:
    with Hook(0, fault, fault, fault, fault) as hook:
        running = place.start(webhook(hook.url))
        place.raise_(alert(1), alert(2))
        wait_for("delivered", lambda: len(hook.accepted) == 2)
        assert sorted(plates(hook)) == ["ABC001", "ABC002"]
        assert hook.tries == 6
        assert running.courier.status.failed == 4
        assert place.buried == []


def test_a_slow_target_blocks_no_other(place: Place) -> None:
    with Hook(0, *[5.0] * 100) as slow, Hook() as quick:
        place.start(webhook(slow.url, "slow"))
        place.start(webhook(quick.url, "quick"))
        begin = time.monotonic()
        place.raise_(*(alert(n) for n in range(1, 51)))
        wait_for("delivered", lambda: len(quick.accepted) == 50, 10)
        assert time.monotonic() - begin < 5
        assert slow.accepted == []


def test_a_pause_that_the_target_asks_for_is_kept(place: Place) -> None:
    with Hook(0, {"Retry-After": "1"}) as hook:
        place.start(webhook(hook.url))
        place.raise_(alert(1))
        wait_for("tried", lambda: hook.tries == 1)
        begin = time.monotonic()
        wait_for("delivered", lambda: bool(hook.accepted))
        assert time.monotonic() - begin > 0.8


def test_a_courier_that_dies_leaves_its_alerts_to_the_next(place: Place) -> None:
    with Hook(0, 200, 200, *[500] * 1000) as hook:
        first = place.start(webhook(hook.url))
        place.raise_(*(alert(n) for n in range(1, 6)))
        wait_for("stuck", lambda: first.courier.status.failed >= 2)
        first.end()
        assert len(hook.accepted) == 2
        hook.script.clear()
        place.start(webhook(hook.url))
        wait_for("delivered", lambda: len(hook.accepted) == 5)
        time.sleep(0.3)
        assert sorted(plates(hook)) == [f"ABC00{n}" for n in range(1, 6)], "each once: the end was orderly"


def test_a_message_that_is_refused_becomes_a_dead_letter_and_the_next_goes_on(place: Place) -> None:
    with Hook(0, 422, 422, 422) as hook:
        running = place.start(webhook(hook.url))
        place.raise_(alert(1))
        wait_for("buried", lambda: bool(place.buried))
        place.raise_(alert(2))
        wait_for("delivered", lambda: plates(hook) == ["ABC002"])
    ((record, why),) = place.buried
    assert decode_json(record.value or b"", Alert) == alert(1)
    assert why == "desk refuses it, 3 times: answer 422"
    assert (running.courier.status.dead, running.courier.status.delivered) == (1, 1)


def test_only_refusals_count_towards_a_dead_letter(place: Place) -> None:
    with Hook(0, 503, 503, 503, 503, 422) as hook:
        place.start(webhook(hook.url))
        place.raise_(alert(1))
        wait_for("delivered", lambda: plates(hook) == ["ABC001"])
    assert place.buried == []


def test_what_is_no_alert_becomes_a_dead_letter(place: Place) -> None:
    with Hook() as hook:
        place.start(webhook(hook.url))
        place.raise_(b"{", alert(1))
        wait_for("delivered", lambda: plates(hook) == ["ABC001"])
        wait_for("buried", lambda: [record.value for record, _ in place.buried] == [b"{"])


def test_only_the_lists_and_priorities_that_are_wanted(place: Place) -> None:
    with Hook() as hook:
        running = place.start(webhook(hook.url, lists=("stolen",), priorities=("high",)))
        place.raise_(alert(1), alert(2, hotlist_id="own"), alert(3, priority="low"), alert(4))
        wait_for("done", lambda: running.courier.status.delivered + running.courier.status.skipped == 4)
        assert sorted(plates(hook)) == ["ABC001", "ABC004"]


def test_the_highest_revision_is_the_last_word(place: Place) -> None:
    """A corrected alert comes by another partition: its withdrawal under the old plate may come after it."""
    with Hook() as hook:
        running = place.start(webhook(hook.url))
        for one in (
            alert(1),
            alert(1, plate="ABD001", revision=3),
            alert(1, "withdrawn", revision=2),
            alert(1, plate="ABD001", revision=3),
            alert(1, "withdrawn", plate="ABD001", revision=4),
        ):
            place.raise_(one)
            done = running.courier.status.delivered + running.courier.status.skipped
            wait_for("taken", lambda n=done: running.courier.status.delivered + running.courier.status.skipped > n)  # type: ignore[misc]
        said = [(decode_json(body, Alert).revision, decode_json(body, Alert).status) for _, body in hook.accepted]
    assert said == [(1, "raised"), (3, "raised"), (4, "withdrawn")]


def test_a_target_that_is_new_begins_now_and_after_that_loses_nothing(place: Place) -> None:
    place.raise_(*(alert(n) for n in range(1, 11)))
    ends = dict.fromkeys(place.begins, 0)
    for record in place.bus.records(ALERTS.name):
        ends[TopicPartition(record.topic, record.partition)] = record.offset + 1
    place.begins = ends
    with Hook() as hook:
        running = place.start(webhook(hook.url))
        place.raise_(alert(11))
        wait_for("delivered", lambda: bool(hook.accepted))
        wait_for("passed over", lambda: running.courier.status.skipped == 10)
        assert plates(hook) == ["ABC011"]
        running.end()
        # while nobody delivers; its partitions are pinned, also one that was empty
        place.raise_(*(alert(n) for n in range(12, 20)))
        place.begins = {}
        place.start(webhook(hook.url))
        wait_for("delivered", lambda: len(hook.accepted) == 9)


def test_nothing_secret_is_logged_or_told(
    place: Place, caplog: pytest.LogCaptureFixture, free_port: Callable[[], int]
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"http://user:pa55word@127.0.0.1:{free_port()}/SECRET-PATH?token=SECRET-TOKEN"
    running = place.start(webhook(url))
    bad = place.start(webhook("http://[SECRET-HOST", "bad"))
    place.raise_(alert(1))
    wait_for("tried", lambda: running.courier.status.failed >= 2 and bad.courier.status.failed >= 2)
    target = webhook(url)
    told = caplog.text + repr(running.courier.status) + repr(bad.courier.status) + repr(target)
    told += repr(DeliverySettings("b:1", (target,)))
    assert "deliver to desk: down" in caplog.text
    for secret in ("pa55word", "SECRET", "s3cret"):
        assert secret not in told


def test_which_answers_mean_the_message() -> None:
    with Hook(0, 400, 401, 413, 429) as hook:
        sender = WebhookSender(webhook(hook.url))
        from delivery.forms import Body

        for kind in (Refused, Unavailable, Refused, Unavailable):
            with pytest.raises(kind):
                sender.send(alert(1), Body("application/json", b"{}"))
        sender.send(alert(1), Body("application/json", b"{}"))
        sender.close()
