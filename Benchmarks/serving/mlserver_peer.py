"""The same for MLServer, which speaks the Open Inference Protocol: a picture in base64, its probabilities.

compare starts it with settings that name this class.
"""

import base64

from classifier import Classifier
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput
from starlette.concurrency import run_in_threadpool


class Peer(MLModel):
    async def load(self):
        self.classifier = Classifier(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        text = payload.inputs[0].data.root[0]
        scores = await run_in_threadpool(self.classifier.scores, base64.b64decode(text))
        output = ResponseOutput(name="probabilities", shape=[1, len(scores)], datatype="FP32", data=scores.tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])
