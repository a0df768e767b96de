import HGNetCore

/// One line of a program as it is shown to people: what is done, what it reads and where its result lives.
package struct ProgramRow: Hashable, Sendable {
  /// The place in the order.
  package var number: Int
  /// The layer's name and, in training, what is done for it.
  package var name: String
  /// The operators in it.
  package var work: String
  /// The buffers that it reads, with the channels of a slice.
  package var reads: [String]
  /// The buffer that it writes, with the channels of a slice.
  package var writes: String
  /// The extents of its result for one picture.
  package var shape: ActivationShape
  /// Bytes of its result for the whole batch.
  package var byteCount: Int
  /// The last step that touches the buffer of its result.
  package var lastStep: Int
}

extension InferenceProgram {
  /// A row for each step.
  package var rows: [ProgramRow] {
    steps.enumerated().compactMap { number, step in
      guard let location = placement.locations[result(of: step)] else { return nil }
      let name: String
      let work: String
      switch step {
      case .layer(let layer): (name, work) = (program.layers[layer].name, program.layers[layer].title)
      case .copy(let copy):
        (name, work) = (program.layer(computing: copy.target)?.name ?? "", "copy to channel \(copy.channel)")
      }
      return ProgramRow(
        number: number, name: name, work: work,
        reads: reads(of: step).compactMap { placement.locations[$0]?.title }, writes: location.title,
        shape: location.shape, byteCount: location.byteCount(batch: batch),
        lastStep: placement.buffers[location.buffer].lastStep)
    }
  }
}

extension TrainingProgram {
  /// A row for each operation, those of the forward pass first.
  package var rows: [ProgramRow] {
    operations.enumerated().compactMap { number, operation in
      let locations = operation.kind.locations(units)
      guard let location = operation.kind.result(units) else { return nil }
      return ProgramRow(
        number: number, name: operation.name, work: operation.kind.title(units),
        reads: locations.filter { $0 != location }.map(\.title), writes: location.title, shape: location.shape,
        byteCount: location.byteCount(batch: batch), lastStep: buffers[location.buffer].lastStep)
    }
  }
}

extension Location {
  /// Bytes of the values of a batch, without gaps.
  func byteCount(batch: Int) -> Int { batch * shape.count * element.byteCount }

  /// The buffer and, of a slice, the first and last channel.
  var title: String {
    // Pixels of 4 KiB are padded by a line of a cache.
    let padding = shape.channels * element.byteCount % 4096 == 0 ? 64 / element.byteCount : 0
    let isWhole = stride == shape.channels || stride == shape.channels + padding
    guard !isWhole || byteOffset > 0 else { return "b\(buffer)" }
    let first = byteOffset / element.byteCount
    return "b\(buffer)[\(first)–\(first + shape.channels - 1)]"
  }
}

extension Layer {
  /// Its operators in their order.
  package var title: String {
    var parts = [kind.title]
    if case .convolution(let convolution, _?) = kind, !convolution.isIdentity { parts.append("batch norm") }
    if hasReLU { parts.append("ReLU") }
    for step in affine {
      switch step {
      case .affine: parts.append("affine block")
      case .dropout: parts.append("dropout")
      }
    }
    if residual != nil { parts.append("add") }
    return parts.joined(separator: " + ")
  }
}

extension Layer.Kind {
  /// The operator in a few words.
  var title: String {
    switch self {
    case .convolution(let convolution, let normalization?) where convolution.isIdentity:
      Operator.batchNormalization(normalization).title
    case .convolution(let convolution, _): Operator.convolution(convolution).title
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      Operator.linear(
        weight: weight, bias: bias, inputFeatures: inputFeatures, outputFeatures: outputFeatures
      ).title
    case .maxPool(let kernel, let stride, let padding):
      Operator.maxPool(kernel: kernel, stride: stride, padding: padding).title
    case .globalAveragePool: Operator.globalAveragePool.title
    case .concatenate: Operator.concatenate.title
    case .copy: "copy"
    case .add: Operator.add.title
    case .gate: Operator.multiplyPerChannel.title
    case .pointwise(let function): Operator.pointwise(function).title
    case .softmax: Operator.softmax.title
    case .decoder(let operation): Operator.decoder(operation).title
    }
  }
}

extension TrainingOperation.Kind {
  /// What it does in a few words.
  func title(_ units: [TrainingUnit]) -> String {
    switch self {
    case .layer(let layer, _, _, _), .decoder(let layer, _, _, _, _): layer.title
    case .convolution(let unit, _): Layer.Kind.convolution(units[unit].convolution, nil).title
    case .weightQuantization: "weights rounded to 8 bits"
    case .quantization: "values rounded to 8 bits"
    case .quantizationGradient: "gradient of a range"
    case .statistics(let unit):
      units[unit].usesBatchStatistics ? "mean and variance of the batch" : "factors and biases"
    case .normalization(let unit, let residual, _):
      [
        units[unit].normalization == nil ? "bias" : "batch norm", units[unit].layer.hasReLU ? "ReLU" : nil,
        units[unit].affine == nil ? nil : "affine block", residual == nil ? nil : "add",
      ].compactMap { $0 }.joined(separator: " + ")
    case .elementwise(let kind, _, _, _): "gradient: \(kind.title)"
    case .normalizationGradient: "gradient of what follows the convolution"
    case .weightGradient: "gradient of the weights"
    case .dataGradient(_, _, let isAdded): isAdded ? "gradient of the input, added" : "gradient of the input"
    case .maxPoolGradient: "gradient of a max pool"
    case .gateGradient: "gradient of a gate"
    case .decoderGradient(let layer, _, _, _, _, _): "gradient: " + layer.title
    }
  }

  /// The array that it writes; the input's for the gradient of weights, which are no array of the program.
  func result(_ units: [TrainingUnit]) -> Location? {
    switch self {
    case .layer(_, _, _, let output), .normalization(_, _, let output), .decoder(_, _, _, _, let output): output
    case .convolution(let unit, _), .statistics(let unit), .normalizationGradient(let unit, _),
      .weightGradient(let unit, _):
      units[unit].convolved
    case .weightQuantization(let unit): units[unit].roundedWeights
    case .quantization(_, let target, _), .quantizationGradient(_, let target, _): target
    case .elementwise(_, let target, _, _), .dataGradient(_, let target, _), .gateGradient(_, _, let target),
      .maxPoolGradient(_, _, _, _, _, let target):
      target
    case .decoderGradient(_, _, _, _, let gradient, let targets): targets.compactMap { $0 }.first ?? gradient
    }
  }
}
