"""The ten networks in PaddlePaddle: the other side of the comparison with hgnet.

Written from the published description of the networks. The names of layers and parameters are those of PaddleClas'
checkpoints, and classes are built in the same order, so that PaddlePaddle's internal names (conv2d_0.w_0, ...) agree
as well. Run as a program it checks the counts of parameters, multiply-adds and layers.
"""

import paddle
from paddle import nn
from paddle.nn import functional as F


class LearnableAffineBlock(nn.Layer):
    """scale * x + bias with two scalars."""

    def __init__(self):
        super().__init__()
        one, zero = nn.initializer.Constant(1.0), nn.initializer.Constant(0.0)
        self.scale = self.create_parameter([1], default_initializer=one)
        self.bias = self.create_parameter([1], default_initializer=zero)

    def forward(self, x):
        return self.scale * x + self.bias


class Unit(nn.Layer):
    """Convolution and batch normalisation; with `activation` a ReLU; with `affine` an affine block after that."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, padding=None, activation=True, affine=False):
        super().__init__()
        if padding is None:
            padding = (kernel - 1) // 2
        self.conv = nn.Conv2D(inputs, outputs, kernel, stride, padding, groups=groups, bias_attr=False)
        self.bn = nn.BatchNorm2D(outputs)
        self.activation = activation
        self.affine = affine and activation
        if self.affine:
            self.lab = LearnableAffineBlock()

    def forward(self, x):
        x = self.bn(self.conv(x))
        if self.activation:
            x = F.relu(x)
        return self.lab(x) if self.affine else x


class LightLayer(nn.Layer):
    """A 1x1 unit without activation, then a depthwise one with it."""

    def __init__(self, inputs, outputs, kernel, affine):
        super().__init__()
        self.conv1 = Unit(inputs, outputs, 1, activation=False)
        self.conv2 = Unit(outputs, outputs, kernel, groups=outputs, affine=affine)

    def forward(self, x):
        return self.conv2(self.conv1(x))


class StemV2(nn.Layer):
    def __init__(self, middle, outputs, affine):
        super().__init__()
        self.stem1 = Unit(3, middle, 3, stride=2, affine=affine)
        self.stem2a = Unit(middle, middle // 2, 2, padding="SAME", affine=affine)
        self.stem2b = Unit(middle // 2, middle, 2, padding="SAME", affine=affine)
        self.stem3 = Unit(middle * 2, middle, 3, stride=2, affine=affine)
        self.stem4 = Unit(middle, outputs, 1, affine=affine)
        self.pool = nn.MaxPool2D(2, stride=1, padding="SAME", ceil_mode=True)

    def forward(self, x):
        x = self.stem1(x)
        x = paddle.concat([self.pool(x), self.stem2b(self.stem2a(x))], axis=1)
        return self.stem4(self.stem3(x))


class BlockV2(nn.Layer):
    def __init__(self, inputs, middle, outputs, light, kernel, layers, residual, affine):
        super().__init__()
        self.residual = residual
        self.layers = nn.LayerList()
        for index in range(layers):
            source = inputs if index == 0 else middle
            if light:
                self.layers.append(LightLayer(source, middle, kernel, affine))
            else:
                self.layers.append(Unit(source, middle, kernel, affine=affine))
        self.aggregation_squeeze_conv = Unit(inputs + layers * middle, outputs // 2, 1, affine=affine)
        self.aggregation_excitation_conv = Unit(outputs // 2, outputs, 1, affine=affine)

    def forward(self, x):
        kept = [x]
        for layer in self.layers:
            kept.append(layer(kept[-1]))
        y = self.aggregation_excitation_conv(self.aggregation_squeeze_conv(paddle.concat(kept, axis=1)))
        return y + x if self.residual else y


class EffectiveSqueezeExcitation(nn.Layer):
    sigmoid = staticmethod(F.sigmoid)

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2D(channels, channels, 1)

    def forward(self, x):
        return x * self.sigmoid(self.conv(F.adaptive_avg_pool2d(x, 1)))


class BlockV1(nn.Layer):
    def __init__(self, inputs, middle, outputs, layers, residual):
        super().__init__()
        self.residual = residual
        self.layers = nn.LayerList([Unit(inputs if index == 0 else middle, middle, 3) for index in range(layers)])
        self.aggregation_conv = Unit(inputs + layers * middle, outputs, 1)
        self.att = EffectiveSqueezeExcitation(outputs)

    def forward(self, x):
        kept = [x]
        for layer in self.layers:
            kept.append(layer(kept[-1]))
        y = self.att(self.aggregation_conv(paddle.concat(kept, axis=1)))
        return y + x if self.residual else y


class Stage(nn.Layer):
    def __init__(self, channels, downsample, blocks):
        super().__init__()
        self.has_downsample = downsample
        if downsample:
            self.downsample = Unit(channels, channels, 3, stride=2, groups=channels, activation=False)
        self.blocks = nn.Sequential(*[block() for block in blocks])

    def forward(self, x):
        return self.blocks(self.downsample(x) if self.has_downsample else x)


class Network(nn.Layer):
    """Stem, four stages and the classifier; `forward` gives logits [N, classes] for pictures [N, 3, H, W]."""

    def __init__(self, row, class_num=1000, class_expand=2048, dropout_prob=None, use_last_conv=True, use_lab=None):
        super().__init__()
        affine = row.get("affine", False) if use_lab is None else use_lab
        if "layers" in row:
            stem = row["stem"]
            self.stem = nn.Sequential(
                *[Unit(([3] + stem)[i], stem[i], 3, stride=2 if i == 0 else 1) for i in range(len(stem))]
            )
            self.pool = nn.MaxPool2D(3, stride=2, padding=1)
        else:
            self.stem = StemV2(*row["stem"], affine)
        self.stages = nn.LayerList()
        for inputs, middle, outputs, count, downsample, *rest in row["stages"]:
            blocks = []
            for index in range(count):
                source = inputs if index == 0 else outputs
                blocks.append(block_maker(row, source, middle, outputs, rest, index > 0, affine))
            self.stages.append(Stage(inputs, downsample, blocks))
        self.use_last_conv = use_last_conv
        self.affine = affine and use_last_conv
        self.avg_pool = nn.AdaptiveAvgPool2D(1)
        if use_last_conv:
            self.last_conv = nn.Conv2D(outputs, class_expand, 1, bias_attr=False)
            if affine:
                self.lab = LearnableAffineBlock()
            probability = row.get("dropout", 0.0) if dropout_prob is None else dropout_prob
            self.dropout = nn.Dropout(probability, mode="downscale_in_infer")
        self.fc = nn.Linear(class_expand if use_last_conv else outputs, class_num)

    def features(self, x):
        """The outputs of the four stages."""
        x = self.stem(x)
        if hasattr(self, "pool"):
            x = self.pool(x)
        results = []
        for stage in self.stages:
            x = stage(x)
            results.append(x)
        return results

    def classify(self, x):
        """Logits from the output of the last stage."""
        x = self.avg_pool(x)
        if self.use_last_conv:
            x = F.relu(self.last_conv(x))
            x = self.dropout(self.lab(x) if self.affine else x)
        return self.fc(paddle.flatten(x, start_axis=1))

    def forward(self, x):
        return self.classify(self.features(x)[-1])


def block_maker(row, inputs, middle, outputs, rest, residual, affine):
    if "layers" in row:
        return lambda: BlockV1(inputs, middle, outputs, row["layers"], residual)
    return lambda: BlockV2(inputs, middle, outputs, *rest, residual, affine)


# Stages: inputs, middle, outputs, blocks, downsample; in the second family also light, kernel, layers.
ROWS = {
    "PPHGNetV2_B0": dict(stem=[16, 16], affine=True, stages=[
        (16, 16, 64, 1, False, False, 3, 3), (64, 32, 256, 1, True, False, 3, 3),
        (256, 64, 512, 2, True, True, 5, 3), (512, 128, 1024, 1, True, True, 5, 3)]),
    "PPHGNetV2_B1": dict(stem=[24, 32], affine=True, stages=[
        (32, 32, 64, 1, False, False, 3, 3), (64, 48, 256, 1, True, False, 3, 3),
        (256, 96, 512, 2, True, True, 5, 3), (512, 192, 1024, 1, True, True, 5, 3)]),
    "PPHGNetV2_B2": dict(stem=[24, 32], affine=True, stages=[
        (32, 32, 96, 1, False, False, 3, 4), (96, 64, 384, 1, True, False, 3, 4),
        (384, 128, 768, 3, True, True, 5, 4), (768, 256, 1536, 1, True, True, 5, 4)]),
    "PPHGNetV2_B3": dict(stem=[24, 32], affine=True, stages=[
        (32, 32, 128, 1, False, False, 3, 5), (128, 64, 512, 1, True, False, 3, 5),
        (512, 128, 1024, 3, True, True, 5, 5), (1024, 256, 2048, 1, True, True, 5, 5)]),
    "PPHGNetV2_B4": dict(stem=[32, 48], stages=[
        (48, 48, 128, 1, False, False, 3, 6), (128, 96, 512, 1, True, False, 3, 6),
        (512, 192, 1024, 3, True, True, 5, 6), (1024, 384, 2048, 1, True, True, 5, 6)]),
    "PPHGNetV2_B5": dict(stem=[32, 64], stages=[
        (64, 64, 128, 1, False, False, 3, 6), (128, 128, 512, 2, True, False, 3, 6),
        (512, 256, 1024, 5, True, True, 5, 6), (1024, 512, 2048, 2, True, True, 5, 6)]),
    "PPHGNetV2_B6": dict(stem=[48, 96], stages=[
        (96, 96, 192, 2, False, False, 3, 6), (192, 192, 512, 3, True, False, 3, 6),
        (512, 384, 1024, 6, True, True, 5, 6), (1024, 768, 2048, 3, True, True, 5, 6)]),
    "PPHGNet_tiny": dict(stem=[48, 48, 96], layers=5, stages=[
        (96, 96, 224, 1, False), (224, 128, 448, 1, True), (448, 160, 512, 2, True), (512, 192, 768, 1, True)]),
    "PPHGNet_small": dict(stem=[64, 64, 128], layers=6, stages=[
        (128, 128, 256, 1, False), (256, 160, 512, 1, True), (512, 192, 768, 2, True), (768, 224, 1024, 1, True)]),
    "PPHGNet_base": dict(stem=[96, 96, 160], layers=7, dropout=0.2, stages=[
        (160, 192, 320, 1, False), (320, 224, 640, 2, True), (640, 256, 960, 3, True), (960, 288, 1280, 2, True)]),
}


def build(name, **options):
    """The network of a name, in evaluation mode."""
    network = Network(ROWS[name], **options)
    network.eval()
    return network


# Entries, entries without statistics, learned parameters, statistics, convolutions, affine blocks, multiply-adds.
COUNTS = {
    "PPHGNetV2_B0": (275, 191, 5996550, 12272, 43, 31, 321326464),
    "PPHGNetV2_B1": (275, 191, 6343158, 14088, 43, 31, 489387840),
    "PPHGNetV2_B2": (387, 267, 11221356, 26696, 61, 42, 1137703680),
    "PPHGNetV2_B3": (449, 309, 16292216, 34600, 71, 48, 1770919680),
    "PPHGNetV2_B4": (403, 243, 19796680, 45696, 81, 0, 2734148352),
    "PPHGNetV2_B5": (653, 393, 39569064, 93920, 131, 0, 6538404864),
    "PPHGNetV2_B6": (873, 525, 75256776, 166416, 175, 0, 16840566272),
    "PPHGNet_tiny": (193, 121, 14735864, 15040, 42, 0, 4530447104),
    "PPHGNet_small": (218, 136, 24360872, 20992, 47, 0, 8508610304),
    "PPHGNet_base": (369, 229, 71578184, 46400, 79, 0, 25109564352),
}


def counts(network, side=224):
    """What COUNTS lists, for one network."""
    multiply_adds = []

    def count(layer, inputs, output):
        if isinstance(layer, nn.Conv2D):
            multiply_adds.append(output.size // output.shape[0] * layer.weight.size // layer.weight.shape[0])
        else:
            multiply_adds.append(layer.weight.size)

    layers = network.sublayers()
    hooks = [l.register_forward_post_hook(count) for l in layers if isinstance(l, (nn.Conv2D, nn.Linear))]
    with paddle.no_grad():
        network(paddle.zeros([1, 3, side, side]))
    for hook in hooks:
        hook.remove()
    state = network.state_dict()
    statistics = [n for n in state if n.endswith(("._mean", "._variance"))]
    values = sum(int(v.size) for v in state.values())
    statistic_values = sum(int(state[n].size) for n in statistics)
    return (
        len(state), len(state) - len(statistics), values - statistic_values, statistic_values,
        sum(isinstance(l, nn.Conv2D) for l in layers), sum(isinstance(l, LearnableAffineBlock) for l in layers),
        sum(multiply_adds),
    )


if __name__ == "__main__":
    failed = 0
    for name in ROWS:
        found = counts(build(name))
        failed += found != COUNTS[name]
        print(f"{name:14} {found} {'as expected' if found == COUNTS[name] else f'expected {COUNTS[name]}'}")
    raise SystemExit(1 if failed else 0)
