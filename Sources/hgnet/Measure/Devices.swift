import ArgumentParser
import HGNet
import HGNetCore
import HGNetFormats

/// Lists what networks can run on.
struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the devices: processor and GPUs, with memory and precisions.",
    discussion: """
      GPUs are found through Vulkan, whose library (libvulkan1 in Debian) and drivers are loaded by this command and by \
      --device gpu. Software devices, which run on the processor, are for tests and are used only by their number.
      """)

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let (gpus, absence): ([GPU], HGNetError?)
    do throws(HGNetError) {
      (gpus, absence) = (try GPU.all(), nil)
    } catch {
      (gpus, absence) = ([], error)
    }
    let cpu = Device.cpu()
    guard !json else {
      let members: [(String, JSONText)] = [
        ("cpu", .text(cpu.description)), ("gpus", .list(gpus.map(Devices.json))),
        ("note", absence.map { JSONText.text($0.description) } ?? JSONText.null),
      ]
      return try StandardOutput.write(JSONText.object(members).line)
    }
    var table = TextTable(titles: ["device", "name", "kind", "memory", "Vulkan", "precisions"])
    let precisions = Precision.allCases.filter { $0 != .float16 }.map(\.rawValue).joined(separator: ", ")
    table.append(["cpu", cpu.description, "processor", "", "", precisions])
    for gpu in gpus {
      table.append([
        "gpu:\(gpu.number)", gpu.name, gpu.kind, MemoryNeed.text(gpu.memoryByteCount), gpu.vulkanVersion,
        gpu.refusal.map { "none: \($0)" } ?? gpu.paths.joined(separator: ", "),
      ])
    }
    try StandardOutput.write(table.text)
    if let absence { StandardError.write("hgnet: note: \(absence)") }
  }

  private static func json(_ gpu: GPU) -> JSONText {
    let members: [(String, JSONText)] = [
      ("device", .text("gpu:\(gpu.number)")), ("name", .text(gpu.name)), ("kind", .text(gpu.kind)),
      ("driver", .text(gpu.driver)), ("vulkan", .text(gpu.vulkanVersion)),
      ("memory_bytes", .integer(gpu.memoryByteCount)),
      ("precisions", .list(gpu.paths.map { JSONText.text($0) })),
      ("refusal", gpu.refusal.map { JSONText.text($0) } ?? JSONText.null),
    ]
    return .object(members)
  }
}
