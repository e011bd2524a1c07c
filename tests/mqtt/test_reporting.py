"""Reports to a real broker, through restarts and failures on both sides."""

from __future__ import annotations

import gc
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import edge.mqtt.link as link_module
import edge.mqtt.reporter as reporter_module
from edge.mqtt import MqttReporter
from tests.mqtt.brokers import (
    ROOT,
    UNRAISABLE,
    Box,
    Broker,
    free_port,
    needs_broker,
    record_losses,
    reporting,
    retained,
    settings,
    wait_for,
    watching,
)

pytestmark = pytest.mark.slow


@needs_broker
def test_values_arrive_are_retained_and_change(broker: Broker) -> None:
    box = Box(live=("front",))
    with reporting(settings(broker.port, topic="site/edge"), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: seen.last.get("site/edge/gate/yard/availability"))
        wait_for(lambda: seen.last.get("site/edge/gate/availability"))
        wait_for(lambda: seen.last.get("site/edge/gate/front/availability"))
        wait_for(lambda: reporter.connected)
        assert reporter.last_error == ""
        kept = retained(broker.port)
        assert kept["site/edge/gate/availability"] == "online"
        assert kept["site/edge/gate/front/availability"] == "online"
        assert kept["site/edge/gate/yard/availability"] == "offline"
        assert json.loads(kept["site/edge/gate/state"])["ready"] is True
        front = json.loads(kept["site/edge/gate/front/state"])
        assert (front["written"], front["dropped"], front["state"]) == (7, 5, "live")
        assert json.loads(kept["site/edge/gate/yard/state"])["last_error"] == "(left out)"
        box.written, box.live = 8, ()
        wait_for(lambda: seen.state("site/edge/gate/front/state").get("written") == 8)
        wait_for(lambda: seen.last["site/edge/gate/front/availability"] == "offline")
        wait_for(lambda: seen.state("site/edge/gate/state").get("problems") == ["no camera is live"])
        assert seen.last["site/edge/gate/availability"] == "online"
        everything = json.dumps(kept)
    for private in ("192.0.2.10", "rtsp", "anna"):
        assert private not in everything


@needs_broker
def test_a_clean_end_publishes_offline(broker: Broker) -> None:
    with watching(broker.port) as seen:
        with reporting(settings(broker.port), Box()) as reporter:
            wait_for(lambda: reporter.connected and len([t for t in seen.last if "availability" in t]) == 3)
        topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
        time.sleep(0.3)
        # Once each: no will follows
        assert sum(text == "offline" for _, text, _ in seen.seen) == 3
    assert not reporter.connected
    kept = retained(broker.port)
    assert [kept[topic] for topic in topics] == ["offline"] * 3
    assert json.loads(kept["edge-anonymizer/gate/front/state"])["written"] == 7


REPORT_FOR_EVER = """
import sys, time
from tests.mqtt.brokers import Box, MqttReporter, settings
reporter = MqttReporter(settings(int(sys.argv[1])), Box().status)
reporter.start()
time.sleep(120)
"""


@contextmanager
def reporting_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", REPORT_FOR_EVER, str(port)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@needs_broker
def test_a_killed_process_leaves_every_topic_offline(broker: Broker) -> None:
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with watching(broker.port) as seen, reporting_process(broker.port) as process:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        process.kill()
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
    kept = retained(broker.port)
    assert [kept[topic] for topic in topics] == ["offline"] * 3


@needs_broker
def test_the_will_of_a_replaced_process_comes_before_the_new_online(broker: Broker) -> None:
    """The old process is frozen, so that its connections are still open when the new one comes."""
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with watching(broker.port) as seen, reporting_process(broker.port) as old:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        old.send_signal(signal.SIGSTOP)
        begin = len(seen.seen)
        with reporting(settings(broker.port), Box()) as reporter:
            wait_for(lambda: reporter.connected)
            wait_for(lambda: {t for t, text, _ in seen.seen[begin:] if text == "online"} == set(topics))
            old.kill()
            old.wait()
            time.sleep(0.5)
            kept = retained(broker.port)
            assert [kept[topic] for topic in topics] == ["online"] * 3
    assert [text for topic, text, _ in seen.seen[begin:] if topic == topics[0]][:2] == ["offline", "online"]


@needs_broker
def test_a_restarted_broker_receives_everything_again(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RECONNECT_SECONDS", (1, 1))
    lost = record_losses(monkeypatch)
    box = Box()
    with caplog.at_level(logging.INFO, "edge"), reporting(settings(broker.port), box) as reporter:
        wait_for(lambda: reporter.connected)
        broker.stop()
        wait_for(lambda: not reporter.connected)
        wait_for(lambda: len(lost) >= 9)  # three connections, each lost once, with two failed attempts
        assert reporter.last_error
        box.written = 9
        broker.start()
        wait_for(lambda: reporter.connected)
        wait_for(lambda: len(retained(broker.port)) == 9)
        # What had not been acknowledged comes first, then what is true now
        with watching(broker.port) as seen:
            wait_for(lambda: seen.state("edge-anonymizer/gate/yard/state").get("written") == 9)
    lines = [record.getMessage() for record in caplog.records if "mqtt" in record.getMessage()]
    assert [line.split(" to ")[0] for line in lines] == [
        "mqtt: connected",
        "mqtt: no connection",
        "mqtt: connected",
    ]


@needs_broker
def test_a_broker_that_was_frozen_gets_the_newest_values(broker: Broker) -> None:
    box = Box()
    with reporting(settings(broker.port), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and seen.state("edge-anonymizer/gate/front/state"))
        broker.process.send_signal(signal.SIGSTOP)
        for written in range(10, 15):
            box.written = written
            time.sleep(0.5)
            outstanding = [link._sent - link._acknowledged for link in reporter._links.values()]
            assert max(outstanding) <= 3
        broker.process.send_signal(signal.SIGCONT)
        wait_for(lambda: seen.state("edge-anonymizer/gate/front/state").get("written") == 14)


def test_a_broker_that_never_answers_delays_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "KEEPALIVE_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = settings(silent.getsockname()[1])
        begin = time.monotonic()
        reporter = MqttReporter(config, Box().status)
        reporter.start()
        assert time.monotonic() - begin < 1
        assert not reporter.connected
        assert reporter.last_error
        wait_for(lambda: [record.getMessage() for record in caplog.records])
        assert "Keep alive timeout" in reporter.last_error
        begin = time.monotonic()
        reporter.stop()
        assert time.monotonic() - begin < 2 * reporter_module.STOP_SECONDS
    assert [link._sent for link in reporter._links.values()] == [0, 0, 0]
    assert len(caplog.records) == 1


def test_a_broker_that_is_away_delays_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with reporting(settings(free_port()), Box()) as reporter:
        wait_for(lambda: "refused" in reporter.last_error)
        begin = time.monotonic()
    assert time.monotonic() - begin < 2 * reporter_module.STOP_SECONDS
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@needs_broker
def test_an_unreadable_status_turns_everything_offline(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    box = Box()
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with reporting(settings(broker.port), box), watching(broker.port) as seen:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        box.broken = True
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
        count = len(seen.seen)
        wait_for(lambda: len(seen.seen) > count)
        box.broken = False
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["online"] * 3)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "mqtt: the status cannot be read: RuntimeError: no status today"
    ]


# paho leaves the pair of sockets that woke the dead thread to the garbage collector
@pytest.mark.filterwarnings(f"ignore:Exception ignored in[^<]*<socket.socket:{UNRAISABLE}")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@needs_broker
def test_a_thread_that_died_is_started_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(reporter: MqttReporter, payload: bytes) -> None:
        raise RuntimeError("nobody expected that")

    monkeypatch.setattr(MqttReporter, "_on_birth", fail)
    box = Box()
    with reporting(settings(broker.port), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and seen.state("edge-anonymizer/gate/state"))
        thread = next(t for t in threading.enumerate() if t.name.endswith("edge-anonymizer.gate"))
        seen.client.publish("homeassistant/status", "online")
        wait_for(lambda: not thread.is_alive())
        box.live = ()
        wait_for(lambda: seen.state("edge-anonymizer/gate/state").get("ready") is False)
    gc.collect()  # here, and not in another test
