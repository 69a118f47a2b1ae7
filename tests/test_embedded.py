"""What the package carries: it is there, small, licensed, and the net knows its pictures."""

import numpy as np
import pytest

from minideconv import embedded, load_model, models, save_model, to_numpy
from minideconv.evaluation import evaluate
from minideconv.experiments.snapshots import load_snapshots, snapshots


def test_the_net_gets_nine_of_ten_pictures_right():
    net, data = embedded.embedded_model(), embedded.embedded_images()
    assert evaluate(net, data.images, data.labels).top1 < 0.1
    assert net.classes == data.classes


def test_there_are_a_hundred_pictures_of_each_class_in_order():
    data = embedded.embedded_images()
    assert (data.images.shape, data.images.dtype) == ((1000, 28, 28, 1), np.uint8)
    assert data.labels.tolist() == np.repeat(np.arange(10), 100).tolist()
    assert len(np.unique(data.images.reshape(1000, -1), axis=0)) == 1000


def test_the_snapshots_begin_untrained_and_end_with_the_net():
    found = snapshots(embedded.embedded_snapshots())
    assert found[0][0] == 0 and len(found) >= 4
    nets, net = load_snapshots([path for _, path in found]), embedded.embedded_model()
    for name, value in net.parameters().items():
        assert (nets[-1].parameters()[name] == value).all()
    data = embedded.embedded_images()
    errors = [evaluate(one, data.images, data.labels).top1 for one in (nets[0], nets[-1])]
    assert errors[0] > 0.7 > 0.1 > errors[1]


def test_all_assets_together_stay_under_two_megabytes():
    sizes = [path.stat().st_size for path in embedded.ASSETS.rglob("*") if path.is_file()]
    assert 200_000 < sum(sizes) < 2_000_000


def test_the_licence_of_the_pictures_lies_beside_them():
    text = (embedded.ASSETS / embedded.LICENCE).read_text(encoding="utf-8")
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in text
    assert "Permission is hereby granted, free of charge" in text and "WITHOUT WARRANTY OF ANY KIND" in text


@pytest.mark.parametrize("load", [embedded.embedded_model, embedded.embedded_images, embedded.embedded_snapshots])
def test_an_installation_without_assets_says_so(load, monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"lacks .*install it again"):
        load()


def test_its_name_is_enough_to_load_it_unless_the_cache_has_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))
    weight = load_model("zfnet28").layers["conv1"].weight
    assert (to_numpy(weight) == to_numpy(embedded.embedded_model().layers["conv1"].weight)).all()
    save_model(models.build("zfnet28"), tmp_path / "zfnet28.npz")
    assert (to_numpy(load_model("zfnet28").layers["conv1"].weight) != to_numpy(weight)).any()
