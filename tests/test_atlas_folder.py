"""The atlas' folder is the old one or the new one, whole; it never takes what others put there."""

import hashlib
import json
import subprocess
import sys

import pytest
from small import contents

from minideconv.atlas import folder as module
from minideconv.atlas.folder import MANIFEST, NewFolder, check_replaceable, is_up_to_date, read_manifest

pytestmark = pytest.mark.host  # writes files

FIRST = {"index.html": "one", "maps/a/0.jpg": "tile", "data/a.js": "atlas", "old.txt": "gone next time"}
SECOND = {"index.html": "two", "maps/a/0.jpg": "tile", "data/a.js": "atlas", "maps/b/0.jpg": "new"}


def write(path, files, key=None):
    with NewFolder(path, key or {"n": len(files)}) as new:
        for name, data in files.items():
            new.write(name, data)
    return new


def read(path):
    """{name: text} of a folder, without its manifest."""
    return {name: data.decode() for name, data in contents(path).items() if name != MANIFEST}


def identity(path):
    return path.stat().st_ino, path.stat().st_mtime_ns


@pytest.fixture
def atlas(tmp_path):
    write(tmp_path / "atlas", FIRST)
    return tmp_path / "atlas"


# ----------------------------------------------------------------------------------------------------- what it holds


def test_a_folder_holds_what_was_written_and_a_manifest_of_it(atlas):
    assert read(atlas) == FIRST and [path.name for path in atlas.parent.iterdir()] == ["atlas"]
    manifest = json.loads((atlas / MANIFEST).read_text())
    assert manifest["made of"] == {"n": 4}
    assert manifest["files"] == {name: hashlib.sha256(data.encode()).hexdigest() for name, data in FIRST.items()}


def test_sizes_are_counted_while_it_is_written(tmp_path):
    new = write(tmp_path / "atlas", {"a": "é", "b/c": b"123"})
    assert new.sizes == {"a": 2, "b/c": 3}


def test_what_does_not_change_is_the_same_file_and_what_is_gone_is_gone(atlas):
    before = {name: identity(atlas / name) for name in FIRST}
    write(atlas, SECOND)
    assert read(atlas) == SECOND
    same = {name for name in SECOND if name in FIRST and identity(atlas / name) == before[name]}
    assert same == {"maps/a/0.jpg", "data/a.js"}


def test_a_file_that_was_changed_by_hand_is_written_anew(atlas):
    (atlas / "data/a.js").write_text("my own")
    write(atlas, FIRST)
    assert read(atlas) == FIRST


def test_without_links_files_are_written_anew(atlas, monkeypatch):
    def refuse(*paths):
        raise OSError("this file system has no links")

    monkeypatch.setattr(module.os, "link", refuse)
    write(atlas, SECOND)
    assert read(atlas) == SECOND


def test_it_is_up_to_date_while_the_key_is_equal_and_no_file_is_missing(atlas):
    assert is_up_to_date(atlas, {"n": 4}) and not is_up_to_date(atlas, {"n": 5})
    (atlas / "maps/a/0.jpg").unlink()
    assert not is_up_to_date(atlas, {"n": 4}) and not is_up_to_date(atlas.parent, {"n": 4})
    write(atlas, FIRST, {"pair": (1, 2)})
    assert is_up_to_date(atlas, {"pair": (1, 2)})  # JSON makes a list of it


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"files": null}', '{"files": [1]}', "\xff"])
def test_a_manifest_that_is_none_says_nothing(atlas, text):
    (atlas / MANIFEST).write_text(text, encoding="latin-1")
    assert read_manifest(atlas).get("files", {}) == {} and not is_up_to_date(atlas, {"n": 4})
    with pytest.raises(ValueError, match="which no atlas put there"):
        NewFolder(atlas, {})


# -------------------------------------------------------------------------------------------------- what others put


@pytest.mark.parametrize("theirs", ["notes.txt", "maps/a/mine.jpg", "empty folder/", "link", "maps/link to a folder"])
def test_what_others_put_into_it_is_not_removed_but_refused(atlas, theirs):
    place = atlas / theirs
    if "link" in theirs:
        place.symlink_to(atlas.parent if "folder" in theirs else "nowhere")
    elif theirs.endswith("/"):
        place.mkdir()
    else:
        place.write_text("mine")
    with pytest.raises(ValueError, match=rf"holds {theirs.rstrip('/')}, which no atlas put there; give another place"):
        write(atlas, SECOND)
    assert read(atlas).items() >= FIRST.items() and (place.exists() or place.is_symlink())


def test_what_file_managers_put_into_it_is_no_hindrance(atlas):
    for name in (".DS_Store", "maps/Thumbs.db"):
        (atlas / name).write_text("icons")
    write(atlas, SECOND)
    assert read(atlas) == SECOND


def test_a_folder_of_others_is_refused_and_an_empty_one_is_taken(tmp_path):
    (tmp_path / "photos").mkdir()
    write(tmp_path / "photos", FIRST)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.jpg").write_text("photo")
    with pytest.raises(ValueError, match=r"more holds a\.jpg, which no atlas put there"):
        write(tmp_path / "more", FIRST)


@pytest.mark.parametrize("name", ["atlas.old", "atlas.part", "atlas.scan", "atlas-2"])
@pytest.mark.parametrize("there", [True, False])
def test_folders_beside_it_are_left_alone_whatever_they_are_called(atlas, name, there):
    kept = atlas.with_name(name)
    atlas.rename(kept)  # a copy that somebody keeps
    if there:
        write(atlas, FIRST)
    write(atlas, SECOND)
    assert read(kept) == FIRST and read(atlas) == SECOND


@pytest.mark.parametrize(
    ("place", "message"),
    [("nowhere/atlas", "there is no folder .*nowhere; create it first"), ("file", "it is a file; give another place"),
     ("file/atlas", "there is no folder .*file; create it first"), (".", r"it has no name of its own"),
     ("sub/..", r"it has no name of its own"), ("/", r"it has no name of its own")],
)  # fmt: skip
def test_a_place_where_no_folder_can_be_is_refused(tmp_path, monkeypatch, place, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"^cannot write .*{message}"):
        check_replaceable(place)
    with pytest.raises(ValueError, match=message):
        NewFolder(place, {})


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "real", FIRST)
    (tmp_path / "atlas").symlink_to(tmp_path / "disk" / "real")
    for files in (SECOND, FIRST, SECOND):
        write(tmp_path / "atlas", files)
    assert (tmp_path / "atlas").is_symlink() and read(tmp_path / "disk" / "real") == SECOND
    assert sorted(path.name for path in tmp_path.rglob("*") if not path.is_file()) == ["a", "atlas", "b", "data",
                                                                                    "disk", "maps", "real"]  # fmt: skip


# ---------------------------------------------------------------------------------------------------- whole or not


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_while_it_is_written_leaves_the_old_folder_or_none(tmp_path, error):
    for before in ({}, FIRST):
        if before:
            write(tmp_path / "atlas", before)
        with pytest.raises(error), NewFolder(tmp_path / "atlas", {}) as new:
            new.write("index.html", "two")
            raise error
        assert [path.name for path in tmp_path.iterdir()] == (["atlas"] if before else [])
        assert not before or read(tmp_path / "atlas") == before


KILLED = """
import importlib.util, os, sys
path, nth, *files = sys.argv[1:]
spec = importlib.util.spec_from_file_location("folder", {module!r})
folder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(folder)
left = int(nth)

def killed(event, arguments):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "shutil.rmtree"):
        left -= 1
        if left < 0:
            os._exit(9)

sys.addaudithook(killed)
with folder.NewFolder(path, {{"n": 4}}) as new:
    for file in files:
        new.write(*file.split("=", 1))
"""


def test_killed_at_any_moment_the_folder_is_whole_after_the_next_run(tmp_path):
    script = KILLED.format(module=module.__file__)
    texts = [f"{name}={text}" for name, text in SECOND.items()]
    states, nth = set(), 0
    while True:
        place = tmp_path / str(nth)
        place.mkdir()
        write(place / "atlas", FIRST)
        run = subprocess.run([sys.executable, "-I", "-S", "-c", script, place / "atlas", str(nth), *texts], check=False)
        there = read(place / "atlas") if (place / "atlas").exists() else None
        assert there in (None, FIRST, SECOND)  # nothing in between
        states.add("none" if there is None else "old" if there == FIRST else "new")
        if there is None:  # killed between the two renames: the next run, even if it fails, brings the old one back
            with pytest.raises(ValueError), NewFolder(place / "atlas", {}):
                raise ValueError
            assert read(place / "atlas") == FIRST
        write(place / "atlas", SECOND)
        assert read(place / "atlas") == SECOND and [path.name for path in place.iterdir()] == ["atlas"]
        if run.returncode == 0:
            break
        assert run.returncode == 9
        nth += 1
    assert states == {"old", "none", "new"} and nth > 15
