"""Faces are searched for on stored images, also on encrypted ones if the key is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge.audit import AuditResult, Options
from edge.audit.report import figure_rows, warnings_of
from edge.config import make_config
from edge.daemon.recorded_settings import settings_of
from edge.detection.detector import Detector
from edge.detection.views import Search
from edge.errors import DetectionError, DetectorError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.store import log_format
from edge.store.images import ImageStore
from edge.store.stretch import captured_at
from tests.audit.boxes import (
    COUNTS,
    Record,
    audit,
    entry,
    images,
    notes,
    rechain,
    relative,
    run_box,
    wrongs,
)
from tests.conftest import DATA


def plant(store: Path, picture: Path) -> str:
    """Replace an image by another picture, with a correct record and correct hashes."""
    import hashlib

    data = picture.read_bytes()
    image = images(store)[0]
    image.write_bytes(data)
    name = relative(store, image)

    def edit(records: list[Record]) -> None:
        record = next(record for record in records if record.get("image") == name)
        record.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    rechain(store, edit)
    return name


@pytest.mark.usefixtures("shared_detector")
def test_a_raw_face_with_a_correct_record_is_found(little: Path) -> None:
    result = audit(little, Options())
    assert wrongs(result) == {}
    assert (result.rescanned, result.detector) == (4, shipped_sha256(result))
    name = plant(little, DATA / "astronaut.jpg")
    result = audit(little, Options())
    found = wrongs(result)
    assert list(found) == ["faces"]
    assert found["faces"][0].startswith(f"{name}: a face (score ")
    moment = captured_at(Path(name).name)
    assert f"edge purge --config edge.toml --from {moment:%Y-%m-%dT%H:%M:%S}" in warnings_of(result)[-1]
    assert audit(little)  # not found without a rescan


def shipped_sha256(result: AuditResult) -> str:
    from edge.detection.session import read_detector

    return read_detector(None).sha256


@pytest.mark.usefixtures("shared_detector")
def test_an_image_that_cannot_be_decoded_is_wrong(little: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes((DATA / "hopper.jpg").read_bytes()[:-3000])
    name = plant(little, tmp_path / "broken.jpg")
    found = wrongs(audit(little, Options()))
    assert list(found) == ["decoding"]
    assert found["decoding"][0].startswith(f"{name}: broken or truncated")


@pytest.mark.usefixtures("shared_detector")
def test_a_picture_of_another_kind_is_wrong(little: Path, tmp_path: Path) -> None:
    Image.new("LA", (64, 48)).save(tmp_path / "clear.png")
    plant(little, tmp_path / "clear.png")
    assert "alpha" in wrongs(audit(little, Options()))["decoding"][0]


@pytest.mark.usefixtures("shared_detector")
def test_a_weak_hit_is_a_note(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.36, 0.34, 0.49, 0.5])

    def best_score(detector: Detector, pixels: Pixels, search: Search) -> float:
        detector.score_last_look = 0.35
        return next(scores)

    monkeypatch.setattr("edge.audit.check_image.best_score", best_score)
    result = audit(little, Options())
    assert len(wrongs(result)["faces"]) == 1
    assert [text.split(": ")[1] for text in notes(result, "faces")] == [
        "perhaps a face; check by eye (score 0.36)", "perhaps a face; check by eye (score 0.49)",
    ]  # fmt: skip


@pytest.mark.usefixtures("shared_detector")
def test_an_image_on_which_the_detector_fails_is_wrong(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(detector: Detector, pixels: Pixels, search: Search) -> float:
        raise DetectionError(Reason.OVERFLOW, "all candidates are above the threshold")

    monkeypatch.setattr("edge.audit.check_image.best_score", fail)
    result = audit(little, Options(sample=1))
    assert result.rescanned == 0
    assert "could not be searched: all candidates" in wrongs(result)["faces"][0]


@pytest.mark.usefixtures("shared_detector")
def test_a_sample_is_drawn_with_the_last_hash(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixel_sums: list[int] = []

    def record_pixels(detector: Detector, pixels: Pixels, search: Search) -> float:
        pixel_sums.append(int(pixels.sum()))
        return 0.0

    monkeypatch.setattr("edge.audit.check_image.best_score", record_pixels)
    first, second = audit(little, Options(sample=2)), audit(little, Options(sample=2))
    assert first.rescanned == second.rescanned == 2
    assert pixel_sums[:2] == pixel_sums[2:]
    assert first.images == 4  # every hash is checked all the same
    assert f"2 of 4 images are searched, drawn at random with seed {first.head}" in notes(first, "faces")[0]
    assert audit(little, Options(sample=9)).rescanned == 4
    assert notes(audit(little), "faces") == [": no image is searched for faces (--sample 0)"]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Search]:
    """What is looked for in each image, instead of looking."""
    searched: list[Search] = []

    def note(detector: Detector, pixels: Pixels, search: Search) -> float:
        searched.append(search)
        return 0.0

    monkeypatch.setattr("edge.audit.check_image.best_score", note)
    return searched


@pytest.mark.usefixtures("shared_detector")
def test_images_are_searched_for_what_the_box_looked_for(tmp_path: Path, searches: list[Search]) -> None:
    """Per camera and per start; a folder is searched whole, also by the box."""
    cameras = {
        "front": {"source": "rtsp://10.0.0.9/", "smallest_face_pixels": 40, "any_orientation": True},
        "yard": {"source": str(tmp_path)},
    }
    run_box(tmp_path / "store", [1], cameras=cameras, privacy={"smallest_face_pixels": 12})
    run_box(tmp_path / "store", [11], privacy={"sweep_seconds": 0})
    result = audit(tmp_path / "store", Options(jobs=1))
    assert wrongs(result) == {}
    assert searches == [Search(40, True, True), Search(12), Search(), Search()]
    assert dict(figure_rows(result))["by smallest face"] == ("40 px in any orientation 1, 12 px 1, 20 px 2")


@pytest.mark.usefixtures("shared_detector")
@pytest.mark.parametrize(
    ("section", "table", "told"),
    [
        ("privacy", {"smallest_face_pixels": 100_000}, "smallest_face_pixels: Input should be less than"),
        ("privacy", {"any_orientation": "sideways"}, "any_orientation: "),
        ("cameras", {"front": {"smallest_face_pixels": [20]}}, "smallest_face_pixels: "),
        ("privacy", ["smallest_face_pixels"], ""),
        ("cameras", 7, ""),
    ],
)
def test_settings_that_no_box_can_have_are_wrong_and_not_followed(
    little: Path, searches: list[Search], section: str, table: Any, told: str
) -> None:
    """Whoever forges the log cannot have the audit look at nothing. Without settings, defaults hold."""

    def forge(records: list[Record]) -> None:
        for record in records:
            if "settings" in record:
                record["settings"][section] = table
                record["config"] = log_format.fingerprint(record["settings"])
            elif record["event"] == "image":
                record["config"] = records[0]["config"]

    rechain(little, forge)
    found = wrongs(audit(little, Options()))
    assert [told in text for text in found.get("settings", [])] == [True] * bool(told)
    assert {search.smallest_face for search in searches} == {20}


def test_a_detector_that_cannot_be_read_is_refused(little: Path, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"nothing\.onnx"):
        audit(little, Options(detector=tmp_path / "nothing.onnx"))


@pytest.fixture
def encrypted(tmp_path: Path) -> tuple[Path, Any]:
    """A store that the box cannot read, and the private key."""
    pytest.importorskip("pyrage", reason="pyrage is not installed (extra encrypt)")
    from edge.store.encryption import identities_of, new_identity

    text, public = new_identity()
    config = make_config({"store": {"folder": tmp_path / "store", "recipient": public}}, "test")
    box = ImageStore(config.store, settings=settings_of(config), detector="ab" * 32)
    assert all(isinstance(path, Path) for path in box.write([entry(1), entry(2)]))
    box.record("stop", COUNTS)
    box.close()
    assert len(list((tmp_path / "store").rglob("*.age"))) == 2
    return tmp_path / "store", identities_of(text, "test")


@pytest.mark.usefixtures("shared_detector")
def test_encrypted_images_are_only_searched_with_the_private_key(encrypted: tuple[Path, Any]) -> None:
    store, identities = encrypted
    without = audit(store, Options())
    assert wrongs(without) == {}
    assert (without.images, without.rescanned) == (2, 0)
    assert notes(without, "faces") == [
        ": 2 encrypted images are not searched; give their key with --identity"
    ]
    result = audit(store, Options(identities=identities))
    assert wrongs(result) == {}
    assert (result.images, result.rescanned) == (2, 2)
    assert notes(result, "faces") == []


@pytest.mark.usefixtures("shared_detector")
def test_images_for_another_private_key_are_wrong(encrypted: tuple[Path, Any]) -> None:
    from edge.store.encryption import identities_of, new_identity

    store, _ = encrypted
    other = identities_of(new_identity()[0], "test")
    found = wrongs(audit(store, Options(identities=other)))
    assert len(found["decoding"]) == 2
    assert "no identity can open it" in found["decoding"][0]


def test_an_altered_encrypted_image_is_found_without_the_key(encrypted: tuple[Path, Any]) -> None:
    store, _ = encrypted
    path = next(store.rglob("*.age"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert list(wrongs(audit(store))) == ["altered"]
