"""The label of a source, and what else is told from its text."""

from __future__ import annotations

import random

import pytest

from edge.masking import error_text, is_address, is_host, label, needs_encoding, place_of

UNREADABLE = "rtsp://(unreadable address)"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://a:b@c/d?e=f", "rtsp://c"),
        ("rtsp://a:p@ss@c/d", "rtsp://c"),
        ("RTSP://Yard.example:554/x", "rtsp://Yard.example:554"),
        ("http://192.0.2.10/mjpeg", "http://192.0.2.10"),
        ("rtsp://u:p@[2001:DB8::1]:554/x", "rtsp://[2001:db8::1]:554"),
        ("rtsp://[fe80::1%eth0]/x", "rtsp://[fe80::1%eth0]"),
        ("rtsp://büro.example/x", "rtsp://büro.example"),
        ("rtsp://127.0.0.1:1/user=admin&password=p&channel=1", "rtsp://127.0.0.1:1"),
        ("rtsp://192.0.2.10/?user=a@b", "rtsp://192.0.2.10"),
        ("rtsp://u:p[q@yard/x", "rtsp://yard"),
        ("rtsp://u:p/q@192.0.2.10:554/x", "rtsp://192.0.2.10:554"),
        ("rtsp://u:p#q@[2001:db8::1]/x", "rtsp://[2001:db8::1]"),
        # These can be read in two ways
        ("rtsp://u:p?q@yard/x", UNREADABLE),
        ("rtsp://yard/x@y", UNREADABLE),
        ("rtsp://192.0.2.1/x@192.0.2.2", UNREADABLE),
        # and these in none
        ("rtsp://", UNREADABLE),
        ("rtsp:///x", UNREADABLE),
        ("rtsp://admin:word", UNREADABLE),
        ("rtsp://yard:99999/x", UNREADABLE),
        ("rtsp://[::1/x", UNREADABLE),
        ("rtsp://[1:2]/x", UNREADABLE),
        (f"rtsp://{'x' * 64}/x", UNREADABLE),
        ("word://yard/x", "(unreadable address)"),
        ("admin:word@192.0.2.10", "(unreadable address)"),
        ("rtsp:/192.0.2.10/x", "(name not shown)"),
        ("192.0.2.10/user", "(name not shown)"),
        ("//yard/user", "(name not shown)"),
        ("a=b.mp4", "(name not shown)"),
        ("/dev/video0", "/dev/video0"),
        ("clip.mp4", "clip.mp4"),
        ("../Hof (alt)/clip-1.mp4", "../Hof (alt)/clip-1.mp4"),
        ("", ""),
    ],
)
def test_the_label_is_scheme_host_and_port(source: str, shown: str) -> None:
    assert label(source) == shown


def test_any_text_has_a_label_and_a_label_is_its_own() -> None:
    chance = random.Random(1)
    pieces = [*"/#?@[]:%!\\ \n\0é٣\udc80", "rtsp://", "192.0.2.1", "::1", "yard", "99999"]
    for _ in range(20_000):
        text = "".join(chance.choices(pieces, k=chance.randrange(9)))
        shown = label(text)
        assert label(shown) in (shown, "(unreadable address)"), text
        assert "@" not in shown
        place_of(text), is_host(text), is_address(text), needs_encoding(text)  # none raises


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("rtsp://u:p@yard/x@y", ("yard", None)),
        ("rtsp://u:p[q]@192.0.2.1:554", ("192.0.2.1", 554)),
        ("rtsp://[2001:db8::1]:8554/x", ("2001:db8::1", 8554)),
        ("rtsp://yard:/x", ("yard", None)),
        ("rtsp://u:p/q@yard/x", None),
        ("yard", None),
    ],
)
def test_host_and_port_are_read_as_ffmpeg_does(url: str, place: tuple[str, int | None] | None) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize("text", ["localhost", "broker.example.", "192.0.2.1", "::1", "fe80::1%eth0"])
def test_a_host_is_a_name_or_an_address(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize("text", ["", "a..b", "x" * 64, "a b", "yard:1883", "u@yard", "[::1]", "yard/x"])
def test_anything_else_is_no_host(text: str) -> None:
    assert not is_host(text)


@pytest.mark.parametrize("text", ["rtsp://x", "/srv/rtsp://x", "rtsp:/u:p@x", "u:p@x", "u:p/q@x", "MQTT:x"])
def test_a_url_is_recognised_where_it_should_not_be(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["", "images", "/srv/a@b/images", "/srv/a:b@c", "a@b", "::1", "12:30"])
def test_a_folder_or_a_host_is_no_url(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    "url", [*(f"rtsp://u:p{c}q@yard/x" for c in "/?#@[]\\ %"), "rtsp://u:p", "rtsp://u:p/q", "u:p/q@yard"]
)
def test_a_character_that_must_be_encoded_is_found(url: str) -> None:
    assert needs_encoding(url)


@pytest.mark.parametrize("url", ["rtsp://yard/x", "rtsp://yard:554/x", "rtsp://u:p%2Fq%40!$&'()*+,;=@yard/x"])
def test_what_is_encoded_is_right(url: str) -> None:
    assert not needs_encoding(url)


@pytest.mark.parametrize(
    ("text", "source", "shown"),
    [
        ("driver bug", "rtsp://u:word@yard/1", "ValueError: driver bug"),
        ("bad port 'word'", "rtsp://u:word@yard/1", "not shown"),
        ("bad port 'WORD/2'", "rtsp://u:%57ord%2F2@yard/1", "not shown"),
        ("cannot open clip.mp4", "clip.mp4", "ValueError: cannot open clip.mp4"),
    ],
)
def test_an_error_that_quotes_a_source_is_not_passed_on(text: str, source: str, shown: str) -> None:
    assert shown in error_text(ValueError(text), source)
    assert "word" not in error_text(ValueError(text), source).lower()
    assert len(error_text(ValueError("!" * 999), source)) == 300
