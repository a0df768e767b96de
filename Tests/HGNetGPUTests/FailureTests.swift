import CHGNetVulkan
import HGNetCore
import HGNetGPU
import HGNetModels
import HGNetProgram
import Testing

/// What the engine says when there is no device, or when it fails.
extension GPUTests {
  @Suite("GPU: failures", .serialized) struct FailureTests {
    private func failure(_ body: () throws -> Void) -> HGNetError? {
      do {
        try body()
        return nil
      } catch {
        return error as? HGNetError
      }
    }

    @Test("Without the library the error says what was looked for") func library() throws {
      let error = try #require(failure { _ = try GPUEngine(number: nil, library: "libvulkan.so.none") })
      #expect(error.code == .deviceFailure)
      #expect(error.description.contains("libvulkan.so.none"))
      // A library, but none of Vulkan.
      let other = try #require(failure { _ = try VulkanLibrary("libm.so.6") })
      #expect(other.code == .deviceFailure)
      #expect(other.description.contains("vkGetInstanceProcAddr"))
    }

    @Test("A number that there is not, and a software device that is not named", .enabled(if: TestDevice.isThere))
    func choice() throws {
      let devices = try VulkanLibrary().devices()
      let error = try #require(failure { _ = try GPUEngine(number: 7 + devices.count) })
      #expect(error.code == .invalidArgument)
      #expect(error.description.contains(devices[0].name))
      guard devices.allSatisfy(\.isSoftware) else { return }
      let absent = try #require(failure { _ = try GPUEngine(number: nil) })
      #expect(absent.code == .deviceFailure)
      #expect(absent.description.contains("software"))
    }

    private static let model = try? Model.named("PPHGNetV2_B0")

    private func network() throws -> (program: Program, parameters: ParameterStore) {
      let graph = try #require(FailureTests.model).graph(options: ModelOptions(classCount: 8), inputSize: Size(32))
      return (try Program(graph), Model.randomParameters(for: graph, seed: 5))
    }

    /// The names of the calls that can fail.
    static let calls: [String] = {
      var names: [String] = []
      var text = hgv_all_fallible_calls()
      while let start = text, start.pointee != 0 {
        let name = String(cString: start)
        names.append(name)
        text = start + name.utf8.count + 1
      }
      return names
    }()

    @Test(
      "Each call that fails once is one error, and the next session works", .enabled(if: TestDevice.isThere),
      arguments: FailureTests.calls)
    func injection(call: String) throws {
      let (program, parameters) = try network()
      let extent = RunExtent(batch: 1, inputSize: Size(32))
      let pictures = TestDevice.pictures(1, Size(32))
      func run() throws -> [Float] {
        let compiled = try TestDevice.engine().compile(program, parameters: parameters, precision: .float32)
        return try compiled.session(extent, memory: nil, isTimed: true).run(pictures)[0].values
      }
      let expected = try run()
      let outcomes: [(Int32, HGNetError.Code)] = [(-2, .limitExceeded), (-4, .deviceFailure), (-3, .deviceFailure)]
      var count = 0
      for (result, code) in outcomes {
        // At its first call, and later on.
        for skip: Int32 in [0, 1, 5] {
          hgv_fail(call, skip, result)
          let error = failure { _ = try run() }
          let failures = hgv_fail(nil, 0, 0)
          count += Int(failures)
          // The store of compiled shaders is a help and no need.
          guard failures > 0, !call.contains("Cache") else { continue }
          #expect(error?.code == code, "\(call) after \(skip): \(error.map { "\($0)" } ?? "no error")")
          #expect(error?.description.contains(call) == true)
        }
      }
      #expect(count > 0 || call == "vkGetPipelineCacheData", "\(call) is not called")
      #expect(try run() == expected)
    }

    @Test("A session goes on after a run that failed", .enabled(if: TestDevice.isThere)) func session() throws {
      let (program, parameters) = try network()
      let compiled = try TestDevice.engine().compile(program, parameters: parameters, precision: .float32)
      let session = try compiled.session(RunExtent(batch: 2, inputSize: Size(32)))
      let pictures = TestDevice.pictures(2, Size(32))
      let expected = try session.run(pictures)[0].values
      for call in ["vkResetFences", "vkQueueSubmit", "vkWaitForFences"] {
        hgv_fail(call, 0, -4)
        #expect(failure { _ = try session.run(pictures) }?.code == .deviceFailure)
        hgv_fail(nil, 0, 0)
        #expect(try session.run(pictures)[0].values == expected)
      }
    }

    @Test("More than the device has is refused before it is taken", .enabled(if: TestDevice.isThere)) func memory()
      throws
    {
      let (program, parameters) = try network()
      let compiled = try TestDevice.engine().compile(program, parameters: parameters, precision: .float32)
      let error = try #require(failure { _ = try compiled.session(RunExtent(batch: 60000, inputSize: Size(224))) })
      #expect(error.code == .limitExceeded)
      let need = try compiled.memoryNeed(of: RunExtent(batch: 1, inputSize: Size(224)))
      #expect(need.limit != nil)
    }

    @Test("Many sessions of changing sizes take no more memory", .enabled(if: TestDevice.isThere)) func growth() throws
    {
      let (program, parameters) = try network()
      let compiled = try TestDevice.engine().compile(program, parameters: parameters, precision: .float32)
      func round(_ count: Int) throws {
        for index in 0..<count {
          _ = try compiled.session(RunExtent(batch: 1 + index % 3, inputSize: Size(32 + 8 * (index % 4))))
        }
      }
      try round(50)
      let before = residentByteCount()
      try round(1000)
      let growth = residentByteCount() - before
      #expect(growth < 16 << 20, "grew by \(growth) bytes")
    }
  }
}
