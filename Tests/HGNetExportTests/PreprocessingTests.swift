import Foundation
import HGNetCore
import HGNetExport
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Preprocessing inside an ONNX model")
struct PreprocessingTests {
  let folder = TemporaryFolder()

  private static let network = Size(height: 8, width: 10)
  private static let recipes: [(String, [Transform])] = {
    var recipes: [(String, [Transform])] = []
    for (interpolation, backend) in [
      (Interpolation.bilinear, ResizeBackend.pillow), (.bicubic, .pillow), (.bilinear, .openCV), (.bicubic, .openCV),
      (.nearest, .openCV),
    ] {
      let name = "\(backend.rawValue) \(interpolation.rawValue)"
      let short = Transform.resizeShort(12, interpolation: interpolation, backend: backend)
      recipes.append(("\(name), short side", [short, .centerCrop(network)]))
      recipes.append(("\(name), size", [.resize(network, interpolation: interpolation, backend: backend)]))
      let larger = Size(height: 11, width: 13)
      let resize = Transform.resize(larger, interpolation: interpolation, backend: backend)
      recipes.append(("\(name), size and crop", [resize, .centerCrop(network)]))
    }
    recipes.append(("crop, then size", [.centerCrop(Size(9)), .resize(network)]))
    return recipes
  }()

  // Transforms are those of Pillow and OpenCV, bit by bit; here weights are single precision.
  @Test("Pixels are those of the transforms", arguments: recipes)
  func pixels(name: String, transforms: [Transform]) throws {
    for operatorSet in [11, 17] {
      let options = OnnxExport.Options(operatorSet: operatorSet, preprocessing: transforms)
      try OnnxExport.write(SmallNetwork.make(), options: options, to: folder.file("x.onnx"))
      var graph = OnnxArithmetic(FileManager.default.bytes(folder.file("x.onnx")), until: "x")
      #expect(graph.types.first == "Cast" && !graph.types.contains("Resize"))
      // Smaller and larger, wide, tall (of which Pillow does the columns first), unchanged.
      for (height, width) in [(24, 31), (57, 40), (9, 33), (60, 13), (12, 12), (11, 9)] {
        var random = RandomGenerator(seed: 1, stream: "\(height)")
        let pixels = (0..<height * width * 3).map { _ in UInt8(random.uniform(from: 0, to: 255.99)) }
        let image = try Image(size: Size(height: height, width: width), pixels: pixels)
        let expected = try Transform.tensor(from: image, applying: transforms).values
        let input = OnnxArithmetic.Value(shape: [1, height, width, 3], data: pixels.map(Double.init), isWhole: true)
        let found = try graph.run("x", input: "image", input)
        #expect(found.shape == [1, 3, 8, 10], "\(name) \(height)×\(width)")
        guard found.data.count == expected.count else { continue }
        let differences = expected.indices.map { abs(Double(expected[$0]) - found.data[$0 % 3 * 80 + $0 / 3]) }
        #expect(differences.allSatisfy { $0 <= 1 }, "\(name) \(height)×\(width)")
        #expect(differences.count { $0 > 0 } <= expected.count / 20, "\(name) \(height)×\(width)")
      }
    }
  }
}
