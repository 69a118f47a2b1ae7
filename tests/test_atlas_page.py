"""The atlas in a real browser, opened from disk as a user does: no server, no network, no special permission."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from atlas_fixture import DEAD, NAMES, make_atlas, make_net, make_photos, read_data
from PIL import Image

import minideconv
from minideconv.atlas.share import write_share
from minideconv.display import display

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

PROGRAMS = [shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")]
pytestmark = [
    pytest.mark.skipif(None in PROGRAMS, reason="needs chromium and chromedriver"),
    pytest.mark.host,  # a page in a browser
]
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
PATIENCE = 30  # seconds


class Page:
    """A browser with one atlas in it."""

    def __init__(self, driver):
        self.driver, self.folder = driver, None

    def open(self, file, address=""):
        """Open a page afresh at an address, and wait until it shows it."""
        self.driver.get("about:blank")
        self.requests()  # what earlier pages asked for is not ours
        self.driver.get(Path(file).absolute().as_uri() + address)
        self.until(lambda: self.run("return document.readyState === 'complete' && here !== null"))
        return self

    def reload(self):
        self.driver.refresh()
        self.until(lambda: self.run("return document.readyState === 'complete' && here !== null"))

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, true):
        return WebDriverWait(self.driver, PATIENCE, poll_frequency=0.02).until(lambda _: true())

    def get(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys):
        """Type where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def shows(self, heading):
        """Wait until the heading says this."""
        return self.until(lambda: self.get("#heading").text == heading)

    @property
    def hash(self):
        return self.run("return location.hash")

    @property
    def focus(self):
        return self.run("const e = document.activeElement; return e.getAttribute('aria-label') || e.textContent")

    def rectangles(self):
        """Where everything lies, except the page's own height."""
        return self.run(
            "const box = (e) => Object.values(e.getBoundingClientRect().toJSON());"
            "return [...document.querySelectorAll('main *')].map(box)"
        )

    def pixels(self, element):
        return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))

    def requests(self):
        """Files that were asked for since this was called last."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url.rsplit("/atlas/", 1)[-1].split("#")[0] for url in urls if url.startswith("file:")]

    def asked(self, count):
        """The first `count` files that are asked for, waiting for them; and what else came meanwhile."""
        files = []
        self.until(lambda: files.extend(self.requests()) or len(files) >= count)
        return files

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def window(self, width, height=800, dark=False):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS[0]
    for argument in ARGUMENTS:  # and not --allow-file-access-from-files: users do not have it
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(PROGRAMS[1]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    return make_atlas(tmp_path_factory.mktemp("plain") / "atlas", photos, make_net())


@pytest.fixture
def page(driver, folder):
    """The atlas of the small net; whatever a test does, the browser's console stays empty."""
    page = Page(driver)
    page.folder = folder
    page.window(1280)
    page.errors(), page.requests()
    page.file = folder / "index.html"
    yield page
    assert page.errors() == []


# ------------------------------------------------------------------------------------------------ opening, addresses


def test_every_level_opens_from_disk(page):
    for address in ("", "#relu2", "#relu2/1", "#relu2/1/3", "#relu2/1/guided/controls"):
        page.open(page.file, address)
        assert page.get("#message").text == ""
        assert len([section for section in page.all("main > section") if section.is_displayed()]) == 1


def test_the_first_screen_is_the_result_and_asks_for_three_files(page):
    page.open(page.file)
    assert sorted(page.asked(3)) == ["faces/front.jpg", "filters/conv1.png", "index.html"]
    assert len(page.all("#net .cell")) == 5 + 7 + 6
    assert len(page.all("#net .how li")) == 6
    assert [link.get_attribute("data-layer") for link in page.all("#layers a")] == ["relu1", "relu2", "relu3"]
    assert page.run("return document.activeElement === document.body")


def test_each_cell_of_the_first_screen_leads_to_its_map(page):
    page.open(page.file)
    links = [cell.get_attribute("href").split("#")[1] for cell in page.all("#net .cell")]
    assert sorted(links) == sorted(f"relu{n}/{m}" for n, maps in ((1, 5), (2, 7), (3, 6)) for m in range(maps))
    page.all("#net .cell")[0].click()
    page.shows(links[0].replace("/", " / "))


@pytest.mark.parametrize("layer", ["relu1", "relu2", "relu3"])
def test_a_deep_link_names_its_map_in_title_heading_and_focus(page, layer):
    for number in (0, 1, 2, 4):
        page.open(page.file, f"#{layer}/{number}")
        assert page.driver.title == f"{layer} / {number} – tiny atlas"
        assert page.get("h2").text == page.focus == f"{layer} / {number}"
        assert f"--layer {layer} --channel {number} --position" in page.get("#command").text
        first = page.get("#blocks [data-pair]").get_attribute("aria-label")
        assert first.startswith(f"{layer} map {number}, projection 1 of 9: ")


def test_back_and_forward_retrace_the_way(page):
    page.open(page.file)
    way = ["The strongest maps of each layer", "relu2", "relu2 / 5", "relu2 / 5 / 2"]
    for selector, heading in zip(("#layers [data-layer=relu2]", "[data-map='5']", "#blocks [data-pair='2']"), way[1:]):
        page.get(selector).click()
        page.shows(heading)
    for heading in way[-2::-1]:
        page.driver.back()
        page.shows(heading)
    for heading in way[1:]:
        page.driver.forward()
        page.shows(heading)


def test_the_rule_leaves_no_steps_behind_for_the_back_button(page):
    page.open(page.file, "#relu2")
    page.get("[data-map='5']").click()
    page.shows("relu2 / 5")
    for rule in ("guided", "gradient"):
        page.get(f"[value={rule}] + span").click()
        page.until(lambda rule=rule: page.hash == f"#relu2/5/{rule}")
    page.driver.back()
    page.shows("relu2")


@pytest.mark.parametrize(
    "address, heading",
    [
        ("#relu9/3", "The strongest maps of each layer"), ("#relu3/9999", "relu3"), ("#relu3/-1", "relu3"),
        ("#%", "The strongest maps of each layer"), ("#relu2/1/10", "relu2 / 1"), ("#relu2/1/2/x", "relu2 / 1 / 2"),
    ],
)  # fmt: skip
def test_a_bad_link_shows_the_nearest_and_says_so(page, address, heading):
    page.open(page.file, address)
    assert page.get("#heading").text == heading
    assert page.get("#message").text == f"“{address[1:]}” is not in this atlas; this is the nearest that is."


def test_the_field_goes_where_one_says(page):
    page.open(page.file, "#relu2/1")
    for text, heading in (
        ("4", "relu2 / 4"),
        ("relu3:2", "relu3 / 2"),
        ("relu1/1/2", "relu1 / 1 / 2"),
        ("relu1", "relu1"),
    ):
        page.get("#goto").send_keys(text, Keys.ENTER)
        page.shows(heading)


# ------------------------------------------------------------------------------------------------ pictures, requests


def test_the_pictures_are_the_projections_of_their_units(page, photos):
    """The mean colour of what is on the screen is that of the projection computed here, for each rule."""
    net, at, k = make_net(), read_data(page.folder, "relu3.js")["maps"][2], 4
    trace = net.forward(net.preprocess([sorted(photos.iterdir())[at["image"][k]]]), until="relu3")
    seen = set()
    for rule in ("deconvnet", "gradient", "guided"):
        p = minideconv.project_patches(
            net, trace, "relu3", image=[0], channel=[2], row=[at["row"][k]], column=[at["column"][k]], rule=rule
        )
        expected = display(p.pixels[..., 0]).mean(axis=(0, 1))
        page.open(page.file, f"#relu3/2/{rule}")
        tile = page.get(f"[data-plane={rule}] [data-pair='{k + 1}']")
        page.until(lambda tile=tile, wanted=expected: abs(page.pixels(tile).mean(axis=(0, 1)) - wanted).max() <= 3)
        seen.add(page.pixels(tile).tobytes())
    assert len(seen) == 3


def test_other_rules_and_controls_are_fetched_only_when_asked_for(page):
    page.open(page.file, "#relu2/6")
    assert sorted(page.asked(4))[-1].startswith("maps/relu2/6.")
    page.get("#controls").click()
    assert page.asked(1) == [f"maps/relu2/6-more.{read_data(page.folder, 'relu2.js')['ext']}"]


def test_a_layer_and_a_map_ask_for_few_files(page):
    page.open(page.file)
    page.asked(3)
    page.get("#layers [data-layer=relu3]").click()
    page.shows("relu3")
    assert page.asked(2) == ["data/relu3.js", "faces/relu3-0.jpg"]
    page.get("#faces a").click()
    names, sheet = page.asked(2)
    assert names == "data/photos.js" and sheet.startswith("maps/relu3/")


def test_the_controls_name_their_likeness(page):
    at = read_data(page.folder, "relu2.js")["maps"][5]
    page.open(page.file, "#relu2/5/controls")
    captions = [caption.text for caption in page.all("#blocks figcaption")]
    assert captions[2] == f"Random weights ρ {at['similar'][0]:.2f}, same switches"
    assert captions[3] == f"Other map, {at['other']} ρ {at['similar'][1]:.2f}, same place"


@pytest.mark.parametrize("address", ["", "#relu2", "#relu2/1/controls", "#relu2/1/3"])
def test_nothing_moves_when_pictures_arrive(page, address):
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*.jpg", "*.png"]})
    before = page.open(page.file, address).rectangles()
    page.errors()  # of the blocked pictures
    page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    after = page.open(page.file, address).rectangles()
    page.until(lambda: page.run("return [...document.images].every((i) => i.hidden || !i.src || i.complete)"))
    assert before == after == page.rectangles()


def test_the_page_stays_small(page):
    """One element a map on the wall; with AlexNet's 384 maps of a layer there are fewer than 900 in all."""
    page.open(page.file, "#relu2")
    page.get("#faces a").click()
    page.until(lambda: page.all("#blocks a"))
    page.get("#controls").click()
    page.until(lambda: page.all("[data-plane=other]"))
    assert page.run("return document.querySelectorAll('*').length") + 384 - len(page.all("#faces *")) < 900


# ----------------------------------------------------------------------------------------------------- going around


def test_keys_alone_lead_from_the_wall_to_a_photo_and_back(page):
    page.open(page.file, "#relu2")
    while "map" not in page.focus:
        page.press(Keys.TAB)
    first = page.focus
    page.press(Keys.ARROW_RIGHT)
    assert page.focus != first
    face, number = page.focus, page.focus.split()[1].rstrip(":")
    page.press(Keys.ENTER)
    page.shows(f"relu2 / {number}")
    while "projection 1 of 9" not in page.focus:
        page.press(Keys.TAB)
    page.press(Keys.ARROW_DOWN)
    tile = page.focus
    assert f"relu2 map {number}, projection 4 of 9" in tile
    page.press(Keys.ENTER)
    page.shows(f"relu2 / {number} / 4")
    assert page.focus == f"relu2 / {number} / 4"
    page.press(Keys.ESCAPE)
    page.shows(f"relu2 / {number}")
    assert page.focus == tile
    page.press(Keys.ESCAPE)
    page.shows("relu2")
    assert page.focus == face
    page.press(Keys.ESCAPE)
    page.shows("The strongest maps of each layer")
    assert page.focus == "relu2"


def test_letters_step_through_maps_layers_and_rules(page):
    page.open(page.file, "#relu2/4")
    for key, address in (
        ("]", "#relu2/5"), ("[", "#relu2/4"), ("2", "#relu2/4/gradient"), ("c", "#relu2/4/gradient/controls"),
        ("1", "#relu2/4/controls"), ("c", "#relu2/4"), ("}", "#relu3"), ("{", "#relu2"),
    ):  # fmt: skip
        page.press(key)
        page.until(lambda address=address: page.hash == address and page.run("return address(here)") == address)
    page.press("?")
    assert page.get("#keys").is_displayed()
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.get("#keys").is_displayed())
    assert page.hash == "#relu2"


def test_letters_in_the_field_are_letters(page):
    page.open(page.file, "#relu2/4")
    page.press("/")
    page.press("c]31?")
    assert page.get("#goto").get_attribute("value") == "c]31?"
    assert page.hash == "#relu2/4" and not page.get("#keys").is_displayed()


def test_letters_can_be_switched_off_and_stay_off(page):
    page.open(page.file, "#relu2/4")
    page.press("?")
    page.get("#letters").click()
    page.press(Keys.ESCAPE)
    page.reload()
    page.press("c]")
    page.press(Keys.ESCAPE)
    page.shows("relu2")
    page.run("localStorage.clear()")


def test_a_marked_picture_is_marked_in_all_blocks(page):
    page.open(page.file, "#relu2/5/controls")
    page.run("document.querySelector('[data-plane=patch] [data-pair=\"3\"]').focus()")
    assert len(page.all(".tile.marked[data-pair='3']")) == 4 and len(page.all("tr.marked")) == 1


def test_the_wall_is_sorted_as_one_chooses(page):
    maps = read_data(page.folder, "relu2.js")["maps"]
    page.open(page.file, "#relu2")
    for sort in ("strength", "variety", "index"):
        page.get(f"[value={sort}] + span").click()
        shown = [int(face.get_attribute("data-map")) for face in page.all("#faces a")]
        assert shown == [m["map"] for m in sorted(maps, key=lambda m: 0 if sort == "index" else -m[sort])]
    page.run("localStorage.clear()")


def test_the_wall_shows_patches_when_asked(page):
    page.open(page.file, "#relu2")
    page.until(lambda: "faces/relu2-0.jpg" in page.requests())
    page.get("[value=patch] + span").click()
    assert page.asked(1) == ["faces/relu2-0-patches.jpg"]


def test_the_box_lies_where_the_unit_looked(page):
    data, net = read_data(page.folder, "relu2.js"), make_net()
    page.open(page.file, "#relu2/1/3")
    row, column = data["maps"][1]["row"][2], data["maps"][1]["column"][2]
    trace = net.forward(net.preprocess([np.zeros((24, 24, 3), np.uint8)]))
    top, left, bottom, right = minideconv.project(net, trace, "relu2", 1, (row, column)).box
    corners = "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
    corners += "return [r.top, r.left, r.bottom, r.right]"
    photo, box = np.array(page.run(corners, "#picture")), np.array(page.run(corners, "#box"))
    expected = np.array([top, left, bottom, right]) * (photo[2] - photo[0]) / 24
    found = box - np.tile(photo[:2], 2)
    assert found == pytest.approx(expected, abs=0.1)
    assert f"box {top},{left}–{bottom},{right}" in page.get("#caption").text


def test_the_projection_fades_in_over_the_photo(page):
    page.open(page.file, "#relu3/2/1")
    assert page.get("#over").value_of_css_property("opacity") == "0"
    page.get("#opacity").send_keys(Keys.END)
    assert page.get("#over").value_of_css_property("opacity") == "1"


def test_other_maps_of_the_same_photo_are_linked(page):
    data = read_data(page.folder, "relu2.js")["maps"]
    image = data[1]["image"][2]
    page.open(page.file, "#relu2/1/3")
    expected = {
        f"relu2/{m['map']}/{m['image'].index(image) + 1}"
        for m in data if m["map"] not in (1, DEAD) and image in m["image"] and m["value"][m["image"].index(image)]
    }  # fmt: skip
    assert {link.get_attribute("href").split("#")[1] for link in page.all("#others a")} == expected


def test_the_histogram_counts_the_active_photos(page):
    at = read_data(page.folder, "relu2.js")["maps"][1]
    page.open(page.file, "#relu2/1")
    assert f"active in {100 * at['active']:.3g} % of {len(NAMES)} photos" in page.get("#strength").text
    filled = [bar for bar in page.all("#bars i") if bar.get_attribute("style") != "height: 0%;"]
    assert len(filled) == sum(count > 0 for count in at["bins"])


def test_the_theme_is_kept(page):
    page.open(page.file)
    colours = []
    for text in ("light", "dark", "auto", "light", "dark"):
        page.get("#theme").click()
        assert page.get("#theme").text == f"theme: {text}"
        colours.append(page.get("body").value_of_css_property("background-color"))
    assert colours[0] != colours[1] and colours[3] == colours[0]

    def kept():
        page.reload()
        return page.get("body").value_of_css_property("background-color") == colours[1]

    page.until(kept)  # what is stored may arrive a little later
    page.run("localStorage.clear()")


def test_a_command_or_link_is_copied_or_offered(page):
    page.open(page.file, "#relu2/1")
    for button, text in (("#copy-command", page.get("#command").text), ("#copy-link", page.driver.current_url)):
        page.get(button).click()
        page.until(lambda text=text: page.get("#message").text in (f"Copied: {text}", f"To copy: {text}"))


# ------------------------------------------------------------------------------------------------ looks, accessibility


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_no_level_is_wider_than_the_window(page, width, dark, tmp_path):
    page.window(width, dark=dark)
    for address in ("", "#relu2", "#relu2/1/controls", "#relu2/1/3/controls"):
        page.open(page.file, address)
        assert page.run("return document.documentElement.scrollWidth <= innerWidth"), address
        page.driver.save_screenshot(str(tmp_path / f"{address[1:].replace('/', '_')}.png"))


@pytest.mark.parametrize("dark", [False, True])
def test_zero_is_grey_in_both_themes(page, dark):
    page.window(1280, dark=dark)
    page.open(page.file, f"#relu2/{DEAD}")
    assert "Not active on any of the 12 photos" in page.get("#strength").text
    page.open(page.file, "#relu2")
    face = page.get(f"[data-map='{DEAD}']")
    page.until(lambda: abs(page.pixels(face)[5:100, 5:100].astype(int) - 128).max() <= 1)


def test_axe_finds_nothing_serious(page):
    script = os.environ.get("AXE_CORE")  # the path of axe.min.js, from `npm install axe-core`
    if not script:
        pytest.skip("AXE_CORE names no axe.min.js")
    for dark in (False, True):
        page.window(1280, dark=dark)
        for address in ("", "#relu2", "#relu2/1/controls", "#relu2/1/3/controls"):
            page.open(page.file, address)
            page.run(Path(script).read_text(encoding="utf-8"))
            found = page.driver.execute_async_script("axe.run().then(arguments[0])")
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == [], address


# ------------------------------------------------------------------------------------------------- other atlases


def test_awkward_names_of_photos_are_text(page):
    names = read_data(page.folder, "photos.js")
    assert len(names) > 6
    page.open(page.file, "#relu2/1")
    for k, image in enumerate(read_data(page.folder, "relu2.js")["maps"][1]["image"], 1):
        page.open(page.file, f"#relu2/1/{k}")
        assert page.run("return document.getElementById('caption').textContent").startswith(names[str(image)] + " · ")
        page.until(lambda: page.run("return document.getElementById('photo').naturalWidth") == 24)
        assert page.driver.title == f"relu2 / 1 / {k} – tiny atlas"
    assert not page.all("main [onerror]")


def test_a_command_names_the_photo_in_the_quotes_of_a_shell(page):
    import shlex

    maps = read_data(page.folder, "relu1.js")["maps"]
    names = read_data(page.folder, "photos.js")
    for k, image in enumerate(maps[0]["image"], 1):
        page.open(page.file, f"#relu1/0/{k}")
        words = shlex.split(page.run("return document.getElementById('command').textContent"))
        assert words[:3] == ["minideconv", "project", names[str(image)]]


def test_awkward_names_of_layers_and_nets_are_text(page, tmp_path, photos):
    names = ("a/b", "</script><b>", "guided")
    make_atlas(tmp_path / "atlas", photos, make_net(names=names, title="</title><i>'\"%"))
    page.open(tmp_path / "atlas" / "index.html")
    assert page.driver.title == "</title><i>'\"% atlas" and page.get("h1").text == "</title><i>'\"%"
    for layer, link in zip(names, page.all("#layers a")):
        assert link.get_attribute("data-layer") == layer
    for number, layer in enumerate(names):
        page.open(tmp_path / "atlas" / "index.html")
        page.all("#layers a")[number].click()
        page.shows(layer)
        page.get("#faces a").click()
        page.until(lambda layer=layer: page.get("#heading").text.startswith(f"{layer} / "))
        assert page.get("#message").text == ""


def test_a_folder_that_was_moved_still_opens(page, tmp_path):
    other = tmp_path / "a b #1 100% 'ü'" / "atlas"
    shutil.copytree(page.folder, other)
    page.open(other / "index.html", "#relu2/1/2")
    page.until(lambda: page.run("return document.getElementById('photo').naturalWidth") == 24)
    assert page.get("#heading").text == "relu2 / 1 / 2"


def test_a_missing_file_is_named(page, tmp_path):
    shutil.copytree(page.folder, tmp_path / "atlas")
    (tmp_path / "atlas" / "data" / "relu2.js").unlink()
    page.open(tmp_path / "atlas" / "index.html", "#relu2/1")
    assert page.get("#message").text == "data/relu2.js cannot be read. Is the folder of the atlas complete?"
    assert all("ERR_FILE_NOT_FOUND" in message for message in page.errors())


def test_one_photo_and_one_map(page, tmp_path):
    make_photos(tmp_path / "photos", NAMES[8:9])
    make_atlas(tmp_path / "atlas", tmp_path / "photos", make_net(maps=(1, 1, 1)))
    page.open(tmp_path / "atlas" / "index.html")
    assert page.get(".facts").text == "1 photo, 3 maps of 3 layers"
    for layer in ("relu1", "relu2", "relu3"):
        if not read_data(tmp_path / "atlas", f"{layer}.js")["maps"][0]["active"]:
            continue
        page.open(tmp_path / "atlas" / "index.html", f"#{layer}/0/controls")
        assert page.get("#message").text == ""
        assert len(page.all("[data-plane=deconvnet] a")) == 1 and len(page.all("#nine tbody tr")) == 1
        assert not page.all("[data-plane=other]")
        page.open(tmp_path / "atlas" / "index.html", f"#{layer}/0/2")
        assert page.get("#heading").text == f"{layer} / 0" and "nearest" in page.get("#message").text


def test_a_dead_layer_says_so(page, tmp_path, photos):
    make_atlas(tmp_path / "atlas", photos, make_net(dead_layer=True))
    page.open(tmp_path / "atlas" / "index.html", "#relu3")
    assert "6 not active on any photo" in page.get("#layer .about:not([hidden])").text
    assert {face.get_attribute("data-value") for face in page.all("#faces a")} == {"not active"}
    page.open(tmp_path / "atlas" / "index.html", "#relu3/2/controls")
    assert "nothing to project" in page.get("#strength").text and not page.get("#blocks").is_displayed()
    page.open(tmp_path / "atlas" / "index.html", "#relu3/2/1")
    assert "not active" in page.get("#caption").text


def test_without_other_rules_the_switch_is_gone(page, tmp_path, photos):
    make_atlas(tmp_path / "atlas", photos, make_net(), lean=True)
    page.open(tmp_path / "atlas" / "index.html", "#relu2/1/guided/controls")
    assert not page.get("#tools").is_displayed()
    assert [figure.get_attribute("data-plane") for figure in page.all("#blocks figure")] == ["deconvnet", "patch"]
    page.press("3")
    assert page.run("return here.rule") == "deconvnet"


def test_without_photos_the_projection_stands_alone(page, tmp_path, photos):
    make_atlas(tmp_path / "atlas", photos, make_net(), show_photos=False)
    page.open(tmp_path / "atlas" / "index.html", "#relu2")
    assert not page.get("#show").is_displayed()
    page.open(tmp_path / "atlas" / "index.html", "#relu2/1")
    assert [figure.get_attribute("data-plane") for figure in page.all("#blocks figure")] == ["deconvnet"]
    page.open(tmp_path / "atlas" / "index.html", "#relu2/1/3")
    assert not page.get("#photo").is_displayed() and page.get("#over").value_of_css_property("opacity") == "1"
    assert not [file for file in page.requests() if "photo" in file]


def test_one_shared_file_stands_alone(page, tmp_path):
    write_share(page.folder, tmp_path / "share.html", 2)
    page.open(tmp_path / "share.html")
    for layer in ("relu1", "relu2", "relu3"):
        page.open(tmp_path / "share.html", f"#{layer}")
        assert len(page.all("#faces a")) == 2
        page.get("#faces a").click()
        page.until(lambda layer=layer: page.get("#heading").text.startswith(f"{layer} / "))
        page.get("#blocks a").click()
        page.until(lambda layer=layer: page.get("#heading").text.endswith("/ 1"))
    dead = f"#relu2/{DEAD}"
    page.open(tmp_path / "share.html", dead)
    assert page.get("#heading").text == "relu2" and "nearest" in page.get("#message").text
    assert {file.rsplit("/", 1)[-1] for file in page.requests()} == {"share.html"}
