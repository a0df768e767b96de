import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetServing
import HGNetVision
import TemporaryFolders

/// Small models in a folder, and a server's state on them.
final class ServingFixture: Sendable {
  let folder = TemporaryFolder()
  let pool = ThreadPool(count: 2)

  /// Writes a model of five classes with weights of chance.
  func place(_ name: String, version: Int, seed: UInt64, classCount: Int = 5) throws {
    let path = "\(folder.path)/\(name)/\(version)"
    try folder.makeFolder("\(name)/\(version)")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: classCount, classExpand: 64))
    try Safetensors.write(Model.randomParameters(for: graph, seed: seed), to: "\(path)/weights.safetensors")
    try folder.write(Array("0 a\n1 b, c\n2 it's\n3 d\n4 e\n".utf8), to: "\(name)/\(version)/labels.txt")
  }

  func repository(
    limits: Batcher.Limits = Batcher.Limits(), precision: Precision? = .float32,
    log: ServingLog = ServingLog(level: .error, isJSON: false, output: { _ in })
  ) -> ModelRepository {
    ModelRepository(
      source: .folder(ModelFolder(path: folder.path)), device: .cpu(pool, precision: precision), limits: limits,
      log: log)
  }

  /// The state of a server with what has been placed.
  func state(token: String? = nil, limits: Batcher.Limits = Batcher.Limits()) async -> ServingState {
    let models = repository(limits: limits)
    await models.refresh()
    return ServingState(
      repository: models, log: ServingLog(level: .error, isJSON: false, output: { _ in }),
      token: token.flatMap { BearerToken($0) }, requestTimeout: .seconds(30))
  }

  /// The bytes of a picture.
  func picture(seed: Int = 1) throws -> [UInt8] {
    let image = try Image(
      size: Size(height: 90, width: 80),
      pixels: (0..<(90 * 80 * 3)).map { UInt8(truncatingIfNeeded: $0 &* (seed * 2 + 1) >> 3) })
    let path = folder.file("picture-\(seed).png")
    try image.write(to: path)
    return try Blob(mapping: path).withUnsafeBytes { Array($0) }
  }
}
