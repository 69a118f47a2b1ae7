"""The atlas as files: complete, small, private, the same every time, for any photos and any net."""

import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import colour_net, contents, levels, photo_folder

import minideconv
from minideconv import Network, save_model
from minideconv.atlas import pictures, share, writer
from minideconv.atlas.writer import scan_path, write_atlas, write_shard
from minideconv.experiments.scan_files import load_scan
from minideconv.experiments.scanning import scan
from minideconv.layers import ReLU

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "a'b\".png",
    "100% #1.png",
    "\U0001f418.png",
    "\u2028{{7*7}}.png",
]
SECRETS = [b"Zugspitze", b"erika", b"Exif", b"GPS", os.fsencode(Path.home())]
COUNT, BROKEN = 12, 5


def quiet(line):
    """What nobody needs to hear."""


def make(out, photos, net=None, **options):
    """Write an atlas; returns what `write_atlas` returns, or only the folder's files."""
    return write_atlas(net or colour_net(), photos, out, progress=False, **{"report": quiet, **options})


def exif():
    """What a camera writes: who, and where."""
    tags = Image.Exif()
    tags[0x010E], tags[0x013B] = "erika in the garden", "erika"
    tags.get_ifd(0x8825).update({1: "N", 2: (47.0, 25.0, 16.0), 3: "E", 4: (10.0, 59.0, 7.0)})
    return tags


def script_data(text):
    """What a script such as `atlas.add("relu1", {…});` hands to the page."""
    return json.loads("[" + re.fullmatch(r"atlas\.\w+\((.*)\);\n", text, re.DOTALL).group(1) + "]")


def size_of(data):
    """(width, height) of an encoded picture that decodes as a whole."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.size


def named_files(files):
    """{path: (width, height) or None} of all files that the data of an atlas names, as the page computes them."""
    about = json.loads(files["data/summary.json"])
    named = dict.fromkeys([".gitignore", "manifest.json", "index.html", "atlas.npz", "data/summary.json"])
    named["card.png"] = (1200, 630)
    for picture in (about["front"], about["filters"]):
        named[picture["file"]] = (picture["width"], picture["height"])
    winners = set()
    for layer in about["layers"]:
        name, data = script_data(files[layer["data"]].decode())
        assert name == layer["name"] and len(data["maps"]) == layer["maps"] == layer["shown"]
        named.update({layer["data"]: None, layer["sheet"]: None})
        for kind in ("files", "patches"):
            for number, face in enumerate(data["faces"][kind]):
                named[face] = (1440, 144 * -(-min(layer["maps"] - 100 * number, 100) // 10))
        for entry in data["maps"]:
            path = f"{data['folder']}/{entry['map']:0{data['digits']}}"
            width = data["k"] * data["pitch"][1]
            named[f"{path}.{data['ext']}"] = (width, len(data["rows"]) * data["pitch"][0])
            if data["more"]:
                named[f"{path}-more.{data['ext']}"] = (width, len(data["more"]) * data["pitch"][0])
            winners |= {number for number in entry["image"] if number >= 0}
    if about["sections"]["photos"]:
        named["data/photos.js"] = None
        photos = {f"photos/{number:0{about['photo_digits']}}.jpg": tuple(about["input"][::-1]) for number in winners}
        named.update(photos)
    return named


def assert_complete(folder):
    files = contents(folder)
    named = named_files(files)
    assert set(named) == set(files)
    for name, data in files.items():
        if name.endswith((".jpg", ".png")):
            assert size_of(data) == (named[name] or size_of(data)), name
    return files


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve photos with EXIF, one of them broken, some with hostile names."""
    folder = photo_folder(tmp_path_factory.mktemp("erika") / "Zugspitze", levels(COUNT), [BROKEN], exif())
    for number, name in enumerate(HOSTILE):
        (folder / f"{number:03}.png").rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    """An atlas: its folder, its scan, and the lines that were said."""
    out, said = tmp_path_factory.mktemp("made") / "atlas", []
    folder, found = make(out, photos, model="/home/erika/nets/small.npz", report=said.append)
    return folder, found, said


@pytest.fixture
def atlas(made, tmp_path):
    """A copy of it, to change."""
    return Path(shutil.copytree(made[0], tmp_path / "atlas", copy_function=shutil.copy2))


def same_model(out, photos, **options):
    return make(out, photos, **{"model": "small.npz", **options})


# ---------------------------------------------------------------------------------------------------------- complete


def test_every_file_that_the_data_name_is_there_whole_and_of_its_size_and_no_other(made):
    files = assert_complete(made[0])
    assert [path.name for path in made[0].parent.iterdir()] == ["atlas"]
    assert files[".gitignore"] == b"*\n"


def test_the_numbers_are_those_of_the_scan(made, photos):
    folder, found, _ = made
    wanted = scan(colour_net(), minideconv.archives.Photos(photos), ["relu1", "relu2", "relu3"])
    kept = load_scan(folder / "atlas.npz")
    for name in wanted.layers:
        for one, other, third in zip(found.layers[name].top, wanted.layers[name].top, kept.layers[name].top):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)
        _, data = script_data((folder / f"data/{name}.js").read_text())
        for channel, entry in enumerate(data["maps"]):
            top = [field[channel] for field in wanted.layers[name].top]
            assert [entry["image"], entry["row"], entry["column"]] == [field.tolist() for field in top[:3]]
            assert entry["value"] == pytest.approx(top[3].tolist(), rel=1e-3)
            assert entry["active"] == pytest.approx(wanted.layers[name].active[channel] / (COUNT - 1), rel=1e-3)
            assert sum(entry["bins"]) == wanted.layers[name].active[channel]
    with np.load(folder / "atlas.npz") as numbers:
        assert numbers["relu3.similar"].shape == (10, 9, 2)


def test_the_bins_of_a_map_lie_where_its_activations_do(made):
    for name, layer in made[1].layers.items():
        _, data = script_data((made[0] / f"data/{name}.js").read_text())
        edges = data["histogram"]["edges"]
        for channel, entry in enumerate(data["maps"]):
            if entry["bins"] and len(edges) > 2:
                low, high = edges[entry["first"]], edges[entry["first"] + len(entry["bins"])]
                strongest = layer.top.value[channel, 0]
                assert low <= high and edges[entry["first"] + len(entry["bins"]) - 1] <= strongest < high


def test_pictures_in_the_files_are_the_tiles(made, photos, tmp_path):
    net, found = colour_net(), made[1]
    drawn = pictures.picture_winners(net, minideconv.archives.Photos(photos), found, tmp_path)
    tiles = drawn["relu1"].tiles()
    with Image.open(made[0] / "maps/relu1/2.png") as sheet, Image.open(made[0] / "maps/relu1/2-more.png") as more:
        sheet, more = np.asarray(sheet), np.asarray(more)
    for place in range(9):
        for kind in range(6):
            row, picture = (kind, sheet) if kind < 2 else (kind - 2, more)
            assert (picture[row * 8 : row * 8 + 3, place * 8 : place * 8 + 3] == tiles[2, kind, place]).all()


def test_photos_are_as_the_net_saw_them(made):
    with Image.open(made[0] / "photos/07.jpg") as photo:
        assert np.abs(np.asarray(photo).astype(int) - levels(COUNT)[7]).mean() < 4


def test_names_are_those_of_the_files_and_the_broken_one_is_said(made, photos):
    (names,) = script_data((made[0] / "data/photos.js").read_text())
    order = minideconv.archives.Photos(photos).names
    assert names and all(order[int(number)] == name for number, name in names.items())
    broken = [line for line in made[2] if line.startswith("skipped ")]
    assert len(broken) == 1 and f"{BROKEN:03}.png: is damaged" in broken[0]
    about = json.loads((made[0] / "data/summary.json").read_text())
    assert about["photos"] == COUNT - 1 and about["skipped"] == 1


@pytest.mark.parametrize("options", [{}, {"lean": True, "show_photos": False, "tile": 8}])
def test_the_size_is_foretold_within_a_quarter(photos, tmp_path, options):
    said = []
    make(tmp_path / "atlas", photos, report=said.append, **options)
    size = sum(map(len, contents(tmp_path / "atlas").values()))
    (foretold,) = (re.match(r"writing about (\d+) kB to ", line) for line in said if line.startswith("writing"))
    assert int(foretold.group(1)) * 1000 == pytest.approx(size, rel=0.25)


@pytest.mark.parametrize(
    ("free", "message"),
    [
        ([1000], "no room for the pictures beside the atlas: up to 21 MB are needed meanwhile, but 1 kB are free"),
        ([10**9, 1000], r"atlas needs about \d+ kB more, but 1 kB are free; make room, or"),
    ],
)
def test_without_room_nothing_is_written(photos, tmp_path, monkeypatch, free, message):
    left = iter(free)
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, next(left)))
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "atlas", photos)
    assert [path.name for path in tmp_path.iterdir()] == ["atlas.scan.npz"]


# ----------------------------------------------------------------------------------------------------------- private


def test_no_address_of_the_network_no_path_and_no_exif_is_in_any_file(made):
    for name, data in contents(made[0]).items():
        assert not re.search(rb"https?:|//[a-z]+\.[a-z]", data) or not name.endswith((".html", ".js", ".json")), name
        for secret in (*SECRETS, os.fsencode(made[0].parent), b"/nets"):
            assert secret not in data, (name, secret)


def test_without_photos_no_name_no_photo_and_no_patch_is_in_any_file(photos, tmp_path):
    make(tmp_path / "atlas", photos, show_photos=False)
    files = assert_complete(tmp_path / "atlas")
    assert not [name for name in files if name.startswith("photos") or "patches" in name]
    names = [os.fsencode(name) for name in minideconv.archives.Photos(photos).names]
    for name, data in files.items():
        if not name.endswith((".jpg", ".png", ".npz")):
            assert not [secret for secret in (*SECRETS, *names, b"alert(1)") if secret in data], name
        assert not any(secret in data for secret in names if len(secret) > 8), name
    for layer in ("relu1", "relu2", "relu3"):
        _, data = script_data(files[f"data/{layer}.js"].decode())
        assert data["rows"] == ["deconvnet"] and not data["faces"]["patches"]


def test_the_reasons_of_skipped_photos_are_kept_without_names(photos, tmp_path):
    _, found = make(tmp_path / "atlas", photos, show_photos=False)
    assert len(found.skipped) == 1
    with np.load(tmp_path / "atlas" / "atlas.npz") as numbers:
        assert ".png" not in str(numbers["__scan__"])


# ---------------------------------------------------------------------------------------------------- the same again


def identities(folder):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def test_a_second_run_writes_nothing(atlas, photos):
    before, said = identities(atlas), []
    _, found = same_model(atlas, photos, report=said.append)
    assert identities(atlas) == before and said == [f"{atlas} is up to date"] and found.done.all()


def test_made_anew_elsewhere_it_is_the_same_to_the_byte(made, photos, tmp_path):
    same_model(tmp_path / "other name", photos)
    assert contents(tmp_path / "other name") == contents(made[0])


@pytest.mark.parametrize("gone", ["maps/relu2/3.png", "manifest.json", "atlas.npz"])
def test_a_file_that_is_gone_comes_back_and_others_stay_as_they_are(atlas, made, photos, gone):
    before = identities(atlas)
    (atlas / gone).unlink()
    if gone == "manifest.json":
        with pytest.raises(ValueError, match="which no atlas put there"):
            same_model(atlas, photos)
        return
    same_model(atlas, photos)
    assert contents(atlas) == contents(made[0])
    after = identities(atlas)
    changed = {path for path in before if path.is_file() and after[path] != before[path]}
    assert changed == {atlas / gone, atlas / "manifest.json"}


def test_damaged_numbers_are_found_anew(atlas, made, photos):
    (atlas / "atlas.npz").write_bytes(b"no archive")
    same_model(atlas, photos)
    assert contents(atlas) == contents(made[0])


@pytest.mark.parametrize(
    ("options", "gone", "changed"),
    [
        ({"lean": True}, r"maps/.*-more\..*", r"atlas.npz|data/.*|index.html"),
        ({"show_photos": False}, r"photos/.*|data/photos.js|faces/.*-patches.jpg",
         r"card.png|data/.*|index.html|maps/relu\d/\d*\.png|sheets/.*"),
        ({"tile": 8}, "", r"maps/relu3/.*|data/relu3.js|faces/(relu3|front).*|sheets/relu3.jpg|card.png"),
        ({"model": "other.npz"}, "", r"index.html|data/summary.json"),
        ({"layers": ["relu1", "relu2"]}, r".*relu3.*", r"atlas.npz|card.png|data/.*|faces/front.jpg|index.html"),
    ],
)  # fmt: skip
def test_an_option_changes_what_it_should_and_nothing_else(atlas, photos, options, gone, changed):
    before, files = identities(atlas), contents(atlas)
    same_model(atlas, photos, **options)
    after, new = identities(atlas), assert_complete(atlas)
    assert set(files) - set(new) == {name for name in files if gone and re.fullmatch(gone, name)} and not set(
        new
    ) - set(files)
    rewritten = {name for name in new if after[atlas / name] != before[atlas / name]} - {"manifest.json"}
    assert {name for name in new if new[name] != files[name]} - {"manifest.json"} == rewritten
    assert rewritten and all(re.fullmatch(changed, name) for name in rewritten), rewritten


def test_photos_without_names_are_numbered_or_called_what_they_are_said_to_be(tmp_path):
    for names, wanted in ((None, None), (["a", "b", "T-shirt/top"], "T-shirt/top"), (["a", "b", "d"], "d")):
        make(tmp_path / "atlas", levels(3), layers=["relu1"], names=names)
        assert script_data((tmp_path / "atlas/data/photos.js").read_text())[0].get("2") == wanted


def test_other_options_need_no_other_scan(atlas, photos, monkeypatch):
    monkeypatch.setattr(writer, "resumed_scan", None)
    said = []
    same_model(atlas, photos, lean=True, report=said.append)
    assert said[0] == f"nothing to scan: {atlas} has these photos already"


def test_another_photo_makes_another_atlas(atlas, photos, tmp_path, made):
    more = shutil.copytree(photos, tmp_path / "more")
    Image.fromarray(levels(1, most=250, seed=5)[0]).save(more / "new.png")
    _, found = same_model(atlas, more)
    assert found.photos == COUNT and assert_complete(atlas) != contents(made[0])


# ------------------------------------------------------------------------------------------------------- interrupted


def interrupt_projections(monkeypatch, calls=5):
    project, left = pictures.project_patches, [calls]

    def interrupted(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return project(*arguments, **options)

    monkeypatch.setattr(pictures, "project_patches", interrupted)


def test_interrupted_among_the_projections_the_scan_stays_and_the_next_run_goes_on(photos, made, tmp_path, monkeypatch):
    out = tmp_path / "atlas"
    with monkeypatch.context() as stopping:
        interrupt_projections(stopping)
        with pytest.raises(KeyboardInterrupt):
            same_model(out, photos)
    assert [path.name for path in tmp_path.iterdir()] == ["atlas.scan.npz"]
    said = []
    same_model(out, photos, report=said.append)
    assert said[0] == f"{scan_path(out)} has 11 photos already; going on"
    assert contents(out) == contents(made[0]) and [path.name for path in tmp_path.iterdir()] == ["atlas"]


def test_interrupted_the_older_atlas_stays_whole(atlas, made, photos, monkeypatch):
    interrupt_projections(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        same_model(atlas, photos, tile=8)
    assert contents(atlas) == contents(made[0]) and [path.name for path in atlas.parent.iterdir()] == ["atlas"]


def test_the_atlas_of_three_shards_is_that_of_one_scan(made, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(minideconv.experiments.scanning, "photos_at_once", lambda net, shape: 4)
    paths = [write_shard(colour_net(), photos, tmp_path / "a", (n, 3), progress=False, report=quiet) for n in (3, 1, 2)]
    assert sorted(path.name for path in paths) == [f"a.shard-{n}-of-3.npz" for n in (1, 2, 3)]
    same_model(tmp_path / "a", photos, merge=paths)
    same_model(tmp_path / "b", photos)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(ValueError, match="the shards do not fit this atlas: they are of other layers"):
        same_model(tmp_path / "c", photos, merge=paths, layers=["relu1"])


# ----------------------------------------------------------------------------------------------------- hostile names


class Tags(HTMLParser):
    """What a browser would make of a page: elements, handlers, and where things are loaded from."""

    def __init__(self, text):
        super().__init__()
        self.names, self.handlers, self.loaded, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.loaded += [value for name, value in attributes if name in ("src", "href")]
        styles = [value for name, value in attributes if name == "style"]
        self.loaded += [url for style in styles for url in re.findall(r"url\('([^']*)'\)", style)]

    def handle_data(self, data):
        self.texts.append(data)


def renamed(names, **options):
    """The small net with other names for some of its layers."""
    net = colour_net(**options)
    return Network(
        [(names.get(name, name), layer) for name, layer in net.layers.items()],
        name="</title><script>alert(1)</script>", input_shape=net.input_shape, preprocessing=net.preprocessing,
    )  # fmt: skip


@pytest.mark.parametrize(
    "names", [("a/b", "../x", "con"), ("</script>", "A b", "a_b"), ("photos", "front", "\u202e'\"`")]
)
def test_layers_of_any_name_have_files_of_their_own_inside_the_folder(made, tmp_path, names):
    net = renamed(dict(zip(("relu1", "relu2", "relu3"), names)))
    _, found = make(tmp_path / "atlas", levels(10), net)
    files = assert_complete(tmp_path / "atlas")
    assert list(found.layers) == list(names) and [path.name for path in tmp_path.iterdir()] == ["atlas"]
    about = json.loads(files["data/summary.json"])
    assert [layer["name"] for layer in about["layers"]] == list(names)
    assert len({layer["data"].lower() for layer in about["layers"]}) == 3
    for name in files:
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", name) and "con.js" not in name
    page, usual = Tags(files["index.html"].decode()), Tags((made[0] / "index.html").read_text())
    assert page.names.count("script") == usual.names.count("script") and not page.handlers
    assert "</title><script>alert(1)</script> atlas" in page.texts


def test_the_page_loads_nothing_from_elsewhere(made):
    page = Tags((made[0] / "index.html").read_text())
    files = contents(made[0])
    for address in page.loaded:
        folder = address.endswith("/") and any(name.startswith(address) for name in files)
        assert address.startswith("#") or address in files or folder, address


def test_names_of_photos_cannot_end_a_script(made):
    text = (made[0] / "data" / "photos.js").read_text()
    assert "<" not in text and text.isascii() and "\\u003cimg src=x" in text


# ---------------------------------------------------------------------------------------------------- little and dead


def with_bias(net, layer, channel, bias=-1e6):
    net.layers[layer].bias[channel] = bias
    return net


@pytest.mark.parametrize(
    ("net", "count"),
    [(colour_net(maps=(1, 1, 1)), 1), (colour_net(), 1), (colour_net(maps=(1, 1, 1)), 10), (colour_net(), 5),
     (with_bias(colour_net(), "conv2", 3), 10), (with_bias(colour_net(), "conv1", slice(None)), 10),
     (with_bias(colour_net(), "conv3", slice(None)), 10), (with_bias(colour_net(), "conv3", slice(None)), 1),
     (colour_net("L"), 3), (colour_net(size=(8, 20)), 10), (colour_net(maps=(101, 2, 3)), 10)],
    ids=["one photo, one map", "one photo", "one map", "fewer than nine", "dead map", "all maps dead",
         "highest layer dead", "one photo, dead layer", "grey", "wide", "more faces than one file holds"],
)  # fmt: skip
def test_little_and_dead_nets_have_a_whole_atlas(tmp_path, net, count):
    photos = levels(count, net.input_shape[1:], colours=net.input_shape[0])
    folder, found = make(tmp_path / "atlas", photos, net, lean=count == 1)
    assert_complete(folder)
    about = json.loads((folder / "data/summary.json").read_text())
    for layer in about["layers"]:
        _, data = script_data((folder / layer["data"]).read_text())
        dead = [entry["map"] for entry in data["maps"] if not entry["strength"]]
        assert len(dead) == layer["dead"] == (found.layers[layer["name"]].active == 0).sum()
        assert [len([n for n in entry["image"] if n >= 0]) for entry in data["maps"]] == [min(count, 9)] * layer["maps"]
    assert about["finding"]
    write = share.write_share(folder, tmp_path / "share.html")
    assert Tags(write.read_text()).names.count("h1") == 1


def test_negative_activations_and_units_without_places_are_shown_too(tmp_path):
    folder, _ = make(tmp_path / "atlas", levels(10), layers=["conv1", "fc4", "relu4"])
    assert_complete(folder)
    about = json.loads((folder / "data/summary.json").read_text())
    assert [layer["grid"] for layer in about["layers"]] == [[12, 12], None, None]


def test_a_net_without_rectifiers_shows_its_last_layer(tmp_path):
    net = colour_net()
    net.layers = {name: layer for name, layer in net.layers.items() if not isinstance(layer, ReLU)}
    _, found = make(tmp_path / "atlas", levels(10), net)
    assert list(found.layers) == ["fc4"]
    assert_complete(tmp_path / "atlas")


# ------------------------------------------------------------------------------------------------------------- share


def test_the_file_to_share_stands_alone(made, tmp_path):
    path = share.write_share(made[0], tmp_path / "share.html", 2)
    page = Tags(path.read_text())
    outside = [address for address in page.loaded if not address.startswith(("#", "data:"))]
    assert not outside and not re.search(r"https?:", path.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["share.html"]
    secrets = [*SECRETS, *(os.fsencode(name) for name in HOSTILE)]
    assert not [secret for secret in secrets if secret in path.read_bytes()]


def test_the_file_to_share_holds_the_strongest_maps_and_their_files(made, tmp_path):
    text = share.write_share(made[0], tmp_path / "share.html", 2).read_text()
    shared = [script_data(call + "\n") for call in re.findall(r'atlas\.add\("relu.*\);(?=\n)', text)]
    assert [name for name, _ in shared] == ["relu1", "relu2", "relu3"]
    for name, data in shared:
        weakest = np.nan_to_num(made[1].layers[name].top.value[:, -1])
        kept = [entry["map"] for entry in data["maps"]]
        assert len(kept) == 2 and min(weakest[kept]) >= max(np.delete(weakest, kept)) and data["more"] == []
        for channel in kept:
            assert f"maps/{name}/{channel:0{data['digits']}}.{data['ext']}" in text


def test_more_faces_than_one_file_holds_can_be_shared(tmp_path):
    make(tmp_path / "atlas", levels(3), colour_net(maps=(101, 2, 3)), layers=["relu1"])
    text = share.write_share(tmp_path / "atlas", tmp_path / "share.html", 101).read_text()
    assert all(f'"{name}":' in text.replace('": ', '":') for name in ("faces/relu1-0.jpg", "faces/relu1-1.jpg"))


def test_more_maps_than_there_are_and_an_atlas_without_photos_can_be_shared(made, photos, tmp_path):
    share.write_share(made[0], tmp_path / "all.html", 1000)
    make(tmp_path / "atlas", photos, show_photos=False, lean=True)
    share.write_share(tmp_path / "atlas", tmp_path / "plain.html", 1)
    assert (tmp_path / "plain.html").stat().st_size < (tmp_path / "all.html").stat().st_size


def test_a_file_too_large_to_mail_is_not_written_and_it_is_said_how_to_shrink_it(made, tmp_path, monkeypatch):
    monkeypatch.setattr(share, "LARGEST", 50_000)
    with pytest.raises(ValueError, match=r"share.html is not written: .* share fewer maps with --share-maps"):
        share.write_share(made[0], tmp_path / "share.html")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------- from Python


def test_from_python_a_net_or_a_file_and_any_photos_will_do(made, photos, tmp_path, capsys):
    save_model(colour_net(), tmp_path / "small.npz")
    out = tmp_path / "atlas"
    written = minideconv.atlas(str(photos), tmp_path / "small.npz", out, share=tmp_path / "s.html", progress=False)
    assert capsys.readouterr() == ("", "")
    assert written.path == out and contents(out) == contents(made[0]) and (tmp_path / "s.html").exists()
    assert written.scan.layers["relu2"].top.value.shape == (6, 9)
    again = minideconv.atlas(levels(4), colour_net(), str(out), ["relu1"], lean=True)
    out, err = capsys.readouterr()
    assert out == "" and "writing about" in err and list(again.scan.layers) == ["relu1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tile": 7}, "tile is 7; give 8 to 512 pixels"), ({"tile": 513}, "tile is 513"),
     ({"layers": ["relu9"]}, "small has no layer 'relu9'"), ({"share": "x.pdf"}, "the name must end in .html"),
     ({"share": "s.html", "share_maps": 0}, "share one map at least"), ({"out": "."}, "it has no name of its own"),
     ({"photos": levels(0)}, "0 photos"), ({"photos": levels(2, colours=1)}, r"expected \(N, H, W, 3\)")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        minideconv.atlas(**{"photos": levels(3), "model": colour_net(), "out": "atlas", **options}, progress=False)
    assert list(tmp_path.iterdir()) == []
