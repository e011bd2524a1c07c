"""Labels in JSON: a line per picture, or COCO's (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError

from convert.training.datasets.form import (
    DatasetError,
    LabelledObject,
    Picture,
    Split,
    box_of,
    face_classes,
    note_of_others,
    place_of,
    read_bytes,
    split_of,
)

Number = Annotated[float, Field(allow_inf_nan=False)]
Record = TypeVar("Record", bound=BaseModel)


class _JsonFace(BaseModel):
    box: tuple[Number, Number, Number, Number]
    masked: bool | None = None
    difficult: bool = False
    invalid: bool = False


class _JsonPicture(BaseModel):
    image: str = Field(min_length=1)
    width: int
    height: int
    split: Split | None = None
    faces: list[_JsonFace]


def _parse(model: type[Record], data: bytes, where: str) -> Record:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{where}: {f'{key}: ' if key else ''}{first['msg']}") from error


def read_jsonl(file: Path) -> list[Picture]:
    pictures = []
    for number, line in enumerate(read_bytes(file).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        record = _parse(_JsonPicture, line, where)
        faces = tuple(
            LabelledObject(
                box_of(*face.box, f"{where}: faces.{n}"), face.difficult or face.invalid, face.masked
            )
            for n, face in enumerate(record.faces)
        )
        size = (record.width, record.height)
        pictures.append(Picture(file.parent / record.image, faces, record.split, size))
    return pictures


class _CocoImage(BaseModel):
    id: int
    file_name: str = Field(min_length=1)
    width: int | None = None
    height: int | None = None


class _CocoAnnotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[Number, Number, Number, Number]
    iscrowd: bool = False


class _CocoCategory(BaseModel):
    id: int
    name: str


class _CocoFile(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def read_coco(file: Path, folder: Path, category: str | None, notes: list[str]) -> list[Picture]:
    content = _parse(_CocoFile, read_bytes(file), str(file))
    names = {entry.id: entry.name for entry in content.categories}
    classes = face_classes(names.values(), category, str(file))
    faces: dict[int, list[LabelledObject]] = {image.id: [] for image in content.images}
    if len(faces) < len(content.images):
        raise DatasetError(f"{file}: images: an id is there twice; give each picture its own")
    others: Counter[str] = Counter()
    for number, entry in enumerate(content.annotations):
        where = f"{file}: annotations.{number}"
        if entry.image_id not in faces:
            raise DatasetError(f"{where}: image_id {entry.image_id} is not in images; add it there")
        if entry.category_id not in names:
            raise DatasetError(f"{where}: category_id {entry.category_id} is not in categories; add it there")
        name = names[entry.category_id]
        if name in classes:
            face = LabelledObject(box_of(*entry.bbox, f"{where}: bbox"), entry.iscrowd, classes[name])
            faces[entry.image_id].append(face)
        else:
            others[name] += 1
    notes += note_of_others(file, others)
    # Behind the last underscore of instances_val2017.json COCO has the folder of its pictures.
    of_name = file.stem.rpartition("_")[2]
    bases = [folder / "images", folder, file.parent, folder / of_name, folder / "images" / of_name]
    return [
        Picture(
            place_of(image.file_name, bases),
            tuple(faces[image.id]),
            split_of(file),
            (image.width, image.height) if image.width and image.height else None,
        )
        for image in content.images
    ]
