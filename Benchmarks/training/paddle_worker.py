"""Training steps of the reference network in PaddlePaddle, in a process of its own: `paddle_worker.py REQUEST`."""

import json
import os
import pathlib
import sys

os.environ.setdefault("GLOG_minloglevel", "2")

import paddle

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Scripts/parity.d"))

import reference
import workload
from safetensors.numpy import load_file


def main():
    request = json.loads(sys.argv[1])
    paddle.set_device("cpu")
    model = reference.build(request["model"], class_num=request["classes"])
    missing, unused = model.set_state_dict(
        {name: paddle.to_tensor(value) for name, value in load_file(request["weights"]).items()})
    if missing or unused:
        sys.exit(f"missing {missing}, unused {unused}")
    model.train()
    for name, parameter in model.named_parameters():
        if workload.is_normalization(name):
            parameter.regularizer = paddle.regularizer.L2Decay(0.0)
        if workload.is_affine(name):
            parameter.optimize_attr["learning_rate"] = workload.AFFINE_FACTOR
    update = paddle.optimizer.Momentum(
        learning_rate=workload.LEARNING_RATE, momentum=workload.MOMENTUM, parameters=model.parameters(),
        weight_decay=paddle.regularizer.L2Decay(workload.DECAY))
    pictures = paddle.to_tensor(workload.pictures(request["batch"], request["side"]))
    labels = paddle.to_tensor(workload.labels(request["batch"], request["classes"]))
    targets = paddle.nn.functional.label_smooth(
        paddle.nn.functional.one_hot(labels, request["classes"]), epsilon=workload.SMOOTHING)

    def step():
        with paddle.amp.auto_cast(enable=request["mixed"], dtype="bfloat16", level="O1"):
            loss = paddle.nn.functional.cross_entropy(model(pictures), targets, soft_label=True).mean()
        loss.backward()
        update.step()
        update.clear_grad()
        return float(loss)

    workload.measure(request, step, paddle.__version__)


if __name__ == "__main__":
    main()
