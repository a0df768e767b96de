import HGNetCPU

/// What a training session computes gradients for is what an optimiser changes.
extension TrainingParameters: TrainableParameters {}
