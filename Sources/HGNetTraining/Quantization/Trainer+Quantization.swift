import HGNetCore

extension Trainer {
  /// Refuses to go on from a checkpoint of the other kind of training.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` saying how to begin instead.
  func checkQuantization(of checkpoint: CheckpointContents?) throws(HGNetError) {
    guard let checkpoint else { return }
    let hasRanges = QuantizationAwareNetwork.hasRanges(checkpoint.parameters)
    guard hasRanges != (quantization != nil) else { return }
    throw HGNetError(
      .parameterMismatch,
      hasRanges
        ? "expected a checkpoint of plain training, found one of quantisation-aware training; go on with "
          + "-o Slim.quant.name=pact"
        : "expected a checkpoint of quantisation-aware training, as Slim.quant.name says, found one of plain training; "
          + "begin with its weights, -o Global.pretrained_model instead of Global.checkpoints",
      key: "Global.checkpoints")
  }

  /// Weights to begin with and, in quantisation-aware training, the ranges to begin with.
  func calibrated(_ initial: ParameterStore, log: (String) -> Void) throws(HGNetError) -> ParameterStore {
    guard let quantization else { return initial }
    let (parameters, pictures) = try quantization.calibrated(initial, on: training, device: device)
    log(
      "quantisation-aware training (pact): \(parameters.names.count - initial.names.count) ranges, at first those of "
        + "\(pictures) pictures")
    return parameters
  }

  /// What a checkpoint holds: in quantisation-aware training the weights in 8 bits, too.
  func contents(of step: borrowing TrainingStep, _ progress: TrainingProgress) throws(HGNetError) -> CheckpointContents
  {
    var contents = try step.contents(progress)
    contents.quantized = try quantization?.quantized(contents.averaged ?? contents.parameters)
    return contents
  }
}
