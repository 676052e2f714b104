"""Test images of data sets in torchvision's file layouts, read without torchvision.

Source: torchvision 0.28.0, torchvision/datasets/{dtd,oxford_iiit_pet,flowers102,stanford_cars,clevr}.py. Data sets that
store pixels in archives (CIFAR-100: pickles; SVHN, PCAM) or have no test split (EuroSAT, Caltech-101, SUN397) need another
form, see `labelled_images.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals import disk
from evals.boundary import foreign_code
from evals.errors import DataError
from evals.validation import cause

MAX_FILE_BYTES = 1 << 28
MAX_MATLAB_BYTES = 1 << 24
ImageFields = tuple[str, Path, int, str]
"""(id, path below the data's folder, label, class name or empty), the fields of a `LabelledImage`."""


class Layout(Struct, frozen=True):
    """The file layout of a data set."""

    marker: str
    """A file that only this layout has."""
    read: Callable[[Path, Path], Iterator[ImageFields]]
    """(folder, its path relative to the data's folder) -> images."""


def _read_lines(path: Path) -> list[str]:
    try:
        return [line for line in disk.read_small(path, MAX_FILE_BYTES).decode().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None


def _read_matlab(path: Path) -> Any:
    """Return the variables of a MATLAB file."""
    from io import BytesIO

    from scipy.io import loadmat

    try:
        raw = disk.read_small(path, MAX_MATLAB_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None
    with foreign_code(lambda why: DataError(f"cannot read {path}: {why[:200]}")):
        return loadmat(BytesIO(raw), squeeze_me=True)


def _dtd(folder: Path, base: Path) -> Iterator[ImageFields]:
    """Yield the images of the first of DTD's ten partitions, which VTAB uses."""
    names = [line.strip() for line in _read_lines(folder / "dtd" / "labels" / "test1.txt")]
    classes = sorted({name.partition("/")[0] for name in names})
    for name in names:
        class_name = name.partition("/")[0]
        yield name, base / "dtd" / "images" / name, classes.index(class_name), class_name


def _pets(folder: Path, base: Path) -> Iterator[ImageFields]:
    path = folder / "annotations" / "test.txt"
    for number, line in enumerate(_read_lines(path), 1):
        name, class_id = (*line.split(), "")[:2]
        if not class_id.isdigit():
            raise DataError(f"{path}, line {number}: {line[:80]!r} is not a name followed by a class")
        yield name, base / "images" / f"{name}.jpg", int(class_id) - 1, name.rpartition("_")[0]


def _flowers(folder: Path, base: Path) -> Iterator[ImageFields]:
    with foreign_code(lambda why: DataError(f"cannot read imagelabels.mat and setid.mat in {folder}: {why}")):
        labels = [int(label) - 1 for label in _read_matlab(folder / "imagelabels.mat")["labels"]]
        test_numbers = [int(number) for number in _read_matlab(folder / "setid.mat")["tstid"]]
        images = [(f"image_{number:05}.jpg", labels[number - 1]) for number in test_numbers]
    yield from ((name, base / "jpg" / name, label, "") for name, label in images)


def _cars(folder: Path, base: Path) -> Iterator[ImageFields]:
    path = folder / "cars_test_annos_withlabels.mat"
    with foreign_code(lambda why: DataError(f"cannot read {path}: {why}")):
        rows = [(str(row["fname"]), int(row["class"]) - 1) for row in _read_matlab(path)["annotations"]]
    yield from ((name, base / "cars_test" / name, label, "") for name, label in rows)


class _Object(Struct):
    pixel_coords: tuple[float, float, float]


class _Scene(Struct):
    image_filename: str
    objects: list[_Object]


class _Scenes(Struct):
    scenes: list[_Scene]


DISTANCES = (8.0, 8.5, 9.0, 9.5, 10.0)
"""Boundaries between the six classes of distance to the closest object (VPT @ 4410440e, vtab_datasets/clevr.py)."""


def _clevr(folder: Path, base: Path, *, by_distance: bool) -> Iterator[ImageFields]:
    """Yield CLEVR's validation images (VTAB's test split), labelled with the number of objects or the closest one's distance class."""
    path = folder / "CLEVR_v1.0" / "scenes" / "CLEVR_val_scenes.json"
    try:
        scenes = msgspec.json.decode(disk.read_small(path, MAX_FILE_BYTES), type=_Scenes).scenes
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None
    for scene in scenes:
        if by_distance:
            closest = min((object_.pixel_coords[2] for object_ in scene.objects), default=0.0)
            label = sum(boundary < closest for boundary in DISTANCES)
        else:
            label = len(scene.objects) - 3
        image_path = base / "CLEVR_v1.0" / "images" / "val" / scene.image_filename
        yield scene.image_filename, image_path, label, ""


LAYOUTS = {
    "dtd": Layout("dtd/labels/test1.txt", _dtd),
    "pets": Layout("annotations/test.txt", _pets),
    "flowers": Layout("setid.mat", _flowers),
    "cars": Layout("cars_test_annos_withlabels.mat", _cars),
    "clevr-count": Layout("CLEVR_v1.0/scenes/CLEVR_val_scenes.json", partial(_clevr, by_distance=False)),
    "clevr-distance": Layout("CLEVR_v1.0/scenes/CLEVR_val_scenes.json", partial(_clevr, by_distance=True)),
}
