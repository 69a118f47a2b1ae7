"""The operations as plain mathematics on NumPy arrays: one loop an index, nothing shared with the package."""

import math

import numpy as np


def conv2d(x, weight, bias, stride, padding, groups):
    """y[o, r, s, n] = b[o] + Σ_c,i,j x[c, r·SH + i - top, s·SW + j - left, n] · w[o, c, i, j]; zero outside the map."""
    filters, channels, kernel_height, kernel_width = weight.shape
    (top, bottom), (left, right) = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    height = (x.shape[1] - kernel_height) // stride[0] + 1
    width = (x.shape[2] - kernel_width) // stride[1] + 1
    y = np.zeros((filters, height, width, x.shape[3]))
    for o, r, s, n in np.ndindex(y.shape):
        first = o // (filters // groups) * channels  # of the group's channels
        row, column = r * stride[0], s * stride[1]
        patch = x[first : first + channels, row : row + kernel_height, column : column + kernel_width, n]
        y[o, r, s, n] = (patch * weight[o]).sum() + (0 if bias is None else bias[o])
    return y


def pooled_size(size, kernel, stride, padding, ceil_mode):
    """The rule of Caffe and PyTorch: round down or up, and drop a last window that starts beyond the map."""
    before, after = padding
    steps = (size + before + after - kernel) / stride
    count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def max_pool2d(x, kernel_size, stride, padding, ceil_mode):
    """The largest value of every window that lies in the map, and its tap; the first of equals, row by row."""
    channels, height, width, images = x.shape
    out = [pooled_size(*axis, ceil_mode) for axis in zip((height, width), kernel_size, stride, padding)]
    y, switches = np.full((channels, *out, images), -np.inf), np.zeros((channels, *out, images), np.uint8)
    for c, r, s, n in np.ndindex(y.shape):
        for i, j in np.ndindex(*kernel_size):
            row, column = r * stride[0] + i - padding[0][0], s * stride[1] + j - padding[1][0]
            inside = 0 <= row < height and 0 <= column < width
            if inside and x[c, row, column, n] > y[c, r, s, n]:
                y[c, r, s, n], switches[c, r, s, n] = x[c, row, column, n], i * kernel_size[1] + j
    return y, switches


def avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    """The sum of every window over how many of its pixels lie in the map, or in the map and its padding."""
    channels, height, width, images = x.shape
    out = [pooled_size(*axis, ceil_mode) for axis in zip((height, width), kernel_size, stride, padding)]
    y, (top, bottom), (left, right) = np.zeros((channels, *out, images)), *padding
    for c, r, s, n in np.ndindex(y.shape):
        total, count = 0.0, 0
        for i, j in np.ndindex(*kernel_size):
            row, column = r * stride[0] + i - top, s * stride[1] + j - left
            inside = 0 <= row < height and 0 <= column < width
            total += x[c, row, column, n] if inside else 0
            count += inside or (count_include_pad and row < height + bottom and column < width + right)
        y[c, r, s, n] = total / count
    return y


def switch_positions(switches, kernel_size, stride, padding):
    """Where in the unpadded map every switch points: rows and columns, each like `switches`."""
    tap_row, tap_column = np.divmod(switches.astype(int), kernel_size[1])
    rows = np.arange(switches.shape[1])[:, None, None] * stride[0] - padding[0][0] + tap_row
    columns = np.arange(switches.shape[2])[:, None] * stride[1] - padding[1][0] + tap_column
    return rows, columns


def select(x, switches, kernel_size, stride, padding):
    """Read the map where the switches point: what pooling does once its switches are fixed."""
    rows, columns = switch_positions(switches, kernel_size, stride, padding)
    channels, images = np.arange(len(x))[:, None, None, None], np.arange(x.shape[3])
    return x[channels, rows, columns, images]


def local_response_norm(x, size, alpha, beta, k):
    """y[c] = x[c] / (k + alpha / size · Σ x[d]²)^beta over the channels d within size // 2 of c."""
    y = np.zeros(x.shape)
    for c in range(len(x)):
        near = [d for d in range(len(x)) if abs(d - c) <= size // 2]
        y[c] = x[c] / (k + alpha / size * sum(x[d] ** 2 for d in near)) ** beta
    return y


def softmax(logits):
    """p[c, n] = exp(z[c, n]) / Σ exp(z[d, n])."""
    p = np.zeros(logits.shape)
    for c, n in np.ndindex(logits.shape):
        p[c, n] = math.exp(logits[c, n]) / sum(math.exp(z) for z in logits[:, n])
    return p


def cross_entropy(logits, labels):
    """The mean of -log p(label)."""
    p = softmax(logits)
    return -sum(math.log(p[label, n]) for n, label in enumerate(labels)) / len(labels)


def structural_similarity(some, others, inside):
    """SSIM of one picture (C, h, w) as Wang et al. define it, with weights over the pixels that are `inside` alone."""
    channels, height, width = some.shape
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                if not inside[y, x]:
                    continue
                around = [
                    (i, j)
                    for i in range(max(y - 5, 0), min(y + 6, height))
                    for j in range(max(x - 5, 0), min(x + 6, width))
                    if inside[i, j]
                ]
                weight = np.array([np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * 1.5**2)) for i, j in around])
                weight /= weight.sum()
                one, other = (np.array([picture[c, i, j] for i, j in around], float) for picture in (some, others))
                mx, my = (weight * one).sum(), (weight * other).sum()
                vx, vy = (weight * (one - mx) ** 2).sum(), (weight * (other - my) ** 2).sum()
                both = (weight * (one - mx) * (other - my)).sum()
                found.append((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(found) if found else np.nan
