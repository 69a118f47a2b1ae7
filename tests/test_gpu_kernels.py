"""The benchmark of single operations runs on any device, and counts what the mathematics needs."""

import re

import gpu_kernels
import pytest

from minideconv.layers import Conv2d, LocalResponseNorm


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gpu_kernels, "median_seconds", lambda work, repeats: (work(), 0.001)[1])


def test_every_operation_of_a_net_is_measured_once(capsys):
    gpu_kernels.main(["--nets", "zfnet28", "zfnet28", "--images", "2", "--gflops", "100", "--gbs", "10"])
    _, limits, _, head, *lines = capsys.readouterr().out.splitlines()
    assert limits == "limits: 100 GFLOP/s, 10 GB/s" and head.split()[0] == "operation"
    assert [line.split()[0] for line in lines] == ["conv2d", "transpose", "weight", "max_pool2d", "unpool"] * 3
    assert all(re.search(r"\d×\d+×\d+ +1\.000 +\d+ +\d+ +\d+ %$", line) for line in lines)


def test_what_is_counted_is_what_a_convolution_and_a_norm_need():
    layer = Conv2d(4, 6, 3, padding=1, groups=2)
    rows = list(gpu_kernels.convolutions(layer, (4, 5, 5, 2), (6, 5, 5, 2)))
    assert [flops for _, _, _, flops, _ in rows] == [2 * (2 * 3 * 3) * (6 * 5 * 5 * 2)] * 3
    assert [size for *_, size in rows] == [4 * (200 + 108 + 300)] * 3
    (_, _, up, flops, size), (*_, down, _, _) = gpu_kernels.norms(LocalResponseNorm(5), (7, 2, 2, 3), (7, 2, 2, 3))
    assert (flops, size, up().shape, down().shape) == (10 * 84, 2 * 4 * 84, (7, 2, 2, 3), (7, 2, 2, 3))


def test_the_limits_are_measured_where_they_are_not_given(monkeypatch):
    monkeypatch.setattr(gpu_kernels, "noise", lambda *shape: gpu_kernels.to_device(gpu_kernels.np.ones((4, 4), "f4")))
    assert gpu_kernels.measured_gbs(1) == pytest.approx(2 * 64 / 0.001 / 1e9)
    assert gpu_kernels.measured_gflops(1) > 0
