"""The configuration: TOML plus environment, read once, frozen, and passed down.

Every key that is a quantity says its unit in its name. An environment variable overrides the file:
``EDGE_STORE__FOLDER=/srv/images`` is ``folder`` in ``[store]``.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge.address import is_address, key_label, label
from edge.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CAMERA_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
REIDENTIFIABLE_FILLS = ("gaussian", "mosaic")
PUBLIC_KEY = re.compile(r"age1[02-9ac-hj-np-z]{58}")  # 32 bytes and a checksum in Bech32, BIP 173
PRIVATE_KEY = re.compile(r"age-secret-key[0-9a-z-]*", re.IGNORECASE)
PRIVATE_KEY_REFUSED = "this is the private key: keep it away from the box, and give the public one (age1...)"

Share = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Portion = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Score = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Grid = Annotated[str, Field(pattern=r"^(auto|[1-8]x[1-8])$")]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a null character is in no name and in no path")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_address(cls, value: Any, info: ValidationInfo) -> Any:
        # Folders and hosts are shown in many places, and a camera's URL may hold a password.
        known = info.field_name in ("source", "username")
        if not known and isinstance(value, (str, Path)) and is_address(str(value)):
            raise ValueError(
                "a URL cannot stand here; that of a camera goes to cameras.NAME.source, and to mqtt.host the "
                "broker's name or address alone"
            )
        return value


class CameraConfig(Section):
    """One camera. ``[cameras.NAME]``: small letters, digits, ``-`` and ``_``; NAME is its folder."""

    source: str = Field(
        min_length=1,
        repr=False,  # may hold a password; edge.address.label is what may be shown
        description="video file, folder of pictures, /dev/videoN, rtsp:// or http:// URL, or a GStreamer "
        "pipeline that ends in appsink (kind = gstreamer)",
    )
    kind: Literal["auto", "video", "folder", "v4l2", "stream", "gstreamer"] = Field(
        "auto", description="what the source is; auto: tell by its form"
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="rtsp: how the pictures travel")
    loop: bool = Field(False, description="video: start again at the end")
    pace: bool = Field(True, description="video: play at its own rate instead of as fast as possible")
    width_pixels: int | None = Field(None, ge=16, le=16384, description="v4l2: wanted width")
    height_pixels: int | None = Field(None, ge=16, le=16384, description="v4l2: wanted height")
    rate_fps: float | None = Field(
        None, gt=0, le=240, description="v4l2: wanted rate; video: rate where the file does not say"
    )
    open_timeout_seconds: float = Field(10, gt=0, le=300, description="stream: time to open it")
    read_timeout_seconds: float = Field(5, gt=0, le=300, description="stream: time for one frame")
    stale_after_seconds: float = Field(
        10, gt=0, le=3600, description="live camera: the same picture for so long means that it is frozen"
    )
    poll_seconds: float = Field(1, gt=0, le=3600, description="folder: how often to look for pictures")
    rotate_degrees: Literal[0, 90, 180, 270] = Field(0, description="turn each frame clockwise")
    crop: tuple[Portion, Portion, Portion, Portion] | None = Field(
        None, description="keep [left, top, right, bottom] of the turned frame, as shares from 0 to 1"
    )
    privacy_zones: tuple[tuple[tuple[Portion, Portion], ...], ...] = Field(
        (), description="polygons [[x, y], ...] in shares of the turned and cropped frame, always covered"
    )

    @field_validator("crop")
    @classmethod
    def _not_empty(cls, value: tuple[float, float, float, float] | None) -> Any:
        if value is not None and (value[2] <= value[0] or value[3] <= value[1]):
            raise ValueError("wanted [left, top, right, bottom] with left < right and top < bottom")
        return value

    @field_validator("privacy_zones")
    @classmethod
    def _polygons(cls, value: tuple[tuple[tuple[float, float], ...], ...]) -> Any:
        for zone in value:
            if len(set(zone)) < 3:
                raise ValueError("a privacy zone needs three different corners or more")
        return value

    def resolved_kind(self) -> Literal["video", "folder", "v4l2", "stream", "gstreamer"]:
        """The kind of source, told by the form of ``source`` where ``kind`` is ``auto``."""
        if self.kind != "auto":
            return self.kind
        if re.search(r"!\s*appsink\b", self.source):
            return "gstreamer"
        if re.match(r"[a-z][a-z0-9+.-]*://", self.source, re.IGNORECASE):
            return "stream"
        if re.fullmatch(r"/dev/video\d+", self.source):
            return "v4l2"
        # Path.is_dir() raises an error with the source in its text where that is too long for a name
        return "folder" if os.path.isdir(self.source) else "video"


class DetectorConfig(Section):
    """The detector and how it runs."""

    path: Path | None = Field(None, description="a detector file; without it the shipped CenterFace is used")
    provider: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"] = Field(
        "auto", description="execution provider; a named one must really run, or nothing starts"
    )
    provider_fallback: bool = Field(
        False, description="run on the CPU where the named provider does not run, and say so (degraded)"
    )
    cache_folder: Path = Field(
        Path("engines"), description="tensorrt: built engines are kept here, for the next start"
    )
    size_pixels: str = Field(
        "auto",
        pattern=r"^(auto|native|[1-9]\d{2,3}x[1-9]\d{2,3})$",
        description="WIDTHxHEIGHT that frames are scaled to, at the price of small faces; auto: the "
        "detector's own size, or that of the frame, at most 1920 pixels long; native: the same, at least 960",
    )
    score_begin: Score | None = Field(
        None, description="score that begins a region; default: the detector's own"
    )
    score_continue: Score | None = Field(
        None, description="score that continues a region; default: the detector's own"
    )
    tiles: Grid = Field(
        "auto",
        description="COLUMNSxROWS: also look at each tile, for small faces (slower); auto: where a face of "
        "20 pixels would otherwise shrink to less than 14, unless size_pixels is WIDTHxHEIGHT; 1x1: never",
    )
    tile_overlap: float = Field(0.2, ge=0, le=0.5, description="share of a tile that its neighbour has too")
    timeout_seconds: float = Field(10, gt=0, le=600, description="longest time for one run of the detector")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of a look; 0: all cores, which two looks at a time may share",
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, or None for ``auto`` and ``native``."""
        if self.size_pixels in ("auto", "native"):
            return None
        width, height = self.size_pixels.split("x")
        return int(width), int(height)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Columns and rows of tiles, or None for ``auto``."""
        if self.tiles == "auto":
            return None
        columns, rows = self.tiles.split("x")
        return int(columns), int(rows)

    @model_validator(mode="after")
    def _ordered(self) -> DetectorConfig:
        if self.score_begin and self.score_continue and self.score_continue > self.score_begin:
            raise ValueError("score_continue must not be higher than score_begin")
        return self


class BlurConfig(Section):
    """What covers a face, how large it is, and how long it stays."""

    fill: Literal["infill", "solid", "gaussian", "mosaic"] = Field(
        "infill",
        description="infill and solid hide the face; gaussian and mosaic need privacy.allow_reidentifiable",
    )
    region: Literal["head", "top"] = Field(
        "head", description="head: box and margins; top: upper part, needs privacy.allow_reidentifiable"
    )
    top_fraction: float = Field(0.6, gt=0, le=1, description="region = top: share of the box's height")
    margin_sides: Share = Field(0.2, description="share of the box's width added left and right")
    margin_top: Share = Field(0.4, description="share of the box's height added above")
    margin_bottom: Share = Field(0.2, description="share of the box's height added below")
    solid_rgb: tuple[int, int, int] = Field((128, 128, 128), description="fill = solid: its colour")
    gaussian_sigma: float = Field(
        0.5, gt=0, le=2, description="fill = gaussian: sigma as a share of the region's width"
    )
    mosaic_cells: int = Field(4, ge=1, le=16, description="fill = mosaic: cells along each side")
    hold_before_frames: int = Field(
        10, ge=0, le=250, description="a new region also covers so many frames before it"
    )
    hold_after_seconds: float = Field(
        1.0, ge=0, le=60, description="a region stays so long after its last detection"
    )

    @field_validator("solid_rgb")
    @classmethod
    def _bytes(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(0 <= part <= 255 for part in value):
            raise ValueError("three numbers from 0 to 255")
        return value

    @property
    def reidentifiable(self) -> bool:
        """Whether people can be recognised in spite of this blur (README.md, "How a face stays covered")."""
        return self.fill in REIDENTIFIABLE_FILLS or self.region == "top"


class StoreConfig(Section):
    """Where anonymized images go."""

    folder: Path = Field(Path("images"), description="images go to FOLDER/CAMERA/YYYY-MM-DD/")
    format: Literal["jpeg", "png", "webp"] = Field("jpeg", description="file format")
    quality: int = Field(90, ge=1, le=100, description="jpeg and webp: 1..100")
    interval_seconds: float = Field(
        0, ge=0, le=86400, description="time between two images of a camera; 0: every frame"
    )
    min_free_megabytes: float = Field(
        200,
        ge=1,
        le=1e9,
        description="stays free on the disk: the oldest images are removed, or none is stored",
    )
    quota_megabytes: float | None = Field(
        None, ge=1, le=1e9, description="all images together; the oldest are removed; without it no limit"
    )
    max_age_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="older images are removed while the box's clock can be relied on; without it no limit",
    )
    clock_confirmed: datetime | None = Field(
        None,
        description="when a person found the box's clock right, such as 2026-07-14T12:00:00Z; only needed "
        "where the status says so",
    )
    recipient: str | None = Field(
        None,
        description="age public key (age1...): images are stored encrypted, as NAME.age; only the holder of "
        "the private key can read them",
    )

    @field_validator("clock_confirmed")
    @classmethod
    def _in_a_time_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(
                "its time zone is missing: end it with Z for UTC, or with an offset such as +02:00"
            )
        return value

    @field_validator("recipient")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is not None and PRIVATE_KEY.search(value):
            raise ValueError(PRIVATE_KEY_REFUSED)
        if value is not None and not PUBLIC_KEY.fullmatch(value):
            raise ValueError("not an age public key: age1 and 58 more small letters and digits")
        return value


class AuditConfig(Section):
    """The log of what was stored, dropped and removed, below store.folder (docs/privacy.md)."""

    boxes: bool = Field(
        False, description="also write down where people were: the rectangles that were covered"
    )
    rotate_megabytes: float = Field(4, ge=0.001, le=1000, description="a new log file is begun at this size")
    keep_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="older log files are removed once all of their images are, while the clock can be relied "
        "on; without it none",
    )


class StatusConfig(Section):
    """The status endpoint."""

    enabled: bool = Field(True, description="serve /healthz, /readyz, /status, /metrics and a page")
    host: str = Field("127.0.0.1", description="address to listen on; anything but loopback needs token_file")
    port: int = Field(8377, ge=0, le=65535, description="TCP port; 0: any free one")
    socket: Path | None = Field(None, description="listen on this unix socket instead")
    token_file: Path | None = Field(
        None, description="file with the bearer token that every request must carry"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further names and addresses by which the endpoint may be called"
    )
    preview: bool = Field(
        False, description="serve the last anonymized image of each camera, read back from the store"
    )

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if value != "localhost":
            try:
                ip_address(value)
            except ValueError:
                raise ValueError("not an address; use localhost or an IPv4 or IPv6 address") from None
        return value

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the endpoint."""
        return self.socket is not None or self.host == "localhost" or ip_address(self.host).is_loopback

    @model_validator(mode="after")
    def _guarded(self) -> StatusConfig:
        if self.enabled and not self.loopback and self.token_file is None:
            raise ValueError(
                f"status.host = {self.host!r} is reachable from other machines: set status.token_file, "
                "or use 127.0.0.1 or status.socket"
            )
        return self


class MqttConfig(Section):
    """Optional: state and counters to an MQTT broker (extra ``mqtt``). Never pixels."""

    host: str | None = Field(None, min_length=1, description="the broker; without it nothing is sent")
    port: int = Field(1883, ge=1, le=65535, description="TCP port; 8883 is usual with tls")
    tls: bool = Field(False, description="encrypt, and check the broker's certificate")
    ca_file: Path | None = Field(None, description="tls: certificate authority, where the system lacks it")
    username: str | None = Field(None, description="user name at the broker")
    password_file: Path | None = Field(None, description="file with the password")
    topic: str = Field(
        "edge-anonymizer",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="topics begin with TOPIC/BOX/",
    )
    box: str = Field("", pattern=r"^[A-Za-z0-9_-]*$", description="name of this box; empty: its host name")
    discovery_prefix: str = Field(
        "homeassistant",
        pattern=r"^[A-Za-z0-9_/-]*$",
        description="Home Assistant discovery below this topic; empty: none",
    )
    interval_seconds: float = Field(30, ge=1, le=3600, description="time between two reports")

    @model_validator(mode="after")
    def _complete(self) -> MqttConfig:
        if self.password_file is not None and self.username is None:
            raise ValueError("mqtt.password_file needs mqtt.username")
        if self.ca_file is not None and not self.tls:
            raise ValueError("mqtt.ca_file needs mqtt.tls = true")
        return self


class LoadConfig(Section):
    """What to do when the box is too slow or too hot (docs/operations.md)."""

    slowest_interval_seconds: float = Field(
        1,
        gt=0,
        le=3600,
        description="when a camera is looked at less often than this (or than store.interval_seconds, if "
        "that is longer), step down",
    )
    hot_celsius: float = Field(85, ge=30, le=120, description="step down from this temperature on")
    step_down_seconds: float = Field(5, ge=0, le=600, description="how long before stepping down")
    step_up_seconds: float = Field(
        30, ge=1, le=3600, description="how long all must be well before stepping up"
    )


class PrivacyConfig(Section):
    """What the promise rests on."""

    allow_reidentifiable: bool = Field(
        False, description="accept fills and regions by which people can be recognised"
    )
    on_failure: Literal["drop", "cover"] = Field(
        "drop", description="a frame that could not be looked at: drop it, or cover all of it"
    )
    max_frame_age_seconds: float = Field(
        2, gt=0, le=60, description="an older frame of a live camera is dropped"
    )
    canary_interval_seconds: float = Field(
        5,
        gt=0,
        le=86400,
        description="how often the detector must find the known face; when it does not, the images stored "
        "since the last time are removed",
    )
    verify: Literal["always", "covered", "sampled", "off"] = Field(
        "always",
        description="look for faces on anonymized images before they are stored; covered: on those on which "
        "anything was covered, since any other is what the detector has just looked at",
    )
    verify_every_images: int = Field(
        10, ge=1, le=10000, description="verify = sampled: each so many images of a camera"
    )
    check_visibility: bool = Field(
        True, description="a frame too dark, blurred or covered to tell counts as one not looked at"
    )


class Config(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="EDGE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may be a secret in the wrong place; _explain shows what may be seen
    )

    cameras: dict[str, CameraConfig] = Field(default_factory=dict)
    detector: DetectorConfig = DetectorConfig()
    blur: BlurConfig = BlurConfig()
    store: StoreConfig = StoreConfig()
    audit: AuditConfig = AuditConfig()
    status: StatusConfig = StatusConfig()
    mqtt: MqttConfig = MqttConfig()
    load: LoadConfig = LoadConfig()
    privacy: PrivacyConfig = PrivacyConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @field_validator("cameras")
    @classmethod
    def _names(cls, value: dict[str, CameraConfig]) -> dict[str, CameraConfig]:
        for name in value:
            if not CAMERA_NAME.fullmatch(name):
                raise ValueError(
                    f"camera name {key_label(name)!r}: use 1 to 32 small letters, digits, - and _, "
                    "beginning with a letter or digit"
                )
        return value

    @model_validator(mode="after")
    def _privacy(self) -> Config:
        if self.blur.reidentifiable and not self.privacy.allow_reidentifiable:
            what = (
                f"blur.fill = {self.blur.fill!r}"
                if self.blur.fill in REIDENTIFIABLE_FILLS
                else "blur.region = 'top'"
            )
            raise ValueError(
                f"{what} leaves people recognisable; use fill = 'infill' or 'solid' with "
                "region = 'head', or set privacy.allow_reidentifiable = true"
            )
        return self

    @model_validator(mode="after")
    def _write_only(self) -> Config:
        if self.store.recipient is not None and self.status.preview:
            raise ValueError(
                "status.preview = true cannot go with store.recipient: the box cannot read its own images; "
                "switch one of the two off"
            )
        return self


def load(path: Path) -> Config:
    """Read a configuration file and the environment.

    Raises ConfigError that names the file, the key and the way out.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; write one with: edge config --init") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8") from error
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigError(f"{path}: not valid TOML: {_without_keys(str(error))}") from error
    config = build(table, str(path))
    if not config.cameras:
        raise ConfigError(f'{path}: no camera; add a section [cameras.NAME] with source = "..."')
    return config


def build(table: Mapping[str, Any], origin: str) -> Config:
    """Make a configuration of a table, as TOML gives it, and the environment.

    ``origin`` is what errors name. Raises ConfigError.
    """
    _refuse_unknown_environment(os.environ)
    for key in table:
        # Keys such as _env_file would be options of pydantic-settings' constructor.
        if key not in Config.model_fields:
            known = list(Config.model_fields)
            raise ConfigError(f"{origin}: unknown key {key_label(key)!r}{_nearest(key, known)}")
    try:
        return Config(**table)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(origin, item) for item in error.errors())) from error
    except ValueError as error:  # pydantic-settings raises SettingsError on unreadable variables
        raise ConfigError(f"{origin}: {error}") from error
    except TypeError as error:  # a table key that is no keyword
        raise ConfigError(f"{origin}: {error}") from error


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    for variable in environment:
        if not variable.upper().startswith("EDGE_"):
            continue
        section = variable[len("EDGE_") :].split("__")[0].lower()
        if section not in Config.model_fields:
            raise ConfigError(
                f"environment variable {key_label(variable)}: no section {key_label(section)!r}"
                f"{_nearest(section, list(Config.model_fields))}; unset it or correct its name"
            )


def _explain(origin: str, item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    key = ".".join(map(key_label, location))
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        return f"{origin}: unknown key {key!r}{_nearest(location[-1], known)}"
    message = PRIVATE_KEY.sub("(private key)", str(item["msg"]).removeprefix("Value error, "))
    if item["type"] == "missing":
        return f"{origin}: key {key!r} is missing"
    if not key:
        return f"{origin}: {message}"
    if key == "store.recipient":  # may be the private key, or a piece of it
        return f"{origin}: key {key!r}: {message}"
    # The source of a camera may hold a password, and so may whatever stands in place of a camera.
    of_cameras = location[0] == "cameras"
    whole = isinstance(item["input"], Mapping) and item["type"] == "value_error"  # a section: message says it
    if whole or (of_cameras and (len(location) < 3 or location[2] == "source")):
        return f"{origin}: key {key!r}: {message}"
    got = PRIVATE_KEY.sub("(private key)", _shown(item["input"], words=not of_cameras))
    return f"{origin}: key {key!r}: {message} (got {got:.80})"


def _shown(value: Any, *, words: bool) -> str:
    """A value as an error may show it: a word or a path, unless not ``words``, a number, or numbers alone."""
    if isinstance(value, (str, Path)):
        text = label(str(value))
        return repr(text) if words and text == str(value) else text if words else "a string"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        parts = [_shown(part, words=False) for part in value]
        plain = not any(part.startswith("a ") for part in parts)
        return f"[{', '.join(parts)}]" if plain else "a list"
    try:
        return repr(value)
    except ValueError:  # Python writes out no number of thousands of digits
        return "a number of thousands of digits"


def _without_keys(text: str) -> str:
    """The text of an error in TOML, without the names that it quotes: a line may hold a password anywhere.

    >>> _without_keys("Expected '=' after a key in a key/value pair (at line 2, column 9)")
    "Expected '=' after a key in a key/value pair (at line 2, column 9)"
    >>> _without_keys("Cannot declare ('cameras', 'front') twice (at line 3, column 15)")
    'Cannot declare ... (at line 3, column 15)'
    """
    place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", text)
    said = text[: place.start()] if place else text
    if not re.fullmatch(r"(?:[\w ,./-]|'\W{1,2}'|\"\W{1,2}\")*", said):
        said = re.match(r"[A-Za-z ]*", said).group() + "... "  # type: ignore[union-attr]
    return said + (place.group() if place else "")


def _known_keys(parents: list[str]) -> list[str]:
    model: Any = Config
    for parent in parents:
        if model is None:  # the camera's own name
            model = CameraConfig
            continue
        annotation = model.model_fields[parent].annotation
        model = None if CameraConfig in get_args(annotation) else annotation
    return list(model.model_fields) if model is not None else []


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""
