"""Controls: what each projection is compared with, and that the numbers are those of the definitions."""

import csv
import dataclasses

import numpy as np
import pytest
from small import colour_net, levels, photo_folder

from minideconv import Network, models, project
from minideconv.backend import to_numpy
from minideconv.deconvnet import strongest
from minideconv.display import display
from minideconv.experiments.controls_report import controls_table, each_control, summary
from minideconv.experiments.sanity_checks import MEASURES, RULES, cascade, controls, other_map
from minideconv.experiments.similarity import rank_correlation, structural_similarity
from minideconv.layers import MaxPool2d, ReLU
from minideconv.network import with_random_weights


@pytest.fixture(scope="module")
def net():
    return colour_net()


@pytest.fixture(scope="module")
def found(net):
    return controls(net, levels(5), "relu2")


def by_definition(net, weights, trace, rule, layer="conv2", channel=None):
    """One image's strongest unit of relu2, projected over the whole plane from the convolution below: (C, H, W)."""
    unit = strongest(trace, "relu2", 1)
    place = int(unit.row[0]), int(unit.column[0])
    channel = int(unit.channel[0]) if channel is None else channel
    return project(weights, trace, layer, channel, place, rule=rule, value=float(unit.value[0])).pixels


def alike(true, other):
    """(rank, rank of sizes, SSIM) of two planes (3, H, W)."""
    everywhere = np.ones((true.size, 1), bool)

    def rank(one, two):
        return rank_correlation(one.reshape(-1, 1), two.reshape(-1, 1), everywhere)[0]

    drawn = (display(picture).transpose(2, 0, 1)[..., None] for picture in (true, other))
    whole = np.ones((*true.shape[1:], 1), bool)
    return [rank(true, other), rank(abs(true), abs(other)), structural_similarity(*drawn, whole)[0]]


def test_from_the_top_down_one_layer_more_is_random_each_time(net):
    random, before = with_random_weights(net), {}
    steps = list(cascade(net, "relu3"))
    assert [name for name, _ in steps] == ["conv3", "conv2", "conv1"]
    for name, changed in steps:
        before[name] = True
        for layer in ("conv1", "conv2", "conv3", "fc4"):
            source = random if layer in before else net
            np.testing.assert_array_equal(to_numpy(changed.layers[layer].weight), to_numpy(source.layers[layer].weight))
    assert np.array_equal(to_numpy(net.layers["conv3"].weight), to_numpy(colour_net().layers["conv3"].weight))


def test_every_number_is_that_of_whole_planes_by_definition():
    """With units whose window is the whole photo nothing is cut, and all pixels are compared."""
    net = colour_net(size=(6, 6))
    photos = levels(3, (6, 6))
    found = controls(net, photos, "relu2")
    steps = list(cascade(net, "conv2"))
    assert found.patch.shape == (6, 6, 3)
    for n in range(3):
        x = net.preprocess(photos[n : n + 1])
        trace = net.forward(x)
        for r, rule in enumerate(RULES):
            true = by_definition(net, net, trace, rule)
            other = by_definition(net, net, trace, rule, channel=(int(found.channel[n]) + 3) % 6)
            pairs = [(found.another_map[:, r, n], other)]
            for s, (_, changed) in enumerate(steps):
                kept = by_definition(net, changed, trace, rule)
                pairs.append((found.real_switches[:, r, s, n], kept))
                own = changed.forward(x)
                unit = int(found.channel[n]), (int(found.row[n]), int(found.column[n]))
                again = project(changed, own, "conv2", *unit, rule=rule, value=float(found.activation[n])).pixels
                pairs.append((found.run_again[:, r, s, n], again))
            for numbers, pixels in pairs:
                wanted = alike(true, pixels) if pixels.any() and true.any() else [np.nan] * 3
                np.testing.assert_allclose(numbers, wanted, atol=1e-5)


def test_the_strongest_units_of_each_photo_are_asked(net, found):
    trace = net.forward(net.preprocess(levels(5)))
    two = controls(net, levels(5), "relu2", units=2)
    for n in range(5):
        unit = strongest(trace, "relu2", 2, image=n)
        assert (found.image[n], found.channel[n], found.row[n], found.column[n]) == (
            n, unit.channel[0], unit.row[0], unit.column[0],
        )  # fmt: skip
        assert found.activation[n] == unit.value[0]
        assert two.channel[2 * n : 2 * n + 2].tolist() == unit.channel.tolist()
    assert two.image.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_on_the_real_trace_the_last_step_is_all_weights_random(net, found):
    trace, random = net.forward(net.preprocess(levels(1))), with_random_weights(net)
    unit = int(found.channel[0]), (int(found.row[0]), int(found.column[0]))
    for r, rule in enumerate(RULES):
        plane = project(random, trace, "conv2", *unit, rule=rule, value=float(found.activation[0])).pixels
        wanted = found.pixels[r, len(found.randomised)]
        assert np.abs(plane).max() == pytest.approx(np.abs(wanted).max(), rel=1e-5)
        assert plane.sum() == pytest.approx(wanted.sum(), rel=1e-4, abs=1e-4 * float(np.abs(plane).sum()))


def test_below_the_lowest_random_layer_nothing_changes_so_the_first_step_has_the_same_switches(found):
    """Only the top layer is random: the maps below it, and so all switches and masks on the way down, are the same."""
    np.testing.assert_array_equal(found.real_switches[:, :, 0], found.run_again[:, :, 0])
    assert not np.array_equal(found.real_switches[:, :, -1], found.run_again[:, :, -1])


def test_batches_do_not_matter(net, found, monkeypatch):
    monkeypatch.setattr("minideconv.experiments.sanity_checks.photos_at_once", lambda *_: 2)
    again = controls(net, levels(5), "relu2")
    for name in ("real_switches", "run_again", "another_map"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), atol=1e-6)
    np.testing.assert_array_equal(again.image, found.image)
    np.testing.assert_array_equal(again.patch, found.patch)


def test_a_limit_takes_photos_evenly(net):
    assert controls(net, levels(10), "relu1", limit=4).image.tolist() == [0, 2, 5, 7]


def test_other_seeds_draw_other_weights(net, found):
    other = controls(net, levels(5), "relu2", seed=7)
    assert not np.array_equal(other.real_switches, found.real_switches)
    np.testing.assert_array_equal(other.another_map, found.another_map)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "relu3", "fc4", "relu4"])
def test_any_layer_with_weights_or_its_relu_can_be_asked(net, layer):
    found = controls(net, levels(3), layer)
    steps = {"conv1": 1, "relu1": 1, "relu3": 3, "fc4": 4, "relu4": 4}[layer]
    assert found.real_switches.shape == found.run_again.shape == (3, 3, steps, 3)
    assert found.pixels.shape[:2] == (3, 2 + 2 * steps) and found.randomised[-1] == "conv1"


def test_photos_without_an_active_unit_have_no_numbers_and_disturb_no_mean():
    net = colour_net()
    net.layers["conv1"].bias = net.layers["conv1"].bias * 0  # so that a black photo makes nothing positive
    photos = levels(3)
    photos[1] = 0
    found = controls(net, photos, "relu1")
    assert np.isnan(found.another_map[:, :, 1]).all() and np.isfinite(found.another_map[:, :, [0, 2]]).all()
    mean, spread = summary(found.another_map)
    np.testing.assert_allclose(mean, found.another_map[:, :, [0, 2]].mean(axis=2))
    np.testing.assert_allclose(spread, found.another_map[:, :, [0, 2]].std(axis=2))


def test_what_has_no_number_at_all_has_no_mean():
    assert np.isnan(summary(np.full((2, 3), np.nan))).all()


def test_broken_photos_are_left_out_and_named(tmp_path, net):
    folder = photo_folder(tmp_path / "p", levels(4), broken=[0])
    found = controls(net, str(folder), "relu2")
    assert found.image.tolist() == [1, 2, 3] and len(found.skipped) == 1 and "000.png" in found.skipped[0]


def test_grey_photos_have_a_grey_patch():
    net = colour_net("L")
    found = controls(net, levels(2, colours=1), "relu2")
    assert found.patch.shape[2] == 3 and found.channels == "L" and found.sheet().width > 500


# ------------------------------------------------------------------------------------------------------ as it is told


def test_the_table_has_a_row_for_each_rule_and_control(found, tmp_path):
    found.save(tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (2 + 2 + 1)
    row = next(row for row in rows if (row["rule"], row["control"]) == ("guided", "another map"))
    assert float(row["ssim_mean"]) == pytest.approx(np.nanmean(found.another_map[2, 2]))
    assert float(row["rank_deviation"]) == pytest.approx(np.nanstd(found.another_map[0, 2]))
    assert row["units"] == "5" and {row["random_down_to"] for row in rows} == {"conv2", "conv1", ""}


def test_the_same_numbers_are_printed(found):
    lines = controls_table(found).splitlines()
    assert [line.split("  ")[0] for line in lines if line and line[0] != " "] == list(RULES)
    mean, spread = summary(found.another_map[:, 0])
    cells = [f"{one:.2f} ± {two:.2f}" for one, two in zip(mean, spread)]
    assert next(line for line in lines if "another map" in line).split("  ")[-1].strip() == cells[-1]
    assert all(cell in next(line for line in lines if "another map" in line) for cell in cells)


def test_each_rule_has_its_sentence(found):
    said = dict(found.findings())
    assert list(said) == list(RULES) and all("from another map" in sentence for sentence in said.values())


@pytest.mark.parametrize(
    ("rank", "words"),
    [(0.9, "hardly depends on which map"), (0.4, "depends in part"), (-0.1, "this map's own")],
)
def test_words_follow_the_numbers(found, rank, words):
    other = np.full_like(found.another_map, rank)
    sentence = dataclasses.replace(found, another_map=other).findings()[0][1]
    assert words in sentence and f" {rank:.2f} from another map" in sentence


@pytest.mark.parametrize(("kept", "again", "traces"), [(0.01, 0.02, False), (0.0, 0.1, True), (0.1, 0.0, True)])
def test_what_untrained_weights_draw_is_told(found, kept, again, traces):
    steps = [np.full_like(found.run_again, value) for value in (kept, again)]
    made = dataclasses.replace(found, real_switches=steps[0], run_again=steps[1])
    assert ("drawn without any trained weight" in made.findings()[0][1]) == traces


def test_chart_and_sheet_show_every_control(found):
    figure, sheet = found.draw(), found.sheet()
    assert [len(axes.get_xticks()) for axes in figure.axes] == [1 + 2 + 1] * 6
    assert [text.get_text() for text in figure.axes[3].get_xticklabels()] == ["true", "conv2", "conv1", "another map"]
    lines = figure.axes[0].containers
    drawn = [container.lines[0].get_ydata().astype(float) for container in lines]
    np.testing.assert_allclose(drawn[0], [1, *summary(found.real_switches[0, 0])[0]])
    np.testing.assert_allclose(drawn[1], [summary(found.another_map[0, 0])[0]])
    assert sheet.width > 600 and len(list(each_control(found))) == 5


def test_arrays_are_kept_without_pickle(found, tmp_path):
    found.save(tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as arrays:
        assert arrays["measures"].tolist() == list(MEASURES) and arrays["randomised"].tolist() == ["conv2", "conv1"]
        np.testing.assert_array_equal(arrays["run_again"], found.run_again)


def test_the_other_map_is_another_one():
    for maps in (2, 3, 10, 257):
        other = other_map(np.arange(maps), maps)
        assert (other != np.arange(maps)).all() and sorted(other) == list(range(maps))


@pytest.mark.parametrize(
    ("net", "layer", "options", "message"),
    [
        (colour_net(), "pool1", {}, "pool1 has neither weights nor is it a ReLU; give one of conv1, relu1, conv2"),
        (colour_net(), "relu9", {}, "small has no layer 'relu9'"),
        (colour_net(), "relu1", {"units": 0}, "units is 0"),
        (colour_net(), "relu1", {"limit": 0}, "limit 0"),
        (models.build("zfnet32"), "relu1", {}, "does not say how photos are prepared"),
        (Network([("pool1", MaxPool2d(2)), ("relu1", ReLU())], preprocessing=colour_net().preprocessing), "relu1", {},
         "below relu1 of network there are no weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_controlled_is_refused(net, layer, options, message):
    with pytest.raises(ValueError, match=message):
        controls(net, levels(1), layer, **options)


def test_no_photos_are_refused_at_the_door():
    with pytest.raises(ValueError, match="0 photos; give one at least"):
        controls(colour_net(), np.zeros((0, 12, 12, 3), np.uint8), "relu2")


def test_where_nothing_has_contrast_nothing_is_said():
    from minideconv.experiments.controls_report import _of_map, _of_weights

    assert _of_map(np.nan) == "of the map nothing can be said"
    assert _of_weights(np.nan, np.nan) == "of the weights nothing can be said"
    assert _of_weights(np.nan, 0.9) == _of_weights(0.9, np.nan) == _of_weights(0.9, 0.0)
