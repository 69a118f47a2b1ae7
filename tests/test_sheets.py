"""Pictures for people: what is on a sheet is what was given, where it belongs, and files are whole or absent."""

import numpy as np
import pytest
from PIL import Image

from minideconv.photo_sheet import Entry, colour, project_sheet
from minideconv.sheet_parts import PAGE
from minideconv.sheets import grid_sheet, save_image

pytestmark = pytest.mark.host  # draws on the host

TEAL, PLUM = (10, 120, 110), (120, 10, 100)  # colours that no box and no text has


def flat(height, width, fill=(90, 91, 92)):
    return np.full((height, width, 3), fill, np.uint8)


def entry(height=11, width=11, caption=("relu1 map 3", "row 5, column 7 · activation 98.2")):
    return Entry(flat(height, width, TEAL), flat(height, width, PLUM), caption)


def extent(sheet, fill):
    """Where a colour is on a sheet: (top, left, bottom, right), half-open, and how many pixels have it."""
    rows, columns = np.nonzero((np.asarray(sheet) == fill).all(axis=-1))
    return (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1), len(rows)


# -------------------------------------------------------------------------------------------------- a photo's sheet


def test_box_frame_and_number_of_an_entry_share_a_colour():
    boxes = [(0, 0, 40, 40), (10, 100, 110, 200), (150, 30, 161, 41)]
    sheet = np.asarray(project_sheet(flat(224, 224), boxes, [entry() for _ in boxes], "title"))
    photo, grid = sheet[:, :680], sheet[:, 680:]
    for i in range(3):
        assert (photo == colour(i)).all(axis=-1).sum() > 200
        assert (grid == colour(i)).all(axis=-1).sum() > 1000


def test_a_box_is_drawn_where_it_is_in_the_photo():
    photo = flat(64, 64)
    photo[20:40, 8:56] = TEAL  # (top, left, bottom, right) = (20, 8, 40, 56), ten sheet pixels to one of the photo
    bare = Entry(flat(5, 5), flat(5, 5), ["unit"])
    sheet = np.asarray(project_sheet(photo, [(20, 8, 40, 56)], [bare], ""))
    (top, left, bottom, right), _ = extent(sheet, TEAL)
    photo_left = 24  # the margin
    outline, _ = extent(sheet[:, :680], colour(0))
    assert outline[1] == photo_left + 80
    assert outline[3] == photo_left + 560
    assert outline[2] - outline[0] == 200  # half-open: 20 rows of 10 pixels
    assert (top, left, bottom, right) == tuple(np.add(outline, (3, 3, -3, -3)))  # the line lies inside the box


@pytest.mark.parametrize(("height", "width"), [(11, 11), (163, 163), (224, 224), (163, 99), (7, 224), (1, 1)])
def test_patch_and_projection_are_shown_at_the_same_size(height, width):
    sheet = project_sheet(flat(224, 224), [(0, 0, height, width)], [entry(height, width)], "title", "footer")
    patch, patch_pixels = extent(sheet, TEAL)
    picture, picture_pixels = extent(sheet, PLUM)
    assert patch_pixels == picture_pixels
    assert (patch[0], patch[2]) == (picture[0], picture[2])  # side by side
    assert patch[3] < picture[1]
    shown_height, shown_width = patch[2] - patch[0], patch[3] - patch[1]
    assert max(shown_height, shown_width) == 400
    assert shown_height == max(1, round(400 * height / max(height, width)))
    assert shown_width == max(1, round(400 * width / max(height, width)))


def test_small_patches_show_their_pixels():
    patch = np.random.default_rng(0).integers(0, 256, (11, 11, 3), dtype=np.uint8)
    sheet = project_sheet(flat(50, 50), [(0, 0, 11, 11)], [Entry(patch, flat(11, 11, PLUM), ["unit"])], "")
    picture, _ = extent(sheet, PLUM)
    shown = np.asarray(sheet)[picture[0] : picture[2], picture[1] - 403 : picture[1] - 3]
    middles = (np.arange(11) * 400 + 200) // 11
    assert np.array_equal(shown[middles][:, middles], patch)


def test_entries_at_one_place_keep_their_colours_apart():
    boxes = [(30, 30, 193, 193)] * 9
    sheet = np.asarray(project_sheet(flat(224, 224), boxes, [entry() for _ in boxes], "title"))[:, :680]
    for i in range(9):
        assert (sheet == colour(i)).all(axis=-1).sum() > 1000


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10, 25])
def test_any_number_of_entries_is_shown(count):
    boxes = [(i, 2 * i, i + 51, 2 * i + 51) for i in range(count)]
    sheet = project_sheet(flat(224, 224), boxes, [entry(51, 51) for _ in boxes], "title", "a footer")
    _, patch_pixels = extent(sheet, TEAL)
    assert patch_pixels == extent(sheet, PLUM)[1]
    assert patch_pixels % count == 0
    assert patch_pixels >= count * 136**2
    for i in range(count):
        assert (np.asarray(sheet) == colour(i)).all(axis=-1).any()
    assert len({colour(i) for i in range(36)}) == 36


def test_tall_and_tiny_photos_are_enlarged_to_the_same_long_side():
    for height, width in ((28, 28), (224, 100), (2000, 3000)):
        sheet = project_sheet(flat(height, width, (1, 2, 3)), [(0, 0, 4, 4)], [entry(4, 4)], "")
        (top, left, bottom, right), _ = extent(sheet, (1, 2, 3))
        assert max(bottom - top, right - left) == 640
        assert (bottom - top) * width == pytest.approx((right - left) * height, rel=0.01)


def test_a_caption_stays_below_its_own_entry():
    boxes = [(0, 0, 51, 51)] * 4
    long, short = entry(caption=("a word " * 40, "x")), entry(caption=("a", "x"))
    one = np.asarray(project_sheet(flat(224, 224), boxes, [short] * 4, "title")).astype(int)
    other = np.asarray(project_sheet(flat(224, 224), boxes, [long, *[short] * 3], "title"))
    rows, columns = np.nonzero(np.abs(one - other).sum(axis=-1))
    tiles = extent(one, TEAL)[0], extent(one, PLUM)[0]
    first_cell = (tiles[0][1], (tiles[0][1] + tiles[1][3]) // 2)
    assert len(rows) > 100  # the words are there
    assert columns.min() > first_cell[0]
    assert columns.max() < first_cell[1]


def test_title_and_long_footer_are_written_inside_the_sheet():
    plain = project_sheet(flat(224, 224), [(0, 0, 9, 9)], [entry()], "")
    full = project_sheet(flat(224, 224), [(0, 0, 9, 9)], [entry()], "A title " * 60, "Some words " * 60 + "\nlast line")
    assert full.width == plain.width
    assert full.height > plain.height
    margins = np.asarray(full)[:, [*range(24), *range(full.width - 22, full.width)]]
    assert np.all(margins == PAGE)
    assert np.any(np.asarray(full)[:50] != PAGE)
    assert np.any(np.asarray(full)[-50:] != PAGE)


def test_letters_the_font_lacks_are_replaced_by_plain_ones():
    written = [np.asarray(grid_sheet([flat(9, 9)], 1, ["x"], title, tile=400)) for title in
               ("Größe é – 3×3 日本", "Gr?o?e e - 3x3 ??")]  # fmt: skip
    expected = np.asarray(grid_sheet([flat(9, 9)], 1, ["x"], "Gro?e e - 3x3 ??", tile=400))
    assert np.array_equal(written[0], expected)
    assert not np.array_equal(written[1], expected)


def test_a_sheet_that_cannot_be_drawn_is_refused():
    photo = flat(224, 224)
    with pytest.raises(ValueError, match="0 boxes and 0 entries"):
        project_sheet(photo, [], [], "title")
    with pytest.raises(ValueError, match="1 boxes and 2 entries; give one box for each"):
        project_sheet(photo, [(0, 0, 9, 9)], [entry(), entry()], "title")
    for box in ((-1, 0, 9, 9), (0, 0, 225, 9), (5, 5, 5, 9), (0, 220, 9, 225)):
        with pytest.raises(ValueError, match=r"box 1 is .* not inside the photo of 224 x 224"):
            project_sheet(photo, [box], [entry()], "title")
    with pytest.raises(ValueError, match=r"expected uint8 \(height, width, 3\), got float64 \(9, 9, 3\)"):
        project_sheet(photo, [(0, 0, 9, 9)], [Entry(flat(9, 9), np.zeros((9, 9, 3)), ["unit"])], "title")


# --------------------------------------------------------------------------------------------------- a grid of tiles


def test_tiles_lie_row_by_row():
    tiles = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    sheet = np.asarray(grid_sheet(tiles, 3, tile=12, gap=2))
    assert sheet.shape == (24 + 12 + 2 + 12 + 24, 24 + 3 * 12 + 2 * 2 + 24, 3)
    for i, tile in enumerate(tiles):
        top, left = 24 + i // 3 * 14, 24 + i % 3 * 14
        assert np.array_equal(sheet[top : top + 12, left : left + 12], tile.repeat(3, 0).repeat(3, 1))
    assert np.all(sheet[38:50, 52:64] == PAGE)  # no sixth tile


def test_tiles_may_keep_their_own_size():
    sheet = grid_sheet([flat(7, 5, TEAL), flat(3, 9, PLUM)], 2, tile=None, gap=1)
    assert extent(sheet, TEAL)[1] == 35
    assert extent(sheet, PLUM)[1] == 27
    assert sheet.size == (24 + 9 + 1 + 9 + 24, 24 + 7 + 24)


def test_each_label_is_below_its_tile():
    tiles = [flat(4, 4, TEAL)] * 4
    bare = np.asarray(grid_sheet(tiles, 2, ["", "", "", ""], tile=60, gap=10)).astype(int)
    labelled = np.asarray(grid_sheet(tiles, 2, ["", "", "", "map 17 and a lot more"], tile=60, gap=10))
    rows, columns = np.nonzero(np.abs(labelled - bare).sum(axis=-1))
    assert len(rows) > 20
    assert rows.min() >= extent(bare, TEAL)[0][2]
    assert columns.min() >= 24 + 70
    assert columns.max() < 24 + 70 + 60 + 6


def test_a_grid_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="grid_sheet: no tiles"):
        grid_sheet([], 3)
    with pytest.raises(ValueError, match="2 labels for 1 tiles"):
        grid_sheet([flat(4, 4)], 3, ["a", "b"])
    for wrong in ({"columns": 0}, {"columns": 1, "tile": 0}, {"columns": 1, "gap": -1}):
        with pytest.raises(ValueError, match="use at least 1, 1 and 0"):
            grid_sheet([flat(4, 4)], **wrong)
    with pytest.raises(ValueError, match=r"got uint8 \(4, 4\)"):
        grid_sheet([np.zeros((4, 4), np.uint8)], 1)


# --------------------------------------------------------------------------------------------------------- saving it


def test_png_keeps_every_pixel_and_jpeg_the_colours(tmp_path):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)  # halved colour resolution would mix these
    for name in ("sheet.png", "sheet.PNG", "sheet.jpg", "sheet.jpeg"):
        save_image(Image.fromarray(stripes), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            error = np.abs(np.asarray(image).astype(int) - stripes).max()
        assert error <= (0 if name.lower().endswith("png") else 20)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"the old one")

    def disk_full(image, part, **options):
        part.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="no space left"):
        save_image(Image.new("RGB", (4, 4)), path)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    image = Image.new("RGB", (4, 4))
    for name in ("sheet", "sheet.gif", "sheet.png.txt"):
        with pytest.raises(ValueError, match=r"end its name in \.png or \.jpg"):
            save_image(image, tmp_path / name)
    with pytest.raises(ValueError, match=r"there is no folder .*missing; create it first"):
        save_image(image, tmp_path / "missing" / "sheet.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder; give a file name in it"):
        save_image(image, str(tmp_path / "folder.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
