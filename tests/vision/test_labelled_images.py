"""Test splits in the layouts that users have: VTAB-1k's lists, VPT's JSON, class folders, torchvision's layouts, and rows."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from evals.data import Data
from evals.data.labelled_images import Source, samples
from evals.errors import DataError
from evals.suites import fgvc, vtab
from evals.types import Sample
from tests.support.error_messages import raises

SOURCE = Source(name="pets3", classes=3, folders=("pets",), images="images")


def source(suite: ModuleType, name: str) -> Source:
    return next(source for source in suite.SOURCES if source.name == name)


def write_picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    return path


def read_samples(
    folder: Path, source: Source = SOURCE, *, suite: str = "vtab", media: Path | None = None
) -> list[Sample]:
    return list(samples(Data(suite=suite, local=folder, media=media), source))


def summaries(samples: list[Sample]) -> list[tuple[str, str, str]]:
    """Return id, target and group of each sample."""
    return [(sample.id, str(sample.target), sample.group) for sample in samples]


def test_a_list_of_vtab_is_read_from_its_folder_or_its_file(tmp_path: Path) -> None:
    for name in ("a b.png", "c.png"):
        write_picture(tmp_path / "pets" / "images" / name)
    (tmp_path / "pets" / "test.txt").write_text("images/a b.png 2\n\nimages/c.png 0\n")
    samples_read = read_samples(tmp_path, media=tmp_path / "media")
    assert summaries(samples_read) == [("images/a b.png", "2", "class 2"), ("images/c.png", "0", "class 0")]
    assert [part.width for sample in samples_read for part in sample.question] == [8, 8]  # type: ignore[union-attr]
    assert summaries(read_samples(tmp_path / "pets" / "test.txt")) == summaries(samples_read)


@pytest.mark.parametrize(
    "line",
    ["images/a.png", "images/a.png two", "images/a.png ²", "images/a.png -1", " 3"],
    ids=["no label", "word", "superscript", "negative", "no path"],
)
def test_an_invalid_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "test.txt").write_text(f"images/b.png 1\n{line}\n")
    with raises(DataError):
        read_samples(tmp_path)


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "test.txt").write_text("a.png 3\n")
    with raises(DataError):
        read_samples(tmp_path)


def test_a_path_outside_the_data_folder_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "private.png")
    (tmp_path / "data" / "pets").mkdir(parents=True)
    (tmp_path / "data" / "pets" / "test.txt").write_text("../../private.png 1\n")
    with raises(DataError):
        read_samples(tmp_path / "data", media=tmp_path / "media")


def test_a_file_of_vpt_is_read_with_classes_numbered_in_ascending_order(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    path = tmp_path / "pets" / "test.json"
    path.write_text(json.dumps({"x/1.jpg": 901, "x/2.jpg": 17, "x/3.jpg": 295}))
    assert [target for _, target, _ in summaries(read_samples(tmp_path))] == ["2", "0", "1"]
    path.write_text(json.dumps({"x/1.jpg": 901, "x/2.jpg": 17}))
    with raises(DataError):
        read_samples(tmp_path)
    path.write_text(json.dumps({"x/1.jpg": 901, "x/2.jpg": "17", "x/3.jpg": 295}))
    with raises(DataError):
        read_samples(tmp_path)


def test_class_folders_are_read_with_classes_numbered_by_name(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.PNG", "ant/1.png", "dog/deep/1.jpg", "dog/readme.txt", ".hidden/1.png"):
        path = tmp_path / "pets" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert summaries(read_samples(tmp_path)) == [
        ("ant/1.png", "0", "ant"), ("cat/1.png", "1", "cat"), ("cat/2.PNG", "1", "cat"), ("dog/deep/1.jpg", "2", "dog"),
    ]  # fmt: skip
    (tmp_path / "pets" / "test" / "eel").mkdir()
    with raises(DataError):
        read_samples(tmp_path)


def test_the_message_about_a_missing_split_names_the_expected_files(tmp_path: Path) -> None:
    with raises(DataError):
        read_samples(tmp_path)


def write_matlab(path: Path, **variables: Any) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


def write_torchvision_dtd(root: Path) -> None:
    names = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(47)]
    path = root / "dtd" / "dtd" / "labels" / "test1.txt"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{name}/{name}_1.jpg\n" for name in reversed(names)))


def write_torchvision_pets(root: Path) -> None:
    path = root / "oxford-iiit-pet" / "annotations" / "test.txt"
    path.parent.mkdir(parents=True)
    path.write_text("Abyssinian_201 1 1 1\nyorkshire_terrier_9 37 2 25\n")


def write_torchvision_flowers(root: Path) -> None:
    folder = root / "flowers-102"
    write_matlab(folder / "imagelabels.mat", labels=[[77, 1, 102, 5]])
    write_matlab(folder / "setid.mat", tstid=[[3, 1]], trnid=[[2]], valid=[[4]])


def write_torchvision_cars(root: Path) -> None:
    import numpy as np

    dtype = [("fname", "O"), ("class", "O")]
    rows = np.array([[("00001.jpg", 196), ("00002.jpg", 1)]], dtype=dtype)
    write_matlab(root / "stanford_cars" / "cars_test_annos_withlabels.mat", annotations=rows)


def write_clevr(root: Path) -> None:
    path = root / "clevr" / "CLEVR_v1.0" / "scenes" / "CLEVR_val_scenes.json"
    path.parent.mkdir(parents=True)
    objects = [{"pixel_coords": [1, 2, depth]} for depth in (9.7, 12.0, 8.5)]
    path.write_text(json.dumps({"scenes": [{"image_filename": "CLEVR_val_000000.png", "objects": objects}]}))


@pytest.mark.parametrize(
    ("write", "source", "expected"),
    [
        (write_torchvision_pets, source(vtab, "oxford_iiit_pet"), [("Abyssinian_201", "0"), ("yorkshire_terrier_9", "36")]),
        (write_torchvision_flowers, source(vtab, "oxford_flowers102"), [("image_00003.jpg", "101"), ("image_00001.jpg", "76")]),
        (write_torchvision_flowers, source(fgvc, "flowers"), [("image_00003.jpg", "101"), ("image_00001.jpg", "76")]),
        (write_torchvision_cars, source(fgvc, "cars"), [("00001.jpg", "195"), ("00002.jpg", "0")]),
        (write_clevr, source(vtab, "clevr_count"), [("CLEVR_val_000000.png", "0")]),
        (write_clevr, source(vtab, "clevr_dist"), [("CLEVR_val_000000.png", "1")]),  # 8.5: the second class begins above 8
    ],
)  # fmt: skip
def test_layouts_of_torchvision_and_clevr_are_read(
    tmp_path: Path, write: Any, source: Source, expected: list[tuple[str, str]]
) -> None:
    write(tmp_path)
    assert [(sample.id, sample.target) for sample in read_samples(tmp_path, source)] == expected


def test_dtd_s_classes_are_numbered_by_name(tmp_path: Path) -> None:
    write_torchvision_dtd(tmp_path)
    samples_read = read_samples(tmp_path, source(vtab, "dtd"))
    assert (samples_read[0].target, samples_read[-1].target, len(samples_read)) == ("46", "0", 47)


def test_a_broken_matlab_file_is_refused(tmp_path: Path) -> None:
    write_torchvision_flowers(tmp_path)
    (tmp_path / "flowers-102" / "setid.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\xff" * 300)
    with raises(DataError):
        read_samples(tmp_path, source(vtab, "oxford_flowers102"))


def test_rows_of_a_web_dataset_are_read(tmp_path: Path) -> None:
    raw = write_picture(tmp_path / "x.png").read_bytes()
    import base64

    rows = [{"__key__": "s0000007", "webp": base64.b64encode(raw).decode(), "cls": 2}]
    (tmp_path / "pets3.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (sample,) = read_samples(tmp_path, media=tmp_path / "media")
    assert (sample.id, sample.target, len(sample.question)) == ("s0000007", "2", 1)
    (tmp_path / "pets3.jsonl").write_text('{"image": "x.png", "label": "two"}\n')
    with raises(DataError):
        read_samples(tmp_path)


def test_without_a_copy_on_the_hub_the_message_asks_for_a_data_folder() -> None:
    with raises(DataError):
        list(samples(Data(suite="vtab"), source(vtab, "sun397")))
