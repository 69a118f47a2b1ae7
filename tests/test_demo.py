"""`minideconv demo`: one page, whole and by itself, and true to the net that it shows."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from minideconv import Network, demo, occlude, save_model, to_numpy
from minideconv.datasets import Dataset
from minideconv.experiments.feature_visualization import top_activations
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

VOID = ("meta", "img", "br", "link", "input", "hr")
EVIL = '<script>alert("no & never")</script>'


def small_net(seed=0):
    prepared = Preprocessing(resize=12, crop=12, channels="L", scale=1 / 255, mean=(0.5,), std=(0.3,))
    layers = [
        ("conv1", Conv2d(1, 6, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
        ("conv2", Conv2d(6, 7, 3, padding=1)), ("relu2", ReLU()), ("flatten", Flatten()), ("fc3", Linear(252, 2)),
    ]  # fmt: skip
    return Network(layers, name="tiny<net>", input_shape=(1, 12, 12), preprocessing=prepared, seed=seed,
                   classes=["boot", EVIL])  # fmt: skip


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether tags close in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.text, self.declared = [], [], "", ""
        self.feed(text)
        self.close()

    def handle_decl(self, declaration):
        assert not self.tags and not self.text.strip(), "the doctype comes first"
        self.declared = declaration

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A tiny net, 30 pictures, three snapshots and the page of them: (Shown, path)."""
    folder = tmp_path_factory.mktemp("demo")
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (30, 12, 12, 1), np.uint8), np.arange(30) % 2, ["boot", EVIL], "noise", [])
    (folder / "snapshots").mkdir()
    for epoch, seed in ((0, 5), (2, 6), (9, 0)):
        save_model(small_net(seed), folder / "snapshots" / f"epoch-{epoch:03d}.npz")
    path = demo.write_demo(folder / "a" / "page", small_net(), data, folder / "snapshots", progress=False)
    return demo.gather(small_net(), data, folder / "snapshots"), path


@pytest.fixture(scope="module")
def page(shown):
    return Page(shown[1].read_text(encoding="utf-8"))


def test_the_folder_holds_the_page_and_the_atlas(shown, page):
    assert sorted(path.name for path in shown[1].parent.iterdir()) == ["atlas", "index.html"]
    links = [link["href"] for link in page.all("a")]
    assert links and all((shown[1].parent / link).is_file() for link in links)


def test_the_page_is_well_formed_html(page):
    assert page.declared == "doctype html" and not page.open
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert any(meta.get("name") == "viewport" and "width=device-width" in meta["content"] for meta in page.all("meta"))
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    assert [attributes["aria-labelledby"] for attributes in page.all("section")] == names


def test_every_picture_is_inside_the_page_and_has_words(page):
    images = page.all("img")
    # filters, two for each of 6 maps in two layers, the photo, 6 units in two layers and the control, what was hidden,
    # 4 strips
    assert len(images) == 2 + 2 * 6 * 2 + 1 + 3 * 6 + 1 + 4
    for image in images:
        assert len(image["alt"]) > 8
        start, _, data = image["src"].partition(",")
        assert start == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            assert picture.size == (int(image["width"]), int(image["height"]))


def test_the_page_needs_no_network_and_no_script(shown, page):
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "http" not in shown[1].read_text(encoding="utf-8") and "@import" not in shown[1].read_text(encoding="utf-8")
    assert all("src" not in attributes or tag == "img" for tag, attributes in page.tags)
    assert "prefers-color-scheme: dark" in shown[1].read_text(encoding="utf-8")


def test_names_are_escaped(shown, page):
    text = shown[1].read_text(encoding="utf-8")
    assert EVIL not in text and "tiny<net>" not in text
    assert EVIL in page.text and "tiny<net>" in page.text  # once parsed they are what they were


def test_the_page_says_what_the_net_is_and_gets_right(shown, page):
    net, data = shown[0].net, shown[0].data
    assert str(net) in page.text
    said = to_numpy(net.probabilities(net.preprocessing.scaled(data.images))).argmax(axis=0)
    assert f"It gets {100 * (said == data.labels).mean():.1f} % of these 30 pictures right" in page.text


def test_the_page_warns_and_shows_the_control(page):
    assert "What such a picture shows, and what it does not" in page.text
    assert re.search(r"relu2, control: untrained weights, the same switches .* correlation -?[01]\.\d\d", page.text)


def test_the_maps_shown_are_those_whose_weakest_winner_is_strongest(shown, page):
    net, data = shown[0].net, shown[0].data
    for section in demo.top_nine(shown[0]):
        top = top_activations(net, data.images, section["layer"])
        channels = [one["channel"] for one in section["maps"]]
        others = [c for c in range(len(top.value)) if c not in channels]
        assert channels == sorted(channels) and len(channels) == 6
        assert top.value[channels, 8].min() >= max((top.value[c, 8] for c in others), default=0)
        for one in section["maps"]:
            assert sum(int(n) for n in re.findall(r"(\d+) (?:boot|<script)", one["classes"])) == 9


def test_maps_with_fewer_winners_are_ranked_by_the_winners_they_have():
    value = np.array([[5.0, 1.0, np.nan], [4.0, 3.0, np.nan], [0.0, 0.0, np.nan]])
    assert demo.strongest_maps(value, 2).tolist() == [0, 1]
    assert demo.strongest_maps(value, 1).tolist() == [1]


def test_one_picture_is_hidden_piece_by_piece(shown, page):
    net, data = shown[0].net, shown[0].data
    seen = occlude(net, data.images[29, :, :, 0], size=7, stride=1)
    assert f"A grey square of 7 pixels hides the picture ({EVIL}) piece by piece" in page.text
    assert f"with probability {seen.whole_probability:.2f}, which falls to {seen.probability.min():.2f}" in page.text


def test_the_strips_follow_the_snapshots(shown, page):
    section = demo.evolution(shown[0])
    assert section["epochs"] == [0, 2, 9] and section["layer"] == "relu2" and len(section["strips"]) == 4
    assert "epochs 0, 2, 9" in page.all("img")[-1]["alt"]


def test_the_control_goes_through_untrained_weights():
    first, other = np.random.default_rng(0).normal(size=(2, 4, 1, 5, 5))
    assert demo.mean_correlation(first, first) == pytest.approx(1)
    assert demo.mean_correlation(first, 3 - 2 * first) == pytest.approx(-1)
    expected = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, other)])
    assert demo.mean_correlation(first, other) == pytest.approx(expected)
    assert demo.mean_correlation(first, 0 * first) is None


def test_pictures_become_pngs_with_clear_gaps():
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, 0] = 10, 20, 30, 255
    found = demo.picture(pixels, "words")
    with Image.open(io.BytesIO(base64.b64decode(found["uri"].partition(",")[2]))) as image:
        assert (np.asarray(image) == pixels).all()
    assert (found["alt"], found["width"], found["height"]) == ("words", 3, 2)


def test_a_folder_that_is_a_file_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr(demo, "gather", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ValueError, match="file is a file; give a folder"):
        demo.write_demo(tmp_path / "file" / "page")
    assert (tmp_path / "file").read_text() == "kept"


def test_an_error_leaves_the_page_that_was_there(shown, tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("before")
    monkeypatch.setattr(demo, "SECTIONS", (demo.the_net,))  # the template then lacks what the others give
    monkeypatch.setattr(demo, "gather", lambda *_: shown[0])
    with pytest.raises(Exception, match="undefined"):
        demo.write_demo(tmp_path, progress=False)
    assert (tmp_path / "index.html").read_text() == "before"


def test_a_net_without_maps_is_refused(shown):
    net = Network([("flatten", Flatten()), ("fc1", Linear(144, 2)), ("relu1", ReLU())], input_shape=(1, 12, 12))
    with pytest.raises(ValueError, match="has no ReLU whose maps"):
        demo.gather(net, shown[0].data, shown[1].parents[2] / "snapshots")
