"""The page's script without a browser: every address that it writes it also reads, and it quotes the source."""

import inspect
import json
import re
import shutil
import subprocess

import pytest

from minideconv.atlas.page import HERE
from minideconv.layers import ReLU

pytestmark = pytest.mark.host  # JavaScript

SCRIPT = (HERE / "atlas.js").read_text(encoding="utf-8")
PRELUDE = """
const vm = require("vm"), fs = require("fs");
const script = fs.readFileSync(process.argv[2], "utf-8");
const { parse, address, crop } = vm.runInThisContext(script + "\\n;({ parse, address, crop })");
const say = (value) => process.stdout.write(JSON.stringify(value));
"""
HOSTILE = ["relu5", "relu5:17", "a/b", "</script>", "100%", "guided", "controls", "17", "ü 😀", "#", "..", "__proto__"]


@pytest.fixture
def node(tmp_path):
    """Runs lines of JavaScript after the page's script and gives back what they `say`."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no node")

    def run(lines):
        file = tmp_path / "test.js"
        file.write_text(PRELUDE + lines, encoding="utf-8")
        done = subprocess.run([program, file, HERE / "atlas.js"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_thousand_drawn_addresses_are_read_back(node):
    assert node(f"const names = {json.dumps(HOSTILE)};" + """
      let seed = 1;
      const draw = (n) => { seed = (seed * 48271) % 2147483647; return seed % n; };
      const layers = names.map((name) => ({ name, maps: 1 + draw(400) })), wrong = [];
      for (let n = 0; n < 1000; n++) {
        const layer = layers[draw(layers.length)], depth = draw(4);
        const place = { layer: depth > 0 ? layer.name : null, map: depth > 1 ? draw(layer.maps) : null,
          pair: depth > 2 ? 1 + draw(9) : null, rule: ["deconvnet", "gradient", "guided"][depth ? draw(3) : 0],
          controls: depth > 0 && draw(2) === 1, lost: false };
        const read = parse(address(place), layers);
        if (JSON.stringify(read) !== JSON.stringify(place)) wrong.push([place, address(place), read]);
      }
      say(wrong);
    """) == []  # fmt: skip


@pytest.mark.parametrize(
    "text, layer, map_, pair, rule, controls, lost",
    [
        ("", None, None, None, "deconvnet", False, False),
        ("#", None, None, None, "deconvnet", False, False),
        ("#relu5/", "relu5", None, None, "deconvnet", False, False),
        ("#relu5:17", "relu5", 17, None, "deconvnet", False, False),
        ("#relu5:17/2/guided", "relu5", 17, 2, "guided", False, False),
        ("#relu5/guided/17/controls/3", "relu5", 17, 3, "guided", True, False),
        ("#relu5/017", "relu5", 17, None, "deconvnet", False, False),
        ("#relu9/3", None, None, None, "deconvnet", False, True),
        ("#relu5/256", "relu5", None, None, "deconvnet", False, True),
        ("#relu5/-1", "relu5", None, None, "deconvnet", False, True),
        ("#relu5/1e1", "relu5", None, None, "deconvnet", False, True),
        ("#relu5/17/0", "relu5", 17, None, "deconvnet", False, True),
        ("#relu5/17/3/4", "relu5", 17, 3, "deconvnet", False, True),
        ("#relu5/17/toString", "relu5", 17, None, "deconvnet", False, True),
        ("#%", None, None, None, "deconvnet", False, True),
        ("#%E0%A4%A/1", None, None, None, "deconvnet", False, True),
        ("#constructor", None, None, None, "deconvnet", False, True),
    ],
)
def test_an_address_leads_to_the_nearest_place_that_there_is(node, text, layer, map_, pair, rule, controls, lost):
    read = node(f"say(parse({json.dumps(text)}, [{{ name: 'relu5', maps: 256 }}]))")
    assert list(read.values()) == [layer, map_, pair, rule, controls, lost]


def test_a_tile_fills_its_element_and_shows_no_other(node):
    """CSS: a percentage p puts the point at p of the picture onto the point at p of the element."""
    style = node("say(crop([3 * 24, 18, 9 * 24], [24, 18, 48]))")
    numbers = [float(n) / 100 for n in re.findall(r"([\d.]+)%", style)]
    for (offset, size, sheet), scale, place in zip([(72, 18, 216), (24, 18, 48)], numbers[:2], numbers[2:]):
        assert scale == pytest.approx(sheet / size)
        assert place * (1 - scale) * size == pytest.approx(-offset)


def test_one_tile_alone_has_no_offset(node):
    assert node("say(crop([0, 18, 18], [0, 18, 18]))") == "background-size:100% 100%;background-position:0% 0%;"


def test_the_lines_of_the_rules_are_those_of_the_source():
    source = inspect.getsource(ReLU.down)
    lines = dict(re.findall(r'^  \["(\w+)", "(.*)"\],$', SCRIPT, re.M))
    assert list(lines) == ["deconvnet", "gradient", "guided"]
    for rule, line in lines.items():
        found = re.search(rf'rule == "{rule}".*?return pixelwise\(lambda signal(?:, y)?: (.*?), signal', source, re.S)[
            1
        ]
        assert found.replace("array_module(signal).", "") == line


def test_the_script_asks_for_nothing_that_fails_from_disk():
    for forbidden in ("fetch(", "XMLHttpRequest", "import ", "pushState", "replaceState", "getImageData", "innerHTML"):
        assert forbidden not in SCRIPT
