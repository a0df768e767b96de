import HGNet
import HGNetCore
import Testing

/// What a user may want networks to run on.
@Suite("Device choice") struct DeviceChoiceTests {
  @Test(
    "Words and what they mean",
    arguments: [
      ("cpu", DeviceChoice.cpu), ("gpu", .gpu(nil)), ("gpu:0", .gpu(0)), ("gpu:12", .gpu(12)), ("auto", .auto),
      ("reference", .reference),
    ])
  func words(text: String, choice: DeviceChoice) {
    #expect(DeviceChoice(text) == choice)
    #expect(choice.description == text)
  }

  @Test("Other words", arguments: ["", "GPU", "gpu:", "gpu:-1", "gpu:64", "gpu:x", "cuda", "gpu0", "gpu: 1"])
  func others(text: String) { #expect(DeviceChoice(text) == nil) }

  @Test("A GPU that there is not is an error that says what was looked for") func absence() {
    // No machine of ours has so many.
    let error = #expect(throws: HGNetError.self) { _ = try Device.gpu(63) }
    #expect(error?.code == .deviceFailure || error?.code == .invalidArgument)
    #expect(error?.message.contains("Vulkan") == true || error?.message.contains("gpu:63") == true)
  }

  @Test("auto always finds something") func auto() throws {
    let device = try Device(.auto)
    #expect(device.kind == .cpu || device.kind == .gpu)
  }
}
