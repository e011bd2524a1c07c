"""A marked secret is put into every kind of mistake in a configuration, and looked for in the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import MqttConfig, make_config, read_config
from edge.errors import ConfigError
from edge.mqtt.reporter import MqttReporter
from edge.status.app import create_app
from edge.status.metrics import Metrics
from tests.marked import HEAD, IP, SECRET, TAIL, URL, assert_clean, numbered
from tests.statuses import make_status

GOOD = '[cameras.front]\nsource = "/dev/video0"\n'
MISTAKES = [
    f'[cameras.Front]\nsource = "{URL}"\n',
    f'[cameras.front]\nsorce = "{URL}"\n',
    f'[cameras.front]\nsource = "/dev/video0"\nurl = "{URL}"\n',
    f'[cameras.front]\nsource = "/dev/video0"\nuser = "admin"\npassword = "{SECRET}"\n',
    f'[cameras.front]\nsource = ["{URL}"]\n',
    f'[cameras.front]\nsource = {{url = "{URL}"}}\n',
    f'[cameras.front.source]\nurl = "{URL}"\n',
    f'[cameras.front.main]\nsource = "{URL}"\n',
    f'[cameras]\nfront = "{URL}"\n',
    f'[cameras]\nsource = "{URL}"\n',
    f'[cameras]\nfront = ["{SECRET}"]\n',
    f'cameras = "{URL}"\n',
    f'cameras = ["{URL}"]\n',
    f'[[cameras]]\nname = "front"\nsource = "{URL}"\n',
    f'[[cameras.front]]\nsource = "{URL}"\n',
    f'[cameras."{URL}"]\nkind = "stream"\n',
    f'[cameras."{URL}"]\nsource = "/dev/video0"\n',
    f'[cameras]\n"{URL}" = "front"\n',
    f'[cameras."front={SECRET}"]\nsource = "/dev/video0"\n',
    f'[cameras.front]\nsource = "{URL}\\u0000"\n',
    f'[cameras.front]\nsource = "/dev/video0"\n"{URL}" = 1\n',
    *(
        f'[cameras.front]\nsource = "{URL}"\n{key} = "{value}"\n'
        for key in ("kind", "transport", "loop", "width_pixels", "crop", "privacy_zones", "rotate_degrees")
        for value in (URL, SECRET)
    ),
    f'[cameras.front]\nsource = "/dev/video0"\ncrop = ["{SECRET}", 0, 1, 1]\n',
    f'[cameras.front]\nsource = "/dev/video0"\ncrop = {{x = "{SECRET}"}}\n',
    f'[camera.front]\nsource = "{URL}"\n',
    f'"{URL}" = "front"\n',
    f'source = "{URL}"\n',
    f'["{URL}"]\nx = 1\n',
    # Not TOML
    f"[cameras.front]\nsource = {URL}\n",
    f'[cameras.front]\nsource = "{URL}\n',
    f'[cameras.front]\nsource = "rtsp://admin:{HEAD}\\{TAIL}@{IP}/"\n',
    f'[cameras.front]\nsource = "rtsp://admin:{HEAD}"{TAIL}@{IP}/"\n',
    f"[cameras.{URL}]\n",
    f"[cameras.front]\n{URL}\n",
    f'[cameras."{SECRET}"]\n[cameras."{SECRET}"]\n',
    f'[cameras]\n"{SECRET}" = 1\n"{SECRET}" = 2\n',
    f"cameras = {{\"{SECRET}\" = 1, \"{SECRET}\" = 2}}\n",
    f"[cameras.front]\n{SECRET}.a = 1\n[cameras.front.{SECRET}.a]\n",
    # In another section
    *(
        f'{GOOD}[{section}]\n{key} = "{value}"\n'
        for section, key in (
            ("store", "folder"), ("store", "format"), ("store", "quality"), ("store", "recipient"),
            ("detector", "path"), ("detector", "cache_folder"), ("detector", "canvas"), ("detector", "tiles"),
            ("blur", "fill"), ("blur", "margin_top"), ("status", "host"), ("status", "port"),
            ("status", "socket"),
            ("status", "token_file"), ("mqtt", "host"), ("mqtt", "topic"), ("mqtt", "ca_file"),
            ("mqtt", "password_file"), ("audit", "boxes"), ("load", "hot_celsius"), ("privacy", "last_look"),
        )
        for value in (URL, f"admin:{HEAD}/{TAIL}@{IP}", f"rtsp:/admin:{SECRET}@{IP}")
    ),
    f'{GOOD}[status]\nallowed_hosts = "{URL}"\n',
    f'{GOOD}[blur]\nsolid_rgb = ["{URL}"]\n',
    f'{GOOD}[store]\nquality = {{"{URL}" = "{URL}"}}\n',
    f'{GOOD}[store]\n"{URL}" = 1\n',
    f'{GOOD}[store]\nfoldr = "{URL}"\n',
    f'{GOOD}[status]\nhost = "{SECRET}@yard"\n',
    f'store = "{URL}"\n',
    f'store = ["{URL}"]\n',
]  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES, ids=numbered(MISTAKES))
def test_no_mistake_in_the_configuration_shows_a_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert_clean(message)


VARIABLES = [
    ("EDGE_CAMERAS__FRONT__SOURCE", '["' + URL),
    ("EDGE_CAMERAS__FRONT", URL),
    ("EDGE_CAMERAS__FRONT", f'{{"source": "{URL}"'),
    ("EDGE_CAMERAS__FRONT", f'{{"sorce": "{URL}"}}'),
    ("EDGE_CAMERAS__FRONT__SORCE", URL),
    ("EDGE_CAMERAS__FRONT__SOURCE__URL", URL),
    ("EDGE_CAMERAS__FRONT__KIND", URL),
    ("EDGE_CAMERAS__FRONT__CROP", f'["{SECRET}"]'),
    ("EDGE_CAMERAS", URL),
    ("EDGE_CAMERAS", f'{{"Front": {{"source": "{URL}"}}}}'),
    ("EDGE_CAMERA__FRONT__SOURCE", URL),
    ("EDGE_STORE__FOLDER", URL),
    ("EDGE_STORE", URL),
    (f"EDGE_{URL}", "x"),
    (f"EDGE_CAMERAS__{URL}", "x"),
]


@pytest.mark.parametrize(("variable", "value"), VARIABLES, ids=numbered(VARIABLES))
def test_no_mistake_in_the_environment_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    try:
        config = make_config({}, "edge.toml")
    except ConfigError as error:
        assert_clean(str(error))
    else:  # a camera's source is any text
        assert variable == "EDGE_CAMERAS__FRONT__SOURCE"
        assert_clean(repr(config))


@pytest.mark.parametrize("host", [f"admin:{SECRET}", f"yard/{SECRET}", f"yard:{SECRET}"])
def test_no_bad_host_of_the_broker_or_the_endpoint_is_shown(host: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.host") as caught:
        MqttReporter(MqttConfig(host=host), make_status)
    assert_clean(str(caught.value))
    for text in (host, URL):
        config = make_config({"status": {"allowed_hosts": ["yard", text]}}, "edge.toml").status
        with pytest.raises(ConfigError, match=r"status\.allowed_hosts: entry 2 ") as caught:
            create_app(config, make_status, Metrics().text, lambda _: None)
        assert_clean(str(caught.value))
