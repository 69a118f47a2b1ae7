"""Every tile of the atlas is the display of a projection, cut to its window and made smaller, and has its place."""

import numpy as np
import pytest
from small import colour_net, levels

from minideconv import project, project_patches
from minideconv.atlas.encode import FACE, face, map_sheet, pitch
from minideconv.atlas.pictures import FIRST, MORE, picture_winners
from minideconv.display import MID_GREY, display, display_many, shrink
from minideconv.experiments.feature_visualization import cut_window
from minideconv.experiments.scanning import scan
from minideconv.experiments.similarity import window_similarity
from minideconv.network import with_random_weights

LAYERS = ["relu1", "relu2", "relu3", "relu4"]
KINDS = FIRST + MORE


class Drawn:
    """An atlas' pictures of a net, and all that is needed to draw them again in the slow way."""

    def __init__(self, folder, channels="RGB", size=(12, 12), layers=LAYERS, count=20, **options):
        self.net = colour_net(channels, size)
        self.photos = levels(count, size, colours=len(channels))
        self.found = scan(self.net, self.photos, layers, batch_size=7)
        self.seen = []
        keep = lambda number, pixels: self.seen.append((number, pixels.copy()))  # noqa: E731
        self.pictures = picture_winners(self.net, self.photos, self.found, folder, each_photo=keep, **options)
        self.trace = self.net.forward(self.net.preprocessing.scaled(self.photos))
        self.control = with_random_weights(self.net)

    def winners(self, layer):
        """(channel, place, image, row, column, value) of every winner."""
        top = self.found.layers[layer].top
        for channel, place in np.argwhere(top.image >= 0):
            yield channel, place, *(field[channel, place] for field in top)

    def plane(self, layer, kind, channel, image, row, column, value):
        """One projection by definition: the whole plane of its photo."""
        net = self.control if kind == "random" else self.net
        rule = kind if kind in ("gradient", "guided") else "deconvnet"
        if kind == "other":
            maps = len(self.found.layers[layer].active)
            channel = (channel + maps // 2) % maps
        return project(net, self.trace, layer, channel, (row, column), image=image, rule=rule, value=value).pixels

    def corner(self, layer, row, column):
        """Where a window begins in the photo, as the page computes it."""
        places = self.pictures[layer]
        return [
            0 if whole else start + stride * place
            for whole, start, stride, place in zip(places.whole, places.start, places.stride, (row, column))
        ]

    def cut(self, layer, pixels, row, column):
        """A whole plane (C, H, W) in a unit's window, zero where it hangs over: (C, h, w)."""
        (top, left), (height, width) = self.corner(layer, row, column), self.pictures[layer].window
        cut = np.zeros((len(pixels), height, width), pixels.dtype)
        for y, x in np.ndindex(height, width):
            if 0 <= top + y < pixels.shape[1] and 0 <= left + x < pixels.shape[2]:
                cut[:, y, x] = pixels[:, top + y, left + x]
        return cut


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return Drawn(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module", params=["small tiles", "BGR", "grey", "tall", "wide, small tiles"])
def others(request, tmp_path_factory):
    options = {
        "small tiles": {"tile": 5}, "BGR": {"channels": "BGR"}, "grey": {"channels": "L"},
        "tall": {"size": (20, 8)}, "wide, small tiles": {"size": (8, 20), "tile": 7},
    }[request.param]  # fmt: skip
    return Drawn(tmp_path_factory.mktemp("tiles"), count=9, **options)


def assert_tiles_are_projections(drawn, kind, layers=LAYERS):
    for layer in layers:
        tiles, order = drawn.pictures[layer].tiles(), drawn.net.preprocessing.channels
        for channel, place, *unit in drawn.winners(layer):
            cut = drawn.cut(layer, drawn.plane(layer, kind, channel, *unit), *unit[1:3])
            wanted = display(shrink(cut[..., None], *tiles.shape[3:5])[..., 0], channels=order)
            tile = tiles[channel, KINDS.index(kind), place].astype(int)
            # means and random weights are no integers: sums in another order may give a level's neighbour
            exact = kind != "random" and cut.shape[1:] == tiles.shape[3:5]
            assert np.abs(tile - wanted).max() <= (not exact), (layer, channel, place)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_tile_is_the_display_of_its_projection(drawn, kind):
    assert_tiles_are_projections(drawn, kind)
    assert any((drawn.pictures[layer].tiles()[:, KINDS.index(kind)] != MID_GREY).any() for layer in LAYERS)


def test_every_tile_is_the_display_of_its_projection_in_any_net(others):
    for kind in KINDS[1:]:
        assert_tiles_are_projections(others, kind)


def assert_patches_are_photos(drawn):
    for layer in LAYERS:
        tiles = drawn.pictures[layer].tiles()
        for channel, place, image, row, column, _ in drawn.winners(layer):
            photo, window = drawn.photos[image], drawn.pictures[layer].window
            cut = cut_window(photo, *drawn.corner(layer, row, column), *window)
            small = shrink(cut.transpose(2, 0, 1)[..., None].astype(float), *tiles.shape[3:5])[..., 0]
            wanted = np.broadcast_to(np.rint(small).transpose(1, 2, 0), tiles.shape[3:])
            assert np.abs(tiles[channel, 0, place].astype(int) - wanted).max() <= (small.shape != cut.shape)


def test_every_patch_is_the_photo_in_the_same_window(drawn):
    assert_patches_are_photos(drawn)
    assert drawn.pictures["relu1"].shape[3:5] == (3, 3)


def test_every_patch_is_the_photo_in_the_same_window_in_any_net(others):
    assert_patches_are_photos(others)


def assert_places_agree(drawn):
    for layer in LAYERS:
        units = list(drawn.winners(layer))
        channel, _, image, row, column, _ = (np.array(field) for field in zip(*units))
        seen = project_patches(drawn.net, drawn.trace, layer, image=image, channel=channel, row=row, column=column)
        assert drawn.pictures[layer].window == seen.pixels.shape[1:3]
        corners = [drawn.corner(layer, *place) for place in zip(row, column)]
        assert corners == np.stack([seen.top, seen.left], axis=1).tolist()


def test_places_agree_with_those_of_project_patches(drawn):
    assert_places_agree(drawn)
    assert [drawn.pictures[layer].whole for layer in LAYERS] == [(False, False)] * 2 + [(True, True)] * 2
    assert [drawn.pictures[layer].window for layer in LAYERS] == [(3, 3), (8, 8), (12, 12), (12, 12)]


def test_places_agree_in_any_net_also_where_only_one_axis_is_outgrown(others):
    assert_places_agree(others)
    if others.net.input_shape[1:] == (20, 8):
        assert others.pictures["relu3"].window == (18, 8) and others.pictures["relu3"].whole == (False, True)


@pytest.mark.parametrize(("channels", "options"), [("RGB", {}), ("BGR", {"tile": 6})])
def test_a_scan_without_a_full_nine_is_grey_where_there_is_no_winner(tmp_path, channels, options):
    drawn = Drawn(tmp_path, channels, count=4, **options)
    for layer in LAYERS:
        tiles = drawn.pictures[layer].tiles()
        assert tiles.shape[:3] == (len(drawn.found.layers[layer].active), 6, 9)
        assert (tiles[:, :, 4:] == MID_GREY).all() and np.isnan(drawn.pictures[layer].similar[:, 4:]).all()
        assert (tiles[:, 0, :4] != MID_GREY).any()


def test_random_weights_have_the_real_switches(drawn):
    channel, place, image, row, column, value = next(drawn.winners("relu2"))
    own = drawn.control.forward(drawn.net.preprocessing.scaled(drawn.photos))
    wrong = project(drawn.control, own, "relu2", channel, (row, column), image=image, value=value).pixels
    right = drawn.plane("relu2", "random", channel, image, row, column, value)
    tile = drawn.pictures["relu2"].tiles()[channel, KINDS.index("random"), place].astype(int)
    different = [np.abs(tile - display(drawn.cut("relu2", plane, row, column))).max() for plane in (right, wrong)]
    assert different[0] <= 1 < different[1]


def test_random_weights_leave_the_net_as_it_is_and_are_the_same_every_time():
    net = colour_net()
    before = {name: value.copy() for name, value in net.parameters().items()}
    one, other = with_random_weights(net), with_random_weights(net)
    for name, value in net.parameters().items():
        assert (value == before[name]).all() and value is not one.parameters()[name]
        assert (one.parameters()[name] == other.parameters()[name]).all()
    assert (one.layers["conv2"].weight != net.layers["conv2"].weight).mean() > 0.9
    assert one.preprocessing == net.preprocessing and one.name == "small with random weights"
    assert [*map(repr, one.layers.values())] == [*map(repr, net.layers.values())]


def test_the_likeness_of_a_control_is_that_of_its_window(drawn):
    for layer in LAYERS:
        channel, place, image, row, column, value = (np.array(field) for field in zip(*drawn.winners(layer)))
        maps = len(drawn.found.layers[layer].active)
        places = {"image": image, "row": row, "column": column, "value": value}
        true = project_patches(drawn.net, drawn.trace, layer, channel=channel, **places)
        controls = [
            project_patches(drawn.control, drawn.trace, layer, channel=channel, **places),
            project_patches(drawn.net, drawn.trace, layer, channel=(channel + maps // 2) % maps, **places),
        ]
        for number, control in enumerate(controls):
            found = drawn.pictures[layer].similar[channel, place, number]
            np.testing.assert_allclose(found, window_similarity(true, control, (12, 12)), rtol=0, atol=1e-3)
    assert np.isfinite(drawn.pictures["relu2"].similar).any()


def test_only_photos_that_won_are_shown_each_once(drawn):
    winners = np.unique(np.concatenate([layer.top.image for layer in drawn.found.layers.values()]))
    assert [number for number, _ in drawn.seen] == winners[winners >= 0].tolist()
    assert all((pixels == drawn.photos[number]).all() for number, pixels in drawn.seen)


def test_lean_pictures_are_the_first_two_kinds_and_no_likeness(tmp_path, drawn):
    (tmp_path / "lean").mkdir()
    lean = picture_winners(drawn.net, drawn.photos, drawn.found, tmp_path / "lean", more=False)
    for layer in LAYERS:
        assert (lean[layer].tiles() == drawn.pictures[layer].tiles()[:, :2]).all() and lean[layer].similar is None


def test_a_layer_below_others_is_drawn_alike_alone(tmp_path, drawn):
    found = drawn.found._replace(layers={"relu2": drawn.found.layers["relu2"]})
    alone = picture_winners(drawn.net, drawn.photos, found, tmp_path)["relu2"]
    assert (alone.tiles() == drawn.pictures["relu2"].tiles()).all()


# ------------------------------------------------------------------------------------------------ tiles as pictures


def some_tiles(count=9, height=11, width=11):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_a_sheet_has_a_row_for_each_kind_on_a_grid_of_eights():
    tiles = some_tiles(18, 5, 17).reshape(2, 9, 5, 17, 3)
    sheet = map_sheet(tiles)
    assert [pitch(n) for n in (1, 8, 9, 96)] == [8, 8, 16, 96] and sheet.shape == (16, 9 * 24, 3)
    for row, column in np.ndindex(2, 9):
        cell = sheet[row * 8 : row * 8 + 8, column * 24 : column * 24 + 24]
        assert (cell[:5, :17] == tiles[row, column]).all() and (cell[5:] == MID_GREY).all()
        assert (cell[:, 17:] == MID_GREY).all()


@pytest.mark.parametrize(("height", "width"), [(3, 3), (11, 11), (48, 48), (96, 96), (24, 96), (96, 10), (1, 1)])
def test_a_face_shows_nine_tiles_in_their_shape_in_the_middle_of_a_square(height, width):
    tiles = np.full((9, height, width, 3), MID_GREY, np.uint8)
    tiles[:5] = 250  # the first row, and two of the second
    shown = face(tiles, signed=False)
    assert shown.shape == (FACE, FACE, 3)
    rows, columns = np.nonzero(shown[..., 0] != MID_GREY)
    tall, wide = rows.max() + 1 - rows.min(), columns.max() + 1 - columns.min()
    assert tall / wide == pytest.approx(2 / 3 * height / width, rel=0.1)
    assert max(1.5 * tall, wide) >= 0.9 * FACE and columns.min() == pytest.approx(FACE - 1 - columns.max(), abs=1)
    count = (shown[..., 0] == 250).sum()
    assert count == pytest.approx(5 / 6 * tall * wide, rel=0.05)


def test_projections_in_a_face_have_full_contrast_again():
    tiles = some_tiles(9, 96, 96)
    small = display_many(shrink(tiles.transpose(3, 1, 2, 0).astype(np.float32) - MID_GREY, 48, 48))
    assert (face(tiles)[:48, 48:96] == small[1]).all() and np.ptp(face(tiles)) > np.ptp(face(tiles, signed=False))
