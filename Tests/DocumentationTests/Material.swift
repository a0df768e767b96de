import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders

/// Weights and pictures for the code of the articles.
struct Material {
  private let temporary = TemporaryFolder()

  var folder: String { temporary.path }

  /// Random weights of B0.
  func weights(classCount: Int) throws -> String {
    let path = "\(folder)/b0.safetensors"
    let graph = try Model.b0.graph(options: ModelOptions(classCount: classCount))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 5), to: path)
    return path
  }

  /// A picture of noise, which differs with the seed.
  func picture(_ name: String, seed: Int) throws -> String {
    let size = Size(height: 60, width: 70)
    let pixels = (0..<(size.height * size.width * 3)).map { UInt8(truncatingIfNeeded: $0 &* (seed * 2 + 1) >> 3) }
    let path = temporary.file(name)
    if let end = name.lastIndex(of: "/") { try temporary.makeFolder(String(name[..<end])) }
    try Image(size: size, pixels: pixels).write(to: path)
    return path
  }
}
