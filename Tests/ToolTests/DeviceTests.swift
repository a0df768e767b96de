import Foundation
import Testing

/// `hgnet devices` and `--device`, on a machine with a GPU or without.
@Suite("Tool: devices") struct DeviceTests {
  @Test("devices lists the processor, and says what it looked for") func list() throws {
    let done = try ToolRun(["devices"])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.output.contains("cpu"))
    #expect(done.output.contains("gpu:0") || done.errors.contains("Vulkan") || done.errors.contains("GPU"))
    let json = try ToolRun(["devices", "--json"])
    #expect(json.status == 0)
    #expect(json.output.contains("\"gpus\""))
  }

  @Test("A device that there is not") func absence() throws {
    let done = try ToolRun(["bench", "PPHGNetV2_B0", "--input-size", "32", "--iterations", "1", "--device", "gpu:63"])
    #expect(done.status == 64 || done.status == 69)
    #expect(done.errors.contains("Vulkan") || done.errors.contains("gpu:63"))
    let unknown = try ToolRun(["bench", "PPHGNetV2_B0", "--device", "cuda"])
    #expect(unknown.status == 64)
    let training = try ToolRun(["bench", "PPHGNetV2_B0", "--training", "--device", "gpu:63"])
    #expect(training.status == 64 || training.status == 69)
    #expect(training.errors.contains("Vulkan") || training.errors.contains("gpu:63"))
  }

  @Test("float16 is for GPUs") func half() throws {
    let done = try ToolRun([
      "bench", "PPHGNetV2_B0", "--input-size", "32", "--iterations", "1", "--precision", "float16",
    ])
    #expect(done.status == 65)
    #expect(done.errors.contains("bfloat16"))
  }

  @Test("bench --verbose shows the steps") func steps() throws {
    let done = try ToolRun(["bench", "PPHGNetV2_B0", "--input-size", "32", "--iterations", "2", "--verbose"])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.output.contains("GFLOP/s"))
    #expect(!done.output.contains("bound by"))
  }
}
