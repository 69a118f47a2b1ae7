"""`minideconv atlas`: as a user types it, and one line with exit status 2 for everything that is wrong."""

import subprocess
import sys
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from small import colour_net, contents, levels, photo_folder

import minideconv
from minideconv import save_model
from minideconv.atlas import pictures
from minideconv.cli import main


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with nets, photos, and things that are no photos."""
    folder = tmp_path_factory.mktemp("given")
    photo_folder(folder / "photos", levels(10), [3])
    photo_folder(folder / "broken", levels(2), [0, 1])
    (folder / "empty").mkdir()
    (folder / "file").write_text("mine")
    (folder / "taken").mkdir()
    (folder / "taken" / "holiday.jpg").write_text("mine")
    net = colour_net()
    save_model(net, folder / "net.npz")
    net.preprocessing = None
    save_model(net, folder / "bare.npz")
    np.savez(folder / "other.npz", a=np.zeros(3))
    (folder / "cut.npz").write_bytes((folder / "net.npz").read_bytes()[:500])
    return folder


@pytest.fixture
def here(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return main(["atlas", *map(str, arguments)])


def test_the_command_as_typed_writes_the_page_and_prints_where_it_is(given, tmp_path):
    words = ["-m", "minideconv", "atlas", given / "photos", "--model", given / "net.npz", "--lean", "--share", "s.html"]
    environment = {"PYTHONPATH": str(Path(minideconv.__file__).parents[1]), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "atlas" / "index.html"), "s.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["atlas", "s.html"]
    assert "003.png: is damaged" in done.stderr and "writing about" in done.stderr and "10/10" in done.stderr
    assert "--model net.npz" in (tmp_path / "atlas" / "data" / "summary.json").read_text()


def test_several_photos_and_a_pattern_are_sources_too(given, here, capsys):
    options = ["--model", given / "net.npz", "--lean", "--layers", "relu1"]
    first = [given / "photos" / f"{number:03}.png" for number in (2, 0, 1)]
    assert run(*first, *options, "--out", "some", "--no-photos") == 0
    assert run(f"{given}/photos/00[0-2].png", *options, "--out", "same", "--no-photos") == 0
    one = contents(here / "some")
    assert one == contents(here / "same")
    assert not [name for name in one if "photo" in name]
    capsys.readouterr()


def test_a_second_run_says_that_there_is_nothing_to_do_and_shares_and_opens(given, here, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    options = ["--model", given / "net.npz", "--layers", "relu1", "--out", "a b"]
    assert run(given / "photos", *options) == 0
    capsys.readouterr()
    assert run(given / "photos", *options, "--share", "s.html", "--share-maps", 1, "--open") == 0
    shown = capsys.readouterr()
    assert shown.err == "a b is up to date\n" and shown.out.splitlines() == [str(here / "a b" / "index.html"), "s.html"]
    assert opened == [(here / "a b" / "index.html").as_uri()] and "a%20b" in opened[0]


def test_shards_are_scanned_and_merged(given, here, capsys, monkeypatch):
    monkeypatch.setattr(minideconv.experiments.scanning, "photos_at_once", lambda *arguments: 4)
    options = ["--model", given / "net.npz", "--lean", "--layers", "relu1", "relu2"]
    for number in (1, 2):
        assert run(given / "photos", *options, "--shard", f"{number}/2") == 0
        assert capsys.readouterr().out == f"atlas.shard-{number}-of-2.npz\n"
    assert run(given / "photos", *options, "--merge", *sorted(here.glob("atlas.shard-*.npz"))) == 0
    assert run(given / "photos", *options, "--out", "whole") == 0
    assert contents(here / "atlas") == contents(here / "whole")
    capsys.readouterr()
    before = contents(here)
    assert run(given / "photos", *options, "--out", "third", "--merge", "atlas.shard-1-of-2.npz") == 2
    assert "merge: 2 of 3 batches are missing; finish and give all shards" in capsys.readouterr().err
    assert run(given / "photos", "--model", given / "net.npz", "--merge", *here.glob("*.npz"), "--out", "third") == 2
    assert "the shards do not fit this atlas: they are of other layers" in capsys.readouterr().err
    assert contents(here) == before


def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(given, here, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(pictures, "project_patches", interrupted)
        assert run(given / "photos", "--model", given / "net.npz", "--layers", "relu1") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "minideconv: stopped"
    assert [path.name for path in here.iterdir()] == ["atlas.scan.npz"]
    assert run(given / "photos", "--model", given / "net.npz", "--layers", "relu1") == 0
    assert "atlas.scan.npz has 9 photos already; going on" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["atlas"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder nowhere; check the spelling"),
        (["{given}/empty"], "there is no photo in {given}/empty; looked for .jpg"),
        (["{given}/*.tif"], "there is no photo in {given}/*.tif"),
        (
            ["{given}/broken"],
            "not one of the 2 photos can be used; the first, {given}/broken/000.png: is damaged or cut short",
        ),
        (
            ["nowhere.jpg", "nothing.jpg"],
            "not one of the 2 photos can be used; the first, nothing.jpg: there is no file; check",
        ),
        (["{photos}", "--layers", "relu9"], "small has no layer 'relu9'; it has conv1"),
        (["{photos}", "--shard", "0/3"], "there is no shard 0/3; shards count from 1/3 to 3/3"),
        (["{photos}", "--shard", "9/8"], "there is no shard 9/8; shards count from 1/8 to 8/8"),
        (["{photos}", "--shard", "2/8"], "there are 1 batches of photos, too few for 8 shards; use at most 1"),
        (["{photos}", "--shard", "1/1", "--out", "no/atlas"], "there is no folder no; create it first"),
        (["{photos}", "--shard", "1/2", "--merge", "x.npz"], "--shard only scans; give --merge and --share when"),
        (["{photos}", "--shard", "1/2", "--share", "x.html"], "--shard only scans"),
        (["{photos}", "--merge", "x.npz"], "there is no scan x.npz; a scan is a .npz that `minideconv atlas` wrote"),
        (["{photos}", "--merge", "atlas.shard-*.npz"], "there is no scan atlas.shard-*.npz"),
        (["{photos}", "--merge", "{given}/other.npz"], "other.npz is not a scan: it has no __scan__ entry"),
        (["{photos}", "--merge", "{given}/net.npz"], "net.npz is not a scan: it has no __scan__ entry"),
        (["{photos}", "--merge", "{given}/cut.npz"], "cut.npz cannot be read as a scan: it is damaged or no .npz file"),
        (["{photos}", "--merge", "{given}/photos"], "there is no scan {given}/photos"),
        (["{photos}", "--out", "{given}/file"], "file: it is a file; give another place"),
        (["{photos}", "--out", "{given}/taken"], "taken holds holiday.jpg, which no atlas put there"),
        (["{photos}", "--out", "{photos}"], "photos holds 000.png, which no atlas put there"),
        (["{photos}", "--out", "no/atlas"], "there is no folder no; create it first"),
        (["{photos}", "--out", "."], "cannot write .: it has no name of its own; name a folder that is to be made"),
        (["{photos}", "--out", ".."], "cannot write ..: it has no name of its own"),
        (["{photos}", "--out", ".", "--shard", "1/1"], "cannot write .: it has no name of its own"),
        (["{photos}", "--share", "x.pdf"], "cannot share as x.pdf: the name must end in .html"),
        (["{photos}", "--share", "no/x.html"], "there is no folder no; create it first"),
        (["{photos}", "--share", "x.html", "--share-maps", "0"], "--share-maps is 0; share one map at least"),
        (["{photos}", "--tile", "3"], "tile is 3; give 8 to 512 pixels"),
        (["{photos}", "--tile", "5000"], "tile is 5000; give 8 to 512 pixels"),
        (["{photos}", "--model", "{given}/bare.npz"], "small does not say how photos are prepared"),
        (["{photos}", "--model", "nothing.npz"], "there is no model file nothing.npz"),
        (["{photos}", "--model", "{given}/cut.npz"], "cut.npz cannot be read as a model file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(given, here, capsys, arguments, message):
    words = [word.format(given=given, photos=given / "photos") for word in arguments]
    before = contents(given)
    model = [] if "--model" in words else ["--model", given / "net.npz"]
    assert run(*words, *model) == 2
    shown = capsys.readouterr()
    said = shown.err.replace("\r", "\n").splitlines()
    assert shown.out == "" and message.format(given=given) in said[-1] and said[-1].startswith("minideconv: ")
    assert len(said) == 1 or all("photos" in line or not line.strip() for line in said[:-1])  # the progress of a scan
    assert list(here.iterdir()) == [] and contents(given) == before


def test_options_that_are_no_numbers_are_refused_and_help_shows_examples(capsys):
    for arguments in (["x", "--shard", "x"], ["x", "--shard", "1/2/3"], ["x", "--tile", "big"], [], ["--help"]):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        assert stopped.value.code == (0 if "--help" in arguments else 2)
    shown = capsys.readouterr()
    assert shown.err.count("is not a shard; give one such as 2/8") == 2 and "required: PHOTOS" in shown.err
    assert "example:\n  minideconv atlas photos.zip --model alexnet --out atlas" in shown.out
    assert "--merge atlas.shard-*.npz" in shown.out
