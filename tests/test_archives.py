"""The photos of a folder, a zip or a pattern: one order, nothing hidden, nothing extracted, nothing half-read."""

import io
import os
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageFile

from minideconv import archives
from minideconv.archives import Photos, class_folders

pytestmark = pytest.mark.host  # reads files


def photo(level=0, size=(4, 6), kind="PNG"):
    """The bytes of a photo, `size` (H, W), whose first pixel tells which one it is."""
    pixels = np.full((*size, 3), level, np.uint8)
    pixels[:, 1:] = 255 - level
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()


def level(image):
    return int(np.asarray(image)[0, 0, 0])


def make_folder(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def make_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


FILES = {"b/1.png": photo(10), "a b/1.PNG": photo(20), "a/2.png": photo(30), "a/10.png": photo(40), "9.png": photo(50)}
ORDER = ["9.png", "a/10.png", "a/2.png", "a b/1.PNG", "b/1.png"]  # by folder first: "a" before "a b"


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
    """Put files into a folder or a zip called `name`."""
    if request.param == "folder":
        return lambda files, name="given": make_folder(tmp_path / name, files)
    return lambda files, name="given": make_zip(tmp_path / f"{name}.zip", files)


def test_photos_come_sorted_by_folder_then_name_from_a_folder_and_from_a_zip(make):
    photos = Photos(make(FILES))
    assert photos.names == ORDER and len(photos) == 5
    assert [level(image) for image in photos] == [50, 40, 30, 20, 10]
    assert {image.mode for image in photos} == {"RGB"}


def test_other_files_hidden_ones_and_those_of_macos_are_no_photos(make):
    hidden = [".a.png", ".git/a.png", "__MACOSX/a.png", "a/._b.png", "notes.txt", "png"]
    assert Photos(make(FILES | {name: photo() for name in hidden})).names == ORDER


def test_a_source_without_photos_is_refused(make):
    with pytest.raises(ValueError, match=r"there is no photo in .*given"):
        Photos(make({"notes.txt": b"hello"}))


def test_a_pattern_and_a_single_photo_are_sources_too(tmp_path):
    folder = make_folder(tmp_path / "given", FILES)
    assert [level(image) for image in Photos(f"{folder}/a*/*.png")] == [40, 30]
    assert [level(image) for image in Photos(f"{folder}/**/1.[pP]*")] == [20, 10]
    assert [level(image) for image in Photos(folder / "9.png")] == [50]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path):
    assert len(Photos(make_folder(tmp_path / "given [2013]", FILES))) == 5


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*nothing; check the spelling"):
        Photos(tmp_path / "nothing")


def test_names_of_a_zip_are_labels_only(tmp_path):
    names = ["/abs/a.png", "../../up.png", "b\\c.png", "./d//e.png", "a/../../f.png"]
    source = make_zip(tmp_path / "given.zip", {name: photo(i) for i, name in enumerate(names)})
    photos = Photos(source)
    assert photos.names == ["abs/a.png", "b/c.png", "d/e.png"]
    assert [level(image) for image in photos] == [0, 2, 3]
    assert list(tmp_path.rglob("*")) == [source]


def test_a_name_cannot_steer_the_terminal(tmp_path):
    photos = Photos(make_zip(tmp_path / "given.zip", {"\x1b[2J.png": b"no photo"}))
    with pytest.raises(ValueError, match=r"x1b.2J.png") as caught:
        photos[0]
    assert str(caught.value).isprintable()


def test_a_changed_byte_in_a_zip_is_noticed_although_the_photo_would_decode(tmp_path):
    source = make_zip(tmp_path / "given.zip", {"a.bmp": photo(1, kind="BMP"), "b.bmp": photo(2, kind="BMP")})
    data = bytearray(source.read_bytes())
    data[data.index(photo(1, kind="BMP")) + 60] ^= 1
    source.write_bytes(data)
    photos = Photos(source)
    assert level(photos[1]) == 2
    with pytest.raises(ValueError, match=r"given.zip/a.bmp cannot be unpacked \(Bad CRC"):
        photos[0]


def test_a_photo_that_would_fill_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 1000)
    photos = Photos(make_zip(tmp_path / "given.zip", {"a.png": photo(1), "b.png": bytes(1001)}))
    assert level(photos[0]) == 1
    with pytest.raises(ValueError, match=r"b.png has 1001 bytes unpacked"):
        photos[1]


@pytest.mark.parametrize("keep", [0, 30, -10])
def test_a_zip_that_is_cut_short_is_refused(tmp_path, keep):
    source = make_zip(tmp_path / "given.zip", FILES)
    source.write_bytes(source.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"given.zip is damaged or no zip"):
        Photos(source)


@pytest.mark.parametrize("data", [b"", b"hello", photo(kind="JPEG")[:-40], photo()[:60]], ids=len)
def test_a_photo_that_is_none_or_cut_short_is_named(make, data):
    photos = Photos(make({"a/1.jpg": data, "a/2.png": photo(2)}))
    assert level(photos[1]) == 2
    with pytest.raises(ValueError, match=r"a/1.jpg is (not an image|damaged or cut short)"):
        photos[0]


def test_map_keeps_the_order_and_says_what_cannot_be_used(make, monkeypatch):
    monkeypatch.setattr(archives, "CHUNK", 3)
    files = {f"{i:02}.png": photo(i) for i in range(10)} | {"04.png": b"no photo"}
    found = list(Photos(make(files)).map(level, [7, 4, 1, 0, 9]))
    assert [(index, value) for index, value, _ in found] == [(7, 7), (4, None), (1, 1), (0, 0), (9, 9)]
    problems = [problem for _, _, problem in found if problem]
    assert len(problems) == 1 and "04.png is not an image" in problems[0] and "load_photo" not in problems[0]
    assert [index for index, _, _ in Photos(make(files)).map(level)] == list(range(10))


def test_map_shows_progress_on_stderr_only_when_asked(make, capsys):
    photos = Photos(make(FILES))
    list(photos.map(level))
    assert capsys.readouterr() == ("", "")
    list(photos.map(level, progress="looking"))
    out, err = capsys.readouterr()
    assert out == "" and "looking" in err and "5/5" in err


def test_threads_leave_the_filters_of_warnings_and_pillow_as_they_were(make, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    files = {f"{i:03}.jpg": photo(i, kind="JPEG") for i in range(200)} | {"100.jpg": photo(kind="JPEG")[:-40]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        found = list(Photos(make(files)).map(lambda image: ImageFile.LOAD_TRUNCATED_IMAGES))
        assert warnings.filters == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert [index for index, _, problem in found if problem] == [100]
    assert {tolerant for _, tolerant, _ in found} == {False, None}  # all the while, not only while one decodes


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    folder = make_folder(tmp_path / "given", FILES)
    other = make_folder(tmp_path / "other", {"1.png": photo(60)})
    os.symlink(folder, folder / "a" / "again")
    os.symlink(other, folder / "c")
    assert Photos(folder).names == [*ORDER, "c/1.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_photo(tmp_path):
    folder = make_folder(tmp_path / "given", FILES)
    os.mkfifo(folder / "pipe.png")
    assert Photos(folder).names == ORDER
    assert Photos(f"{folder}/*.png").names == [str(folder / "9.png")]


def test_classes_are_the_folders_in_sorted_order_and_others_photos_are_strays():
    names = ["0.jpg", "cat/1.jpg", "cat/young/2.jpg", "dog/1.jpg"]
    assert class_folders(names, "train") == (["cat", "dog"], {1: 0, 2: 0, 3: 1}, [0])


def test_every_fifth_photo_of_a_class_is_for_testing_and_the_others_for_training():
    names = [f"{animal}/{i:02}.jpg" for animal, count in (("cat", 11), ("dog", 4), ("emu", 5)) for i in range(count)]
    classes, train, _ = class_folders(names, "train")
    same, test, _ = class_folders(names, "test")
    assert classes == same == ["cat", "dog", "emu"]
    assert {names[i]: label for i, label in test.items()} == {"cat/04.jpg": 0, "cat/09.jpg": 0, "emu/04.jpg": 2}
    assert sorted([*train, *test]) == list(range(20))


@pytest.mark.parametrize("folders", [("train", "test"), ("Train", "val"), ("training", "validation")])
@pytest.mark.parametrize("around", ["", "pets/", "a/b/"])
def test_folders_for_training_and_testing_are_the_parts_and_share_their_classes(folders, around):
    train, test = folders
    names = [f"{around}{test}/bee/1.jpg", f"{around}{test}/cat/1.jpg"]
    names += [f"{around}{train}/0.jpg", f"{around}{train}/ant/1.jpg", f"{around}{train}/cat/2.jpg"]
    assert class_folders(names, "train") == (["ant", "bee", "cat"], {3: 0, 4: 2}, [2])
    assert class_folders(names, "test") == (["ant", "bee", "cat"], {0: 1, 1: 2}, [])


def test_a_test_folder_without_classes_gives_way_to_val():
    names = ["test/1.jpg", "train/cat/1.jpg", "val/cat/2.jpg"]
    assert class_folders(names, "test") == (["cat"], {2: 0}, [])


def test_a_class_may_be_called_train():
    assert class_folders(["bus/1.jpg", "train/1.jpg"], "train") == (["bus", "train"], {0: 0, 1: 1}, [])


def test_what_is_wrong_with_a_photo_of_a_folder_cannot_steer_the_terminal_either(tmp_path):
    folder = make_folder(tmp_path / "given", {"\x1b[2J.png": b"no photo"})
    for source in (folder, [folder / "\x1b[2J.png"], f"{folder}/*.png"):
        ((_, _, problem),) = Photos(source).map(level)
        assert "x1b[2J.png' is not an image" in problem and problem.isprintable()
