"""Walks through PaddleClas' own tools beside hgnet: the same checkpoint, the same pictures, every printed number.

The package of PyPI holds PaddleClas' networks and its deployment script `predict_cls.py`; its tools `train.py`, `eval.py`,
`infer.py` and `export_model.py` are only in the repository. `HGNET_PADDLECLAS` names a checkout of it; without one the
steps that need those tools are counted as not run.

usage: paddleclas_tools.py HGNET WORK_FOLDER [single | several | accumulated]...
"""

import ast
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

CLASSES = ["red", "green", "blue, deep", "yellow"]
NORMALIZE = {"NormalizeImage": {"scale": "1.0/255.0", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
                                "order": ""}}
DECODE = {"DecodeImage": {"to_rgb": True, "channel_first": False}}
TRAIN = [DECODE, {"ResizeImage": {"size": 64, "interpolation": "bicubic", "backend": "pil"}}, NORMALIZE]
SHORT = [DECODE, {"ResizeImage": {"resize_short": 70, "interpolation": "bicubic", "backend": "pil"}},
         {"CropImage": {"size": 64}}, NORMALIZE]
# Everything else on a line is a duration or a date.
NUMBER = re.compile(r"(lr\(\w+\)|top1|top5|loss|\w+Loss|MultiLabelMAP\(\w+\)): (-?[0-9.]+(?:e-?\d+)?)")


class Walk:
    """A folder with pictures and lists, and the two programs that are run in it."""

    def __init__(self, tool, folder):
        self.tool, self.folder = os.path.abspath(tool), pathlib.Path(folder)
        self.checkout = os.environ.get("HGNET_PADDLECLAS")
        self.package = pathlib.Path(importlib.util.find_spec("paddleclas").submodule_search_locations[0])
        self.passed = self.failed = self.not_run = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.draw()

    def draw(self):
        generator = np.random.default_rng(1)
        (self.folder / "data").mkdir(exist_ok=True)
        single, several = [], []
        tints = np.array([[70, 0, 0], [0, 70, 0], [0, 0, 70], [50, 50, -50]])
        for index in range(24):
            label = index % 4
            height, width = generator.integers(70, 140, 2)
            pixels = generator.normal(110, 30, (height, width, 3)) + tints[label]
            name = f"p{index:02}.{'jpg' if index % 3 else 'png'}"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(self.folder / "data" / name, quality=92)
            single.append(f"{name} {label}")
            several.append(name + "\t" + ",".join("1" if k in (label, 3 * (index % 2)) else "0" for k in range(4)))
        (self.folder / "single.txt").write_text("\n".join(single) + "\n")
        (self.folder / "several.txt").write_text("\n".join(several) + "\n")
        (self.folder / "labels.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(CLASSES)))

    def configuration(self, name, is_multilabel=False, changes=()):
        """Writes a configuration; JSON is YAML."""
        def loader(transforms, shuffle):
            return {"dataset": {"name": "MultiLabelDataset" if is_multilabel else "ImageNetDataset",
                                "image_root": "data",
                                "cls_label_path": "several.txt" if is_multilabel else "single.txt",
                                "transform_ops": transforms},
                    "sampler": {"name": "DistributedBatchSampler", "batch_size": 8, "drop_last": False,
                                "shuffle": shuffle},
                    "loader": {"num_workers": 0, "use_shared_memory": False}}

        loss = [{"MultiLabelLoss": {"weight": 1.0}}] if is_multilabel else [{"CELoss": {"weight": 1.0, "epsilon": 0.1}}]
        post = {"name": "Topk", "topk": 3, "class_id_map_file": "labels.txt"}
        if is_multilabel:
            post = {"name": "MultiLabelThreshOutput", "threshold": 0.4, "class_id_map_file": "labels.txt"}
        content = {
            "Global": {"checkpoints": None, "pretrained_model": "start", "output_dir": "", "device": "cpu",
                       "save_interval": 1, "eval_during_train": True, "eval_interval": 1, "epochs": 3,
                       "print_batch_step": 1, "use_visualdl": False, "image_shape": [3, 64, 64],
                       "save_inference_dir": "", "use_multilabel": is_multilabel},
            "Arch": {"name": "PPHGNetV2_B0", "class_num": 4, "pretrained": False},
            "Loss": {"Train": loss,
                     "Eval": [{"MultiLabelLoss": {"weight": 1.0}}] if is_multilabel else [{"CELoss": {"weight": 1.0}}]},
            "Optimizer": {"name": "Momentum", "momentum": 0.9,
                          "lr": {"name": "Cosine", "learning_rate": 0.002, "warmup_epoch": 1},
                          "regularizer": {"name": "L2", "coeff": 2e-5}},
            "DataLoader": {"Train": loader(TRAIN, True), "Eval": loader(SHORT, False)},
            "Infer": {"infer_imgs": "data", "batch_size": 10, "transforms": SHORT + [{"ToCHWImage": None}],
                      "PostProcess": post},
            "Metric": {"Train": None if is_multilabel else [{"TopkAcc": {"topk": [1]}}],
                       "Eval": [{"MultiLabelMAP": {"map_type": "integral"}}] if is_multilabel
                       else [{"TopkAcc": {"topk": [1]}}]},
        }
        for key, value in changes:
            *path, last = key.split(".")
            section = content
            for part in path:
                section = section[part]
            section[last] = value
        (self.folder / name).write_text(json.dumps(content, indent=1))

    def start_weights(self):
        """Weights that both begin with: PaddleClas' own network and initial values, with statistics of its pictures.

        With the statistics 0 and 1 of a new network the logits of an evaluation would be hundreds.
        """
        code = ("import glob, sys; sys.path.insert(0, sys.argv[1])\n"
                "import numpy, paddle; from PIL import Image; paddle.seed(3)\n"
                "from ppcls.arch.backbone.legendary_models.pp_hgnet_v2 import PPHGNetV2_B0\n"
                "network = PPHGNetV2_B0(class_num=4)\n"
                "pictures = [numpy.asarray(Image.open(f).convert('RGB').resize((64, 64))) for f in sorted(glob.glob('data/*'))]\n"
                "values = (numpy.stack(pictures).transpose(0, 3, 1, 2) / 255 - 0.45) / 0.225\n"
                "for _ in range(60): network(paddle.to_tensor(values.astype('float32')))\n"
                "network.fc.weight.set_value(network.fc.weight * 0.1)\n"
                "paddle.save(network.state_dict(), 'start.pdparams')")
        self.run([sys.executable, "-W", "ignore", "-c", code, str(self.package)])

    def run(self, command, older_programs=True):
        """The standard output and error of a program in the folder.

        `older_programs` has PaddlePaddle 3 write and read `inference.pdmodel`: the deployment script fails on
        `inference.json` (Not find predictor_id 0 and pass_name memory_optimize_pass).
        """
        environment = dict(os.environ, FLAGS_enable_pir_api="0" if older_programs else "1")
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{command[1:4]} ended with {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
        return done.stdout + done.stderr

    def theirs(self, name, *arguments, older_programs=True):
        script = pathlib.Path(self.checkout, "tools", f"{name}.py").resolve()
        return self.run([sys.executable, "-W", "ignore", str(script), *arguments], older_programs)

    def ours(self, *arguments):
        done = subprocess.run([self.tool, *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"hgnet {' '.join(arguments[:3])} ended with {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def check(self, title, is_right, detail):
        self.passed += is_right
        self.failed += not is_right
        print(f"  {'ok  ' if is_right else 'FAIL'} {title}: {detail}", flush=True)

    def skip(self, title):
        self.not_run += 1
        print(f"  not run: {title} (needs HGNET_PADDLECLAS)", flush=True)


def log_numbers(text):
    """The named numbers of all lines of a log, in order."""
    return [(line_kind(line), *pair) for line in text.splitlines() for pair in NUMBER.findall(line)]


def line_kind(line):
    found = re.search(r"\[(Train|Eval)\]\[Epoch [^]]*\](\[Iter[^]]*\]|\[Avg\])", line)
    return found.group(0) if found else ""


def compare_logs(walk, title, theirs, ours, bound):
    """Names and places must be the same, learning rates the same digits, other numbers within a bound."""
    left, right = log_numbers(theirs), log_numbers(ours)
    if [each[:2] for each in left] != [each[:2] for each in right]:
        odd = next((pair for pair in zip(left, right) if pair[0][:2] != pair[1][:2]), (left[-1:], right[-1:]))
        return walk.check(title, False, f"other lines: {len(left)} and {len(right)} numbers; {odd[0]} and {odd[1]}")
    same = sum(a[2] == b[2] for a, b in zip(left, right))
    rates = all(a[2] == b[2] for a, b in zip(left, right) if a[1].startswith("lr"))
    worst = max((abs(float(a[2]) - float(b[2])) / max(1.0, abs(float(a[2])), 1e-12), a, b)
                for a, b in zip(left, right)) if left else (1, None, None)
    detail = f"{same} of {len(left)} numbers are the same digits; largest difference {worst[0]:.1e}"
    if worst[0] > bound:
        detail += f" at {worst[1]} and {worst[2]}"
    walk.check(title, bool(left) and rates and worst[0] <= bound, detail + ("" if rates else "; learning rates differ"))


def printed_lists(text):
    """The dictionaries that `infer` prints, by file."""
    found = {}
    for line in text.splitlines():
        start = line.find("[{")
        if start >= 0:
            for each in ast.literal_eval(line[start:]):
                found[each["file_name"]] = each
    return found


def compare_predictions(walk, title, theirs, ours, digits):
    """The same files, classes and names; scores the same to the last printed digit, or next to it by rounding."""
    same_files = theirs.keys() == ours.keys() and len(theirs) > 0
    names = sum(theirs[f]["class_ids"] == ours[f]["class_ids"] and theirs[f]["label_names"] == ours[f]["label_names"]
                for f in theirs) if same_files else 0
    pairs = [pair for f in theirs for pair in zip(theirs[f]["scores"], ours[f]["scores"])] if same_files else []
    equal = sum(a == b for a, b in pairs)
    is_near = all(abs(a - b) <= 1.01 * 10 ** -digits for a, b in pairs)
    walk.check(title, same_files and names == len(theirs) and is_near,
               f"{names} of {len(theirs)} pictures with the same classes and names, "
               f"{equal} of {len(pairs)} scores with the same digits")


def printed_lines(text):
    """What the deployment script prints for each picture."""
    found = {}
    pattern = re.compile(r"(\S+):\s*class id\(s\): (\[.*?\]), score\(s\): (\[.*?\]), label_name\(s\): (\[.*\])")
    for match in pattern.finditer(text):
        found[match[1]] = {"class_ids": ast.literal_eval(match[2]), "scores": ast.literal_eval(match[3]),
                           "label_names": ast.literal_eval(match[4])}
    return found


def walk_tools(walk, kind, is_multilabel, changes):
    """train, eval, infer, export_model: PaddleClas' checkpoint through both."""
    name = f"{kind}.yaml"
    walk.configuration(name, is_multilabel, changes)
    options = ["-c", name, "-o", f"Global.output_dir={kind}-theirs"]
    walk.theirs("train", *options)
    walk.ours("train", "-c", name, "-o", f"Global.output_dir={kind}-ours")
    log = [(walk.folder / f"{kind}-{side}" / "train.log").read_text() for side in ("theirs", "ours")]
    # A few steps from random values double rounding differences every step.
    compare_logs(walk, f"{kind}: train", *log, bound=2e-2)
    weights = ["-o", f"Global.pretrained_model={kind}-theirs/latest"]
    theirs = walk.theirs("eval", *options, *weights)
    ours = walk.ours("eval", "-c", name, *weights)
    compare_logs(walk, f"{kind}: eval", theirs, ours, bound=1e-4)
    theirs = printed_lists(walk.theirs("infer", *options, *weights))
    ours = printed_lists(walk.ours("infer", "-c", name, *weights))
    compare_predictions(walk, f"{kind}: infer", theirs, ours, digits=5)
    # PaddleClas cannot write the sigmoid of several labels into the older program.
    walk.theirs("export_model", *options, *weights, "-o", f"Global.save_inference_dir={kind}-export-theirs",
                older_programs=not is_multilabel)


def walk_deployment(walk, kind, is_multilabel, checkpoint):
    """predict_cls.py and `hgnet predict -c` on both exports."""
    post = ({"main_indicator": "MultiLabelThreshOutput",
             "MultiLabelThreshOutput": {"threshold": 0.4, "class_id_map_file": "labels.txt"}} if is_multilabel else
            {"main_indicator": "Topk", "Topk": {"topk": 3, "class_id_map_file": "labels.txt"}})
    content = {"Global": {"infer_imgs": "data", "inference_model_dir": "", "batch_size": 3, "use_gpu": False,
                          "enable_mkldnn": False, "cpu_num_threads": 2, "enable_benchmark": False, "use_fp16": False,
                          "ir_optim": True, "use_tensorrt": False, "gpu_mem": 8000, "enable_profile": False},
               "PreProcess": {"transform_ops": [
                   {"ResizeImage": {"resize_short": 70}}, {"CropImage": {"size": 64}},
                   {"NormalizeImage": NORMALIZE["NormalizeImage"] | {"scale": 0.00392157, "channel_num": 3}},
                   {"ToCHWImage": None}]},
               "PostProcess": post}
    name = f"{kind}-deployment.yaml"
    (walk.folder / name).write_text(json.dumps(content))
    walk.ours("export", "-c", f"{kind}.yaml", "-o", f"Global.pretrained_model={checkpoint}",
              "-o", f"Global.save_inference_dir={kind}-export-ours")
    script = str(walk.package / "deploy" / "python" / "predict_cls.py")
    answers = {}
    for side in ("theirs", "ours"):
        folder = f"{kind}-export-{side}"
        if not (walk.folder / folder).exists():
            walk.skip(f"{kind}: PaddleClas' export")
            continue
        override = ["-c", name, "-o", f"Global.inference_model_dir={folder}"]
        if (walk.folder / folder / "inference.pdmodel").exists():
            answers["theirs", side] = printed_lines(walk.run([sys.executable, "-W", "ignore", script, *override]))
        answers["ours", side] = printed_lines(walk.ours("predict", *override))
    judge = ("theirs", "theirs") if ("theirs", "theirs") in answers else ("theirs", "ours")
    first = answers.pop(judge)
    for (program, export), found in answers.items():
        program = {"theirs": "predict_cls.py", "ours": "hgnet predict"}[program]
        export = {"theirs": "PaddleClas' export", "ours": "hgnet's export"}[export]
        compare_predictions(walk, f"{kind}: {program} on {export}", first, found, digits=2)


def main():
    walk = Walk(sys.argv[1], sys.argv[2])
    walk.start_weights()
    kinds = [("single", False, []), ("several", True, []),
             ("accumulated", False, [("Global.update_freq", 2), ("Global.epochs", 4)])]
    wanted = [name for name in sys.argv[3:] if not name.startswith("-")]
    for kind, is_multilabel, changes in kinds:
        if wanted and kind not in wanted:
            continue
        print(f"{kind}:")
        checkpoint = "start"
        if walk.checkout:
            walk_tools(walk, kind, is_multilabel, changes)
            checkpoint = f"{kind}-theirs/latest"
        else:
            walk.configuration(f"{kind}.yaml", is_multilabel, changes)
            walk.skip(f"{kind}: train, eval, infer, export_model")
        walk_deployment(walk, kind, is_multilabel, checkpoint)
    if walk.not_run:
        print(f"{walk.not_run} steps not run; HGNET_PADDLECLAS names a checkout of PaddleClas")
    print(f"{walk.passed} passed, {walk.failed} failed")
    sys.exit(walk.failed > 0)


if __name__ == "__main__":
    main()
