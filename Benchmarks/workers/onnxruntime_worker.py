"""ONNX Runtime: all graph optimisations, one intra-op pool, static sizes."""

import onnxruntime

import worker


def load(request, pictures, ending=".onnx"):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, size in zip("NHW", (len(pictures), *pictures.shape[2:])):
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(
        worker.model_path(request, ending), options, providers=["CPUExecutionProvider"])
    answer = []

    def run():
        answer[:] = session.run(None, {"input": pictures})

    return run, lambda: answer[0]


if __name__ == "__main__":
    worker.main(load, onnxruntime.__version__)
