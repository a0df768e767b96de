import HGNet
import HGNetCore
import HGNetVision

extension Distillation {
  /// What frozen networks run on, opened.
  ///
  /// - Parameter device: what is trained on; its threads read pictures, and its precision holds.
  /// - Throws: as `Device.init`, naming the key.
  func teacherDevice(beside device: Device) throws(HGNetError) -> Device {
    guard let choice = teacherDevice else { return device }
    do throws(HGNetError) {
      return try Device(choice, pool: device.pool, precision: device.precision)
    } catch {
      throw HGNetError(error.code, error.message, key: "Arch.teacher_device", cause: error.cause)
    }
  }
}

/// A frozen network of a distillation as the inference engine runs it.
enum TeacherModel {
  /// How many pictures the ranges of a teacher in int8 come from.
  static let pictureCount = 128

  /// Compiles a teacher at its precision.
  ///
  /// In int8 it is quantised first, as `hgnet quantize` does, with the first pictures of the first epoch, which are the same
  /// in every rank and when a run goes on.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - parameters: at least those of the graph.
  ///   - precision: `Arch.teacher_precision`; nil for that of the device.
  ///   - data: what is trained on.
  ///   - device: what it runs on.
  /// - Throws: as `InferenceModel.init`, and what reading pictures throws.
  static func compiled(
    _ graph: Graph, parameters: ParameterStore, precision: PrecisionChoice?, data: TrainingData?, device: Device
  ) throws(HGNetError) -> InferenceModel {
    guard let precision else { return try InferenceModel(graph: graph, parameters: parameters, device: device) }
    let taken = precision.precision ?? device.engine.fastestPrecision
    guard taken == .int8 else {
      return try InferenceModel(graph: graph, parameters: parameters, device: device.computing(with: taken))
    }
    guard let data else {
      throw HGNetError(.noInput, "expected pictures that the ranges of a teacher in int8 come from, found none")
    }
    let pictures = try pictures(of: data)
    var own = ParameterStore()
    for declaration in graph.parameters { own[declaration.name] = parameters[declaration.name] }
    let exact = device.computing(with: .float32)
    let quantized = try Quantizer(graph: graph, device: exact, options: Quantizer.Options()).quantize(
      own, pictures: Quantizer.Pictures(count: pictures.count, labels: nil) { pictures[$0] })
    return try InferenceModel(graph: graph, parameters: quantized.parameters, device: device.computing(with: .int8))
  }

  private static func pictures(of data: TrainingData) throws(HGNetError) -> [PreparedPicture] {
    var data = data
    (data.rank, data.rankCount) = (0, 1)
    var pictures: [PreparedPicture] = []
    let loader = try data.loader(epoch: 0)
    while pictures.count < pictureCount, let batch = try loader.next() {
      pictures += batch.pictures.prefix(pictureCount - pictures.count)
    }
    guard !pictures.isEmpty else {
      throw HGNetError(
        .noInput, "expected pictures that the ranges of a teacher in int8 come from, found none that can be read",
        path: data.dataset.source)
    }
    return pictures
  }
}
