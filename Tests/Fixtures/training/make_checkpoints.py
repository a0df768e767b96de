"""Checkpoints of a small network as PaddlePaddle writes them, and their numbers: python make_checkpoints.py"""

import paddle


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3, bias_attr=False)
        self.bn = paddle.nn.BatchNorm2D(4)
        self.fc = paddle.nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean([2, 3]))


def numbers(tensor):
    return " ".join(float(value).hex() for value in tensor.astype("float64").numpy().flatten())


with open("paddle.tsv", "w") as table:
    for kind in ("momentum", "adamw"):
        with paddle.utils.unique_name.guard():
            paddle.seed(3)
            network = Network()
            cosine = paddle.optimizer.lr.CosineAnnealingDecay(0.1, 10)
            if kind == "momentum":
                rate = paddle.optimizer.lr.LinearWarmup(cosine, 3, 0.0, 0.1)
                optimizer = paddle.optimizer.Momentum(rate, 0.9, parameters=network.parameters())
            else:
                rate = cosine
                optimizer = paddle.optimizer.AdamW(rate, parameters=network.parameters())
            for _ in range(4):
                network(paddle.rand([2, 3, 8, 8])).sum().backward()
                optimizer.step()
                optimizer.clear_grad()
                rate.step()
            state = optimizer.state_dict()
            paddle.save(network.state_dict(), kind + ".pdparams")
            paddle.save([state], kind + ".pdopt")
            paddle.save({"metric": 0.625, "epoch": 3}, kind + ".pdstates")
            for name, tensor in network.state_dict().items():
                print(kind, "parameter", name, numbers(tensor), sep="\t", file=table)
            for name, tensor in state.items():
                if name != "LR_Scheduler":
                    print(kind, "accumulator", name, numbers(tensor), sep="\t", file=table)
            schedule = rate.state_dict()
            inner = schedule.get("LinearWarmup_LR", {})
            rates = [schedule["last_epoch"], schedule["last_lr"].hex()]
            if inner:
                rates += [inner["last_epoch"], inner["last_lr"].hex()]
            print(kind, "schedule", *rates, sep="\t", file=table)
