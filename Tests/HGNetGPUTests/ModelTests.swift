import HGNetCPU
import HGNetCore
import HGNetGPU
import HGNetModels
import HGNetProgram
import Testing

extension GPUTests {
  /// The ten models at full size against the processor's engine.
  @Suite("GPU: models", .enabled(if: TestDevice.isThere), .serialized) struct ModelTests {
    /// Batches and sizes; the large models, which take seconds each in software, have one.
    private static let extents = [
      RunExtent(batch: 1, inputSize: Size(224)), RunExtent(batch: 3, inputSize: Size(height: 193, width: 160)),
      RunExtent(batch: 8, inputSize: Size(96)),
    ]
    private static let large: Set<String> = ["PPHGNetV2_B5", "PPHGNetV2_B6", "PPHGNet_small", "PPHGNet_base"]
    static let names = TestDevice.isQuick ? ["PPHGNetV2_B0"] : Model.all.map(\.name)

    /// The largest distance from the processor's logits in float32, as a part of the largest logit.
    private func distance(
      _ name: String, _ extents: [RunExtent], _ precision: Precision, _ tiles: TileChoice = .fitting
    ) throws -> Float {
      let graph = try Model.named(name).graph(options: ModelOptions(), inputSize: Size(224))
      let program = try Program(graph)
      let parameters = Model.randomParameters(for: graph, seed: 3)
      let gpu = try TestDevice.engine(tiles).compile(program, parameters: parameters, precision: precision)
      let cpu = try CPUEngine(pool: ThreadPool()).compile(program, parameters: parameters, precision: .float32)
      var worst: Float = 0
      for extent in extents {
        let pictures = TestDevice.pictures(extent.batch, extent.inputSize)
        let expected = try cpu.session(extent).run(pictures)[0].values
        let found = try gpu.session(extent).run(pictures)[0].values
        let largest = expected.reduce(0) { max($0, abs($1)) }
        for (one, other) in zip(expected, found) {
          let distance = abs(one - other) / largest
          if !(distance <= worst) { worst = distance.isNaN ? .infinity : distance }
        }
      }
      if TestDevice.isVerbose {
        print("\(name) in \(precision.rawValue)\(tiles.usesMatrices ? "" : ", no matrices"): \(worst)")
      }
      return worst
    }

    @Test("Logits are the processor's within 1e-5 of the largest", arguments: names)
    func logits(name: String) throws {
      let extents = ModelTests.large.contains(name) ? [RunExtent(batch: 1, inputSize: Size(96))] : ModelTests.extents
      #expect(try distance(name, extents, .float32) <= 1e-5)
    }

    @Test("In float16 they are within 2e-3, on matrix units and without", arguments: names, [true, false])
    func halves(name: String, usesMatrices: Bool) throws {
      guard try TestDevice.engine().fastestPrecision == .float16 else { return }
      let tiles = TileChoice(usesMatrices: usesMatrices)
      let extents = name == "PPHGNetV2_B0" ? ModelTests.extents : [RunExtent(batch: 2, inputSize: Size(96))]
      #expect(try distance(name, extents, .float16, tiles) <= 2e-3)
    }
  }
}
