"""Test splits for image classification: lists of paths and labels, folders of classes, and torchvision's layouts.

In a suite's folder, a data set has one of these forms, tried in this order:

    NAME.jsonl, NAME.parquet ...   rows with an image and a label, like the hub's
    FOLDER/test.txt                lines `path label`, as VTAB-1k is exported (RepAdapter @ a7b33b74, dataset.py)
    FOLDER/test.json               {image: class}, as VPT splits FGVC (KMnP/vpt @ 4410440e, src/data/datasets/json_dataset.py)
    FOLDER/test/CLASS/image        torchvision's ImageFolder: classes are numbered in the order of their names
    FOLDER/...                     files as torchvision's class for the data set unpacks them

torchvision's layouts are read without torchvision (0.28.0, datasets/{dtd,oxford_iiit_pet,flowers102,stanford_cars,clevr}.py).
Data sets that store pixels in archives (CIFAR-100: pickles; SVHN, PCAM) or have no test split (EuroSAT, Caltech-101, SUN397)
need another form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from evals import disk
from evals.boundary import foreign_code
from evals.data.media import image, read_below_folder, store_image
from evals.data.sources import Data, Split
from evals.errors import DataError
from evals.plain import count_of, either
from evals.types import Media, Sample
from evals.validation import cause

IMAGE_COLUMNS = ("image", "img", "webp", "jpg", "jpeg", "png")
LABEL_COLUMNS = ("label", "cls", "fine_label")
"""Accepted column names; the first that exists is used. `webp` and `cls` occur in WebDataset files."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes that torchvision's ImageFolder reads."""
MAX_FILE_BYTES, MAX_MATLAB_BYTES = 1 << 28, 1 << 24


class Source(Struct, frozen=True, kw_only=True):
    """Possible locations of the test split of a data set."""

    name: str
    """Name of the data set's file of rows, and of a folder that is searched."""
    classes: int
    folders: tuple[str, ...] = ()
    """Other names of the folder."""
    images: str = ""
    """Subfolder to which the paths in test.json are relative."""
    hub: str = ""
    """Repository id of its copy on the hub; empty: none."""
    layout: str = ""
    """Name in `LAYOUTS`; empty: none."""
    original_classes: int = 0
    """Number of classes on the hub, if consecutive ones are merged to get `classes`; 0: the same number."""


class LabelledImage(NamedTuple):
    """An image of the test split with its class."""

    id: str
    image: object
    """Path below the data's folder, or the value of a row's image column."""
    label: int
    class_name: str = ""
    """Name of the class, if known."""


def samples(data: Data, source: Source) -> Iterator[Sample]:
    """Yield a sample per image, with its class as the group; raises DataError, e.g. for a label out of range."""
    for labelled in _labelled_images(data, source):
        if not 0 <= labelled.label < source.classes:
            raise DataError(
                f"{data.suite}: {labelled.id}: label {labelled.label}, "
                f"but {source.name} has the classes 0 to {source.classes - 1}"
            )
        media = _stored_media(data, labelled.image)
        yield Sample(
            id=labelled.id,
            question=() if media is None else (media,),
            target=str(labelled.label),
            group=labelled.class_name or f"class {labelled.label}",
        )


def _stored_media(data: Data, value: object) -> Media | None:
    if data.media is None:
        return None
    if isinstance(value, Path):
        return store_image(data.media, read_below_folder(data, value.as_posix()), max_pixels=data.max_pixels)
    return image(data, value)


def _labelled_images(data: Data, source: Source) -> Iterator[LabelledImage]:
    split = Split(hub=source.hub, stems=(source.name,))
    if data.origin == "hub":
        if not source.hub:
            raise DataError(
                f"{data.suite}:{source.name}: the hub has no copy of this test split: pass a folder with "
                f"--data DIR (DIR/{source.name}/test.txt, or as torchvision unpacks it), or try --sample"
            )
        return _from_rows(data, split, source)
    if data.local is not None and data.local.suffix == ".txt" and data.local.is_file():
        return _from_list(data.local, Path())
    if data.has(split):
        return _from_rows(data, split, source)
    return _from_folder(data, source)


# --- rows ----------------------------------------------------------------------------------------------------


def _from_rows(data: Data, split: Split, source: Source) -> Iterator[LabelledImage]:
    for number, row in enumerate(data.rows(split)):
        image_value, label = _first_value(data, row, IMAGE_COLUMNS), _first_value(data, row, LABEL_COLUMNS)
        if isinstance(label, bool) or not isinstance(label, int):
            raise DataError(f"{data.suite}: row {number + 1}: the label {str(label)[:40]!r} is not a number")
        if source.original_classes and data.origin == "hub":
            label = label * source.classes // source.original_classes
        name = row.get("id") or row.get("__key__") or number
        yield LabelledImage(str(name), image_value, label, str(row.get("class") or ""))


def _first_value(data: Data, row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise DataError(f"{data.suite}: a row has no column {either(names[:2])}; it has {', '.join(sorted(row))}")


# --- folders -------------------------------------------------------------------------------------------------


def _from_folder(data: Data, source: Source) -> Iterator[LabelledImage]:
    root = data.folder()
    for name in (source.name, *source.folders):
        folder = root / name
        if (folder / "test.txt").is_file():
            return _from_list(folder / "test.txt", Path(name))
        if (folder / "test.json").is_file():
            return _from_json(folder / "test.json", Path(name, source.images), source)
        if (folder / "test").is_dir():
            return _from_class_folders(folder / "test", Path(name, "test"), source)
        layout = LAYOUTS.get(source.layout)
        if layout is not None and (folder / layout.marker).exists():
            return layout.read(folder, Path(name))
    names = either((source.name, *source.folders))
    raise DataError(
        f"{data.suite}: no test split of {source.name} in {root}: looked for {source.name}.jsonl, and in {names} for "
        "test.txt, test.json, test/CLASS/ and torchvision's layout"
    )


def _from_list(path: Path, base: Path) -> Iterator[LabelledImage]:
    """Yield the images of a list; a line's last word is the label, the rest is the path, which may contain spaces."""
    for number, line in _read_lines(path):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isascii() or not label.isdigit() or len(label) > 6:
            raise DataError(f"{path}, line {number}: {line[:80]!r} is not a path followed by a label")
        yield LabelledImage(name, base / name.strip(), int(label))


def _from_json(path: Path, base: Path, source: Source) -> Iterator[LabelledImage]:
    """Yield the images of VPT's file; classes are numbered in the order of their ids, as in VPT."""
    class_ids: dict[str, Any] = _read_json(path, dict[str, Any])
    id_types = {type(class_id) for class_id in class_ids.values()}
    if id_types not in ({int}, {str}):
        raise DataError(f"{path}: the classes are neither all numbers nor all names")
    ids = sorted(set(class_ids.values()))
    if len(ids) != source.classes:
        raise DataError(
            f"{path} has {count_of(len(ids), 'class', 'classes')}, but {source.name} has {source.classes}: classes are numbered in the order of "
            "their ids, so labels would be wrong"
        )
    numbers = {class_id: number for number, class_id in enumerate(ids)}
    for name, class_id in class_ids.items():
        yield LabelledImage(name, base / name, numbers[class_id])


def _from_class_folders(folder: Path, base: Path, source: Source) -> Iterator[LabelledImage]:
    """Yield the images of a folder with a subfolder for each class."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(names) != source.classes:
        raise DataError(
            f"{folder} has {count_of(len(names), 'class folder')}, but {source.name} has {source.classes} classes"
        )
    for label, name in enumerate(names):
        for path in sorted((folder / name).rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                relative_path = path.relative_to(folder)
                yield LabelledImage(relative_path.as_posix(), base / relative_path, label, name)


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers, except blank ones."""
    try:
        lines = disk.read_small(path, MAX_FILE_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _read_json(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(disk.read_small(path, MAX_FILE_BYTES), type=kind)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None


def _read_matlab(path: Path) -> Any:
    """Return the variables of a MATLAB file."""
    from scipy.io import loadmat

    try:
        raw = disk.read_small(path, MAX_MATLAB_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from None
    with foreign_code(lambda why: DataError(f"cannot read {path}: {why[:200]}")):
        return loadmat(BytesIO(raw), squeeze_me=True)


# --- torchvision's layouts -----------------------------------------------------------------------------------


def _dtd(folder: Path, base: Path) -> Iterator[LabelledImage]:
    """Yield the images of the first of DTD's ten partitions, which VTAB uses."""
    names = [line.strip() for _, line in _read_lines(folder / "dtd" / "labels" / "test1.txt")]
    classes = sorted({name.partition("/")[0] for name in names})
    for name in names:
        class_name = name.partition("/")[0]
        yield LabelledImage(name, base / "dtd" / "images" / name, classes.index(class_name), class_name)


def _pets(folder: Path, base: Path) -> Iterator[LabelledImage]:
    path = folder / "annotations" / "test.txt"
    for number, line in _read_lines(path):
        name, class_id = (*line.split(), "")[:2]
        if not class_id.isdigit():
            raise DataError(f"{path}, line {number}: {line[:80]!r} is not a name followed by a class")
        image_path = base / "images" / f"{name}.jpg"
        yield LabelledImage(name, image_path, int(class_id) - 1, name.rpartition("_")[0])


def _flowers(folder: Path, base: Path) -> Iterator[LabelledImage]:
    with foreign_code(lambda why: DataError(f"cannot read imagelabels.mat and setid.mat in {folder}: {why}")):
        labels = [int(label) - 1 for label in _read_matlab(folder / "imagelabels.mat")["labels"]]
        test_numbers = [int(number) for number in _read_matlab(folder / "setid.mat")["tstid"]]
        images = [(f"image_{number:05}.jpg", labels[number - 1]) for number in test_numbers]
    yield from (LabelledImage(name, base / "jpg" / name, label) for name, label in images)


def _cars(folder: Path, base: Path) -> Iterator[LabelledImage]:
    path = folder / "cars_test_annos_withlabels.mat"
    with foreign_code(lambda why: DataError(f"cannot read {path}: {why}")):
        rows = [(str(row["fname"]), int(row["class"]) - 1) for row in _read_matlab(path)["annotations"]]
    yield from (LabelledImage(name, base / "cars_test" / name, label) for name, label in rows)


class _Object(Struct):
    pixel_coords: tuple[float, float, float]


class _Scene(Struct):
    image_filename: str
    objects: list[_Object]


class _Scenes(Struct):
    scenes: list[_Scene]


DISTANCES = (8.0, 8.5, 9.0, 9.5, 10.0)
"""Boundaries between the six classes of distance to the closest object (VPT @ 4410440e, vtab_datasets/clevr.py)."""


def _clevr(folder: Path, base: Path, *, by_distance: bool) -> Iterator[LabelledImage]:
    """Yield CLEVR's validation images (VTAB's test split), labelled with the number of objects or the closest one's distance class."""
    path = folder / "CLEVR_v1.0" / "scenes" / "CLEVR_val_scenes.json"
    for scene in _read_json(path, _Scenes).scenes:
        if by_distance:
            closest = min((object_.pixel_coords[2] for object_ in scene.objects), default=0.0)
            label = sum(boundary < closest for boundary in DISTANCES)
        else:
            label = len(scene.objects) - 3
        image_path = base / "CLEVR_v1.0" / "images" / "val" / scene.image_filename
        yield LabelledImage(scene.image_filename, image_path, label)


class Layout(NamedTuple):
    """A file layout of torchvision."""

    marker: str
    """A file that only this layout has."""
    read: Callable[[Path, Path], Iterator[LabelledImage]]
    """(folder, its path relative to the data's folder) -> images."""


LAYOUTS = {
    "dtd": Layout("dtd/labels/test1.txt", _dtd),
    "pets": Layout("annotations/test.txt", _pets),
    "flowers": Layout("setid.mat", _flowers),
    "cars": Layout("cars_test_annos_withlabels.mat", _cars),
    "clevr-count": Layout("CLEVR_v1.0/scenes/CLEVR_val_scenes.json", partial(_clevr, by_distance=False)),
    "clevr-distance": Layout("CLEVR_v1.0/scenes/CLEVR_val_scenes.json", partial(_clevr, by_distance=True)),
}
