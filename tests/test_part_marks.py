"""Marks of parts: read from JSON, and found again in what a net sees; whatever is wrong with them is said."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small import colour_net, levels, photo_folder, preparation

from minideconv.experiments.part_marks import Marks, load_marks, place_marks
from minideconv.images import Preprocessing

OBJECT = [2, 1, 12, 11]
MARKS = {
    "000.png": {"object": OBJECT, "parts": {"eye": [3, 2, 5, 4], "nose": [7, 5, 10, 9]}},
    "001.png": {"object": OBJECT, "parts": {"nose": [6, 5, 9, 8], "eye": [2, 1, 5, 6]}},
}


def changed(photo="000.png", **entry):
    """MARKS with one entry changed: `object`, or a part."""
    marks = json.loads(json.dumps(MARKS))
    for name, box in entry.items():
        (marks[photo] if name == "object" else marks[photo]["parts"])[name] = box
    return marks


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", levels(3))


def test_marks_are_read_in_the_order_of_names(tmp_path):
    (tmp_path / "marks.json").write_text(json.dumps(dict(reversed(MARKS.items()))))
    marks = load_marks(tmp_path / "marks.json")
    assert list(marks) == ["000.png", "001.png"]
    assert marks["000.png"] == Marks((2, 1, 12, 11), {"eye": (3, 2, 5, 4), "nose": (7, 5, 10, 9)})
    assert load_marks(MARKS) == marks == load_marks(marks)


def test_the_committed_marks_are_of_twelve_dogs_with_three_parts_inside_the_head():
    from test_examples import EXAMPLES

    marks = load_marks(EXAMPLES / "dog_parts.json")
    assert len(marks) == 12
    for photo, mark in marks.items():
        assert list(mark.parts) == ["right eye", "left eye", "nose"], photo
        (top, left, bottom, right), boxes = mark.object, mark.parts.values()
        assert all(top <= t and left <= x and b <= bottom and r <= right for t, x, b, r in boxes), photo
        assert mark.parts["right eye"][3] <= mark.parts["left eye"][1]  # the dog's right is at the left of the photo


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON: Expecting property name"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[" * 100000, "nested too deeply"),
        ("[]", "does not map photos to boxes; it has to look like"),
        ("{}", "does not map photos to boxes"),
        ('{"a.png": [1, 2, 3, 4]}', 'a.png: expected "object" and "parts"'),
        ('{"a.png": {"object": [0, 0, 9, 9], "parts": {}}}', '"parts" names no part'),
        ('{"a.png": {"object": [0, 0, 9, 9], "parts": {"eye": [1, 2, 3]}}}', "a.png, eye: [1, 2, 3] is no box"),
        ('{"a.png": {"object": [0, 0, 9, 9], "parts": {"eye": [1, 2, 3, "x"]}}}', "is no box"),
        ('{"a.png": {"object": [0, 0, 9, NaN], "parts": {"eye": [1, 2, 3, 4]}}}', "is no box"),
        *(
            (f'{{"a.png": {{"object": [0, 0, 9, {number}], "parts": {{"eye": [1, 2, 3, 4]}}}}}}', "is no box")
            for number in (10**400, -(10**400), "Infinity", "-1e300", 2**31)
        ),
        ('{"a.png": {"object": [0, 0, 9, 9], "parts": {"eye": [1, 2, 1, 4]}}}', "has no area"),
        ('{"a.png": {"object": [5, 5, 1, 1], "parts": {"eye": [1, 2, 3, 4]}}}', "a.png, object: the box"),
    ],
)  # fmt: skip
def test_json_of_another_form_is_refused(tmp_path, text, message):
    (tmp_path / "marks.json").write_text(text)
    with pytest.raises(ValueError) as refusal:
        load_marks(tmp_path / "marks.json")
    assert message in str(refusal.value) and "marks.json" in str(refusal.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*marks\.json"):
        load_marks(tmp_path / "marks.json")
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff")
    for path, why in ((tmp_path / "photo.json", "no text"), (tmp_path, "directory")):
        with pytest.raises(ValueError, match=f"cannot read .*{why}"):
            load_marks(path)


def test_every_photo_has_the_same_parts():
    marks = changed()
    del marks["001.png"]["parts"]["nose"]
    with pytest.raises(ValueError, match=r"001\.png has no 'nose', others have"):
        load_marks(marks)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"009.png": MARKS["000.png"]}, r"has no photo called 009\.png, which is marked"),
        (changed(nose=[7, 5, 10, 13]), r"000\.png, nose: the box .* lies outside the photo of 12 x 12"),
        (changed(object=[-1, 0, 12, 12]), r"000\.png, object: the box .* lies outside the photo"),
        (changed(object=[2, 1, 4, 11]), r"000\.png, nose: 3 x 4 pixels are larger than .* the object, 2 x 10"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(photos, marks, message):
    with pytest.raises(ValueError, match=message):
        place_marks(colour_net(), photos, load_marks(marks))


def test_a_photo_is_found_in_a_subfolder_unless_there_are_two(photos):
    for name in ("a", "b"):
        (photos / name).mkdir()
        Image.fromarray(levels(1)[0]).save(photos / name / ("x.png" if name == "a" else "000.png"))
    mark = load_marks({"x.png": MARKS["000.png"]})
    assert place_marks(colour_net(), photos, mark).names == ["x.png"]
    assert place_marks(colour_net(), photos, load_marks(MARKS)).names == ["000.png", "001.png"]  # not b/000.png
    (photos / "000.png").rename(photos / "a" / "000.png")
    with pytest.raises(ValueError, match=r"has 2 photos called 000\.png"):
        place_marks(colour_net(), photos, load_marks(MARKS))


def test_a_net_that_sees_the_whole_photo_has_the_boxes_as_they_are(photos):
    marked = place_marks(colour_net(), photos, load_marks(MARKS))
    assert marked.parts == ["eye", "nose"] and marked.x.shape == (3, 12, 12, 2)
    assert marked.boxes.tolist() == [[[3, 2, 5, 4], [2, 1, 5, 6]], [[7, 5, 10, 9], [6, 5, 9, 8]]]
    assert marked.objects.tolist() == [OBJECT, OBJECT]


@pytest.mark.parametrize("crop", ["photo", "object"])
@given(data=st.data())
def test_a_coloured_part_is_found_where_it_was_marked(crop, data):
    """A white box on black, resized by whole numbers and cropped, is white exactly where its mark lands."""
    factor = data.draw(st.sampled_from([1, 2, 3]))
    side, middle = 24, slice(8, 17)  # what is certainly seen: the crop is the middle 12 x 12 of 24 x 24
    top, left = data.draw(st.integers(8, 13)), data.draw(st.integers(8, 13))
    bottom, right = data.draw(st.integers(top + 1, middle.stop)), data.draw(st.integers(left + 1, middle.stop))
    photo = np.zeros((side * factor, side * factor, 3), np.uint8)
    box = [edge * factor for edge in (top, left, bottom, right)]
    photo[box[0] : box[2], box[1] : box[3]] = 255
    net = colour_net()
    net.preprocessing = Preprocessing(resize=side, crop=12, channels="RGB", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    marks = Marks(tuple(factor * edge for edge in (6, 6, 18, 18)), {"part": tuple(box)})
    name = f"the uint8 array of shape {photo.shape}"
    marked = place_marks(net, [photo], load_marks({name: marks}), crop)
    (t, l, b, r), seen = marked.boxes[0, 0], marked.x[0, :, :, 0]  # noqa: E741
    white = np.argwhere(seen > 127)
    assert [t, l, b, r] == [*white.min(axis=0), *(white.max(axis=0) + 1)]
    assert marked.objects[0].tolist() == [0, 0, 12, 12]


def test_the_square_around_an_object_stays_in_the_photo(photos):
    marks = load_marks(changed(object=[2, 0, 12, 4], eye=[3, 0, 5, 4], nose=[7, 1, 10, 2]))
    marked = place_marks(colour_net(), photos, marks, "object")
    assert marked.objects[0].tolist() == [0, 0, 12, 5]  # 10 x 4 pixels of the square of 10, now 12


def test_a_part_beside_the_crop_is_refused_and_the_object_crop_named(photos):
    net = colour_net()
    net.preprocessing = preparation(size=(8, 8))
    with pytest.raises(ValueError, match=r"eye: its box lies outside what small sees .*crop object"):
        place_marks(net, photos, load_marks(changed(object=[0, 0, 12, 12], eye=[0, 0, 3, 3])))
    with pytest.raises(ValueError, match="object: its box lies outside what small sees"):
        place_marks(net, photos, load_marks(changed(object=[0, 0, 2, 2])))


def test_there_are_two_crops(photos):
    with pytest.raises(ValueError, match="crop is 'head'; use one of photo, object"):
        place_marks(colour_net(), photos, load_marks(MARKS), "head")


def test_a_photo_that_cannot_be_read_is_named(photos):
    (photos / "001.png").write_bytes((photos / "001.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"001\.png is damaged or cut short"):
        place_marks(colour_net(), photos, load_marks(MARKS))


def test_photos_have_one_size_where_the_net_does_not_crop(photos):
    net = colour_net()
    net.preprocessing = preparation(size=None)
    Image.fromarray(levels(1, (14, 12))[0]).save(photos / "001.png")
    with pytest.raises(ValueError, match="photos of different sizes, 12 x 12 and 14 x 12 pixels"):
        place_marks(net, photos, load_marks(MARKS))
