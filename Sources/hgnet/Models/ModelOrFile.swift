import HGNet
import HGNetCore
import HGNetModels

/// What `summary` and `bench` look at: a file with its network, or a model by name.
struct ModelOrFile {
  /// The name of the model, or the path of the file.
  let title: String
  /// The network.
  let graph: Graph
  /// The model, nil for an inference model.
  let model: Model?
  /// The file, nil for a model by name.
  let file: WeightsFile?

  /// Reads a file, or builds a model.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a text that is neither.
  init(_ argument: String, model: Model? = nil, classCount: Int? = nil) throws(HGNetError) {
    title = argument
    guard !ModelSource.isPath(argument) else {
      let opened = try WeightsFile(contentsOf: argument, model: model).told()
      file = opened
      graph = opened.graph
      self.model = opened.model
      return
    }
    let named = try Model.named(argument)
    var options = ModelOptions()
    if let classCount { options.classCount = classCount }
    file = nil
    self.model = named
    graph = try named.graph(options: options)
  }

  /// The parameters of the file, or random ones with a fixed seed, drawn one by one so that they are never all in memory.
  func parameters() -> any ParameterSource {
    if let file { return file.parameters }
    return RandomParameters(graph: graph, seed: 1)
  }

  /// The same, random ones in 8 bits with the ranges of a run on noise where the device computes in int8.
  func parameters(for device: Device) throws(HGNetError) -> any ParameterSource {
    guard file == nil, device.precision == .int8 else { return parameters() }
    let parameters = Model.randomParameters(for: graph, seed: 1)
    var calibration = try Calibration(graph: graph, parameters: parameters, device: .cpu(device.pool))
    try calibration.add(graph.inputSize) { FixedNoise.fill($0) }
    return try QuantizedWeights.quantizing(graph, parameters, ranges: calibration.ranges(.minmax))
  }
}
