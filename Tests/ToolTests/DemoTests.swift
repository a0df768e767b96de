import Foundation
import HGNetCore
import HGNetVision
import Testing

/// The first run of a newcomer, made small.
@Suite("hgnet demo", .serialized)
struct DemoTests {
  let workspace: Workspace

  init() throws { workspace = try Workspace() }

  private func demo(_ more: [String]) throws -> ToolRun {
    try ToolRun(["demo", "--epochs", "1", "--output", "d"] + more, folder: workspace.url.path)
  }

  private func pictures(_ folder: String) throws -> [String] {
    let names = FileManager.default.enumerator(atPath: workspace.path(folder))?.compactMap { $0 as? String } ?? []
    return names.filter { $0.hasSuffix(".jpg") }.sorted()
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: workspace.path(name)))
  }

  @Test("Draws, trains, measures and predicts; what it says next works as it stands")
  func small() throws {
    let run = try demo(["--pictures", "40"])
    #expect(run.status == 0, "\(run.errors)")
    let tooWide = run.output.split(separator: "\n").filter { $0.count > 100 && !$0.contains(ToolRun.tool.path) }
    #expect(tooWide.isEmpty)
    for name in ["arrow", "triangle", "01-arrow.jpg", "d/training/report.html"] { #expect(run.output.contains(name)) }
    #expect(try pictures("d/pictures/train").count == 40)
    #expect(try pictures("d/pictures/val").count == 10)
    #expect(try pictures("d/pictures/new").count == 12)
    #expect(try String(contentsOfFile: workspace.path("d/training/report.html"), encoding: .utf8).contains("</html>"))
    for ending in ["pdparams", "pdopt", "pdstates", "safetensors"] {
      #expect(try !bytes("d/training/best_model.\(ending)").isEmpty)
    }

    // The commands are lines of their own; the first two are about what is there.
    let commands = run.output.split(separator: "\n").filter { $0.contains("hgnet ") && $0.hasPrefix("  ") }
    #expect(commands.count == 4)
    for command in commands.prefix(2) {
      let arguments = command.split(separator: " ").dropFirst().map(String.init)
      let next = try ToolRun(arguments, folder: workspace.url.path)
      #expect(next.status == 0, "\(command): \(next.errors)")
    }
  }

  @Test("The same seed gives the same pictures on any number of threads; a smaller set leaves none behind")
  func repeatable() throws {
    #expect(try demo(["--pictures", "40", "--threads", "1"]).status == 0)
    let names = try pictures("d/pictures").prefix(20)
    let first = try names.map { try bytes("d/pictures/\($0)") }
    #expect(try demo(["--pictures", "40", "--threads", "2"]).status == 0)
    #expect(try names.map { try bytes("d/pictures/\($0)") } == first)

    #expect(try demo(["--pictures", "20", "--seed", "2"]).status == 0)
    #expect(try pictures("d/pictures/train").count == 20)
    let image = try Image(contentsOf: workspace.path("d/pictures/train/star/001.jpg"))
    #expect(image.size == Size(96))
    let other = try bytes("d/pictures/train/arrow/001.jpg")
    #expect(first.firstIndex(of: other) == nil, "another seed drew the same picture")
  }

  @Test("A folder that cannot be made is named")
  func unwritable() throws {
    try workspace.write("a file", "d")
    let run = try demo(["--pictures", "20"])
    #expect(run.status == 73)
    #expect(run.errors.contains("--output"), "\(run.errors)")
  }
}
