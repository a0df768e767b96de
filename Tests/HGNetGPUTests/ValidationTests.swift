import CHGNetVulkan
import HGNetCore
import HGNetGPU
import HGNetModels
import HGNetPlatform
import HGNetProgram
import Testing

/// Runs for the validation layers, which `Scripts/check-gpu` puts around them and whose messages it counts.
extension GPUTests {
  @Suite("GPU: validation", .enabled(if: TestDevice.isThere), .serialized) struct ValidationTests {
    private func run(_ engine: GPUEngine) throws {
      let graph = try Model.named("PPHGNetV2_B0").graph(options: ModelOptions(classCount: 10), inputSize: Size(64))
      let compiled = try engine.compile(
        Program(graph), parameters: Model.randomParameters(for: graph, seed: 5), precision: .float32)
      for batch in [1, 2] {
        let extent = RunExtent(batch: batch, inputSize: Size(64))
        let session = try compiled.session(extent, memory: nil, isTimed: batch == 2)
        for _ in 0..<2 { _ = try session.run(TestDevice.pictures(batch, Size(64))) }
      }
    }

    @Test("A run as it is") func sound() throws { try run(TestDevice.engine()) }

    @Test("A run with a planted fault", .enabled(if: getenv("HGNET_TEST_FAULT") != nil)) func planted() throws {
      let name = getenv("HGNET_TEST_FAULT").map { String(cString: $0) } ?? ""
      let faults = ["barrier": HGV_FAULT_BARRIER, "leak": HGV_FAULT_LEAK, "range": HGV_FAULT_RANGE]
      hgv_plant(Int32(try #require(faults[name])))
      defer { hgv_plant(0) }
      try run(TestDevice.engine())
    }
  }
}
