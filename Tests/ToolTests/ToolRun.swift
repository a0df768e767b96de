import Foundation

/// What one run of the built tool gave.
struct ToolRun {
  let status: Int32
  let output: String
  let errors: String

  /// Runs the tool that lies beside the tests, under limits such as `ulimit -v 100000`.
  ///
  /// - Parameter input: a file that becomes standard input; nil for nothing.
  init(
    _ arguments: [String], environment: [String: String] = [:], folder: String? = nil, limits: String = "",
    input: String? = nil
  ) throws {
    let process = Process()
    // With limits a shell sets them, and becomes the tool.
    process.executableURL = limits.isEmpty ? ToolRun.tool : URL(fileURLWithPath: "/bin/sh")
    process.arguments =
      limits.isEmpty ? arguments : ["-c", "\(limits) && exec \"$@\"", "sh", ToolRun.tool.path] + arguments
    var variables = ProcessInfo.processInfo.environment
    variables["HGNET_WEIGHTS_URL"] = nil
    variables["XDG_CACHE_HOME"] = "/nonexistent-cache"
    for (name, value) in environment { variables[name] = value }
    process.environment = variables
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    let output = Pipe()
    // A file takes any amount while the other stream is read.
    let errorFile = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-\(UUID().uuidString).txt")
    _ = FileManager.default.createFile(atPath: errorFile.path, contents: nil)
    defer { try? FileManager.default.removeItem(at: errorFile) }
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errorFile)
    process.standardInput =
      try input.map { try FileHandle(forReadingFrom: URL(fileURLWithPath: $0)) } ?? FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    // A signal shows as a negative status, which no test expects.
    status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    self.output = String(decoding: data, as: UTF8.self)
    errors = String(decoding: try Data(contentsOf: errorFile), as: UTF8.self)
  }

  /// The tool in the folder of the running tests.
  static let tool: URL = {
    let own = URL(fileURLWithPath: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "")
    let beside = own.deletingLastPathComponent().appendingPathComponent("hgnet")
    if FileManager.default.isExecutableFile(atPath: beside.path) { return beside }
    return packageRoot.appendingPathComponent(".build/release/hgnet")
  }()

  /// The folder of the package.
  static let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
}

/// A folder for the files of one test.
final class Workspace {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("hgnet-tool-tests-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  @discardableResult
  func write(_ bytes: Data, _ name: String) throws -> String {
    let file = url.appendingPathComponent(name)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try bytes.write(to: file)
    return file.path
  }

  @discardableResult
  func write(_ text: String, _ name: String) throws -> String { try write(Data(text.utf8), name) }
}
