"""Loads the checkpoint that this package writes (written.*) into PaddlePaddle: python check_written.py"""

import numpy
import paddle


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3, bias_attr=False)
        self.bn = paddle.nn.BatchNorm2D(4)
        self.fc = paddle.nn.Linear(4, 2)


def expected(count, offset):
    return numpy.arange(count, dtype="float32") / 8 + offset


network = Network()
rate = paddle.optimizer.lr.LinearWarmup(paddle.optimizer.lr.CosineAnnealingDecay(0.1, 10), 3, 0.0, 0.1)
trained = [parameter for parameter in network.parameters() if not parameter.stop_gradient]
optimizer = paddle.optimizer.Momentum(rate, 0.9, parameters=network.parameters())
missing, unexpected = network.set_state_dict(paddle.load("written.pdparams"))
assert not missing and not unexpected, (missing, unexpected)
for offset, (name, tensor) in enumerate(network.state_dict().items()):
    assert (tensor.numpy().flatten() == expected(tensor.size, offset)).all(), name
states = paddle.load("written.pdopt")
assert len(states) == 1
optimizer.set_state_dict(states[0])
assert rate.last_epoch == 7 and rate.last_lr == 0.0875 and rate.learning_rate.last_epoch == 4, rate.state_dict()
# PaddlePaddle makes its velocities at the first step; without a gradient that multiplies them by the momentum.
sum((parameter * 0).sum() for parameter in trained).backward()
optimizer.step()
velocities = optimizer.state_dict()
for offset, parameter in enumerate(trained):
    velocity = velocities[parameter.name + "_velocity_0"].numpy().flatten()
    assert numpy.allclose(velocity, 0.9 * expected(velocity.size, 100 + offset), rtol=1e-6), parameter.name
progress = paddle.load("written.pdstates")
assert progress["epoch"] == 5 and progress["metric"] == 0.75, progress
averaged = paddle.load("averaged.pdema")
assert (averaged["conv.weight"].numpy().flatten() == expected(108, 0)).all()
best = {"metric": 0, "epoch": 0}
best.update(progress)
paddle.save(best, "/dev/null")
print("PaddlePaddle", paddle.__version__, "loads the checkpoint")
