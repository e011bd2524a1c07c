"""Labels in JSON: a line per picture, or COCO's (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from convert.training.datasets.form import (
    DatasetError,
    LabelledObject,
    Labels,
    Picture,
    Split,
    corners,
    masked_by,
    place_of,
    read_bytes,
    split_of,
)

Record = TypeVar("Record", bound=BaseModel)


class _JsonObject(BaseModel):
    box: tuple[float, float, float, float]
    label: str = Field("face", min_length=1)
    masked: bool | None = None
    difficult: bool = False
    invalid: bool = False
    ignore: bool = False


class _JsonPicture(BaseModel):
    image: str = Field(min_length=1)
    width: int
    height: int
    split: Split | None = None
    source: str = ""
    faces: list[_JsonObject] | None = None
    objects: list[_JsonObject] | None = None


def _parse(model: type[Record], data: bytes, where: str) -> Record:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{where}: {f'{key}: ' if key else ''}{first['msg']}") from error


def read_jsonl(labels: Labels) -> None:
    """Read ``annotations.jsonl``: one picture a line."""
    for file in labels.files:
        for number, line in enumerate(read_bytes(file).splitlines(), 1):
            if line.strip():
                labels.pictures.append(_json_picture(file, f"{file}:{number}", line))
    labels.names |= {each.label for picture in labels.pictures for each in picture.objects}
    labels.sources += sorted({picture.source for picture in labels.pictures if picture.source})


def _json_picture(file: Path, where: str, line: bytes) -> Picture:
    record = _parse(_JsonPicture, line, where)
    if (record.faces is None) == (record.objects is None):
        raise DatasetError(
            f"{where}: expected faces or objects, one of both; an empty list where nothing is on it"
        )
    key = "faces" if record.objects is None else "objects"
    objects = []
    for number, each in enumerate(record.faces or record.objects or ()):
        if key == "objects" and "label" not in each.model_fields_set:
            raise DatasetError(f"{where}: objects.{number}.label: Field required")
        masked = masked_by(each.label) if each.masked is None else each.masked
        ignore = each.difficult or each.invalid or each.ignore
        at = f"{where}: {key}.{number}"
        objects.append(LabelledObject(corners(*each.box), ignore, masked, label=each.label, where=at))
    size = (record.width, record.height)
    return Picture(file.parent / record.image, tuple(objects), record.split, size, record.source)


class _CocoImage(BaseModel):
    id: int
    file_name: str = Field(min_length=1)
    width: int | None = None
    height: int | None = None


class _CocoAnnotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: bool = False


class _CocoCategory(BaseModel):
    id: int
    name: str


class _CocoFile(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]
    info: Any = None
    licenses: Any = None


def read_coco(labels: Labels) -> None:
    """Read COCO's files; each may have a split of its own, which its name or its folder says."""
    for file in labels.files:
        content = _parse(_CocoFile, read_bytes(file), str(file))
        objects = _coco_objects(file, content)
        labels.names |= {entry.name for entry in content.categories}
        labels.licences += _texts(content.licenses, "name", "url")
        labels.sources += _texts([content.info], "description", "url")
        # Behind the last underscore of instances_val2017.json COCO has the folder of its pictures.
        of_name = file.stem.rpartition("_")[2]
        folder = labels.folder
        bases = [folder / "images", folder, file.parent, folder / of_name, folder / "images" / of_name]
        split = split_of(file.stem, *(() if file.parent == folder else (file.parent.name,)))
        labels.pictures += [
            Picture(
                place_of(image.file_name, bases),
                tuple(objects[image.id]),
                split,
                (image.width, image.height) if image.width and image.height else None,
            )
            for image in content.images
        ]


def _coco_objects(file: Path, content: _CocoFile) -> dict[int, list[LabelledObject]]:
    """The objects of each picture, by its id."""
    names = {entry.id: entry.name for entry in content.categories}
    objects: dict[int, list[LabelledObject]] = {image.id: [] for image in content.images}
    if len(objects) < len(content.images):
        raise DatasetError(f"{file}: images: an id is there twice; give each picture its own")
    for number, entry in enumerate(content.annotations):
        where = f"{file}: annotations.{number}"
        if entry.image_id not in objects:
            raise DatasetError(f"{where}: image_id {entry.image_id} is not in images; add it there")
        if entry.category_id not in names:
            raise DatasetError(f"{where}: category_id {entry.category_id} is not in categories; add it there")
        name = names[entry.category_id]
        labelled = LabelledObject(
            corners(*entry.bbox), entry.iscrowd, masked_by(name), label=name, where=f"{where}: bbox"
        )
        objects[entry.image_id].append(labelled)
    return objects


def _texts(entries: Any, *keys: str) -> list[str]:
    """What the free-form entries of a COCO file say under ``keys``, an entry a line."""
    lines = [
        ", ".join(str(entry[key]).strip() for key in keys if entry.get(key))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    return [line for line in lines if line]
