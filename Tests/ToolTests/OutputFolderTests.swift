import Foundation
import HGNetCore
import HGNetTraining
import HGNetVision
import Testing

/// What happens in the output folder of a run, to its pictures, and when the terminal goes.
@Suite("The output folder of a run", .serialized)
struct OutputFolderTests {
  let workspace: Workspace

  init() throws { workspace = try Workspace() }

  /// Pictures of one shade for each class.
  private func draw(_ folder: String, _ classes: [String], count: Int = 6) throws {
    for (number, name) in classes.enumerated() {
      for picture in 0..<count {
        let file = "\(folder)/\(name)/\(picture).png"
        try workspace.write("", file)
        let pixels = [UInt8](repeating: UInt8(40 + 70 * number + picture), count: 36 * 36 * 3)
        try Image(size: Size(36), pixels: pixels).write(to: workspace.path(file))
      }
    }
  }

  private func arguments(_ data: String, epochs: Int = 1) -> [String] {
    [
      "train", "--data", data, "--from-scratch", "--input-size", "32", "--batch", "8", "--threads", "1", "--output",
      "out",
      "--epochs", "\(epochs)",
    ]
  }

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  private func start(_ arguments: [String], tool: URL = ToolRun.tool) throws -> Process {
    let process = Process()
    process.executableURL = tool
    process.arguments = arguments
    process.currentDirectoryURL = workspace.url
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle(forWritingAtPath: try workspace.write("", "errors.txt"))
    try process.run()
    return process
  }

  private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: workspace.path(name)) }

  private func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: workspace.path(name))) }

  /// What a started tool has said on standard error.
  private var errors: String { String(decoding: (try? bytes("errors.txt")) ?? Data(), as: UTF8.self) }

  /// Waits for a line of the log, of a run after an earlier one where a folder for that is named.
  private func wait(for text: String, after earlier: String? = nil) {
    for _ in 0..<4000 {
      if earlier.map(exists) ?? true,
        let log = try? String(contentsOfFile: workspace.path("out/train.log"), encoding: .utf8), log.contains(text)
      {
        return
      }
      usleep(5000)
    }
    Issue.record("\(text) never came")
  }

  private func names(_ weights: String) throws -> Set<String> {
    let run = try run(["predict", "animals/cat/0.png", "--weights", weights, "--json"])
    let known = ["cat", "dog", "owl", "apple", "pear", "plum"]
    return Set(known.filter { run.output.contains("\"\($0)\"") })
  }

  @Test("A second run never gives its names to the weights of the first; those are kept, and everything else is moved")
  func secondRun() throws {
    try draw("animals", ["cat", "dog", "owl"])
    try draw("fruit", ["apple", "pear", "plum"])
    #expect(try run(arguments("animals")).status == 0)
    #expect(exists("out/best_model.yaml") && exists("out/latest.yaml") && exists("out/best_model/model.yaml"))
    let best = try bytes("out/best_model.pdparams")

    // Killed before it evaluates, in whatever way.
    let process = try start(arguments("fruit", epochs: 500) + ["-o", "Global.eval_interval=400"])
    wait(for: "[Epoch 1/500]", after: "out/earlier-1")
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(try bytes("out/best_model.pdparams") == best)
    #expect(errors.contains("now in out/earlier-1"), "\(errors)")
    let animals: Set = ["cat", "dog", "owl"]
    for weights in [
      "out/best_model", "out/best_model/model.pdparams", "out/earlier-1/best_model", "out/earlier-1/latest",
    ] {
      #expect(try names(weights) == animals, "\(weights)")
    }
    if exists("out/latest.pdparams") { #expect(try names("out/latest") == ["apple", "pear", "plum"]) }
    #expect(exists("out/earlier-1/report.html") && exists("out/earlier-1/train.log"))
    #expect(exists("out/earlier-1/val_list.txt") && !exists("out/report.html"))
    #expect(try String(decoding: bytes("out/best_model.yaml"), as: UTF8.self).contains("out/earlier-1/val_list.txt"))

    // The next one replaces them with its own.
    #expect(try run(arguments("fruit")).status == 0)
    try FileManager.default.copyItem(atPath: workspace.path("out/best_model"), toPath: workspace.path("alone"))
    for link in ["link", "link.pdparams"] {
      try FileManager.default.createSymbolicLink(
        atPath: workspace.path(link), withDestinationPath: workspace.path("out/best_model.pdparams"))
    }
    for weights in [
      "out/best_model", "out/best_model/", "out/best_model/model.pdparams", "out/latest", "alone", "link",
      "link.pdparams",
    ] {
      #expect(try names(weights) == ["apple", "pear", "plum"], "\(weights)")
    }
    #expect(try names("out/earlier-1/best_model") == animals)
    #expect(try bytes("out/earlier-1/best_model.pdparams") == best)
    #expect(exists("out/earlier-2/train.log") && !exists("out/earlier-2/best_model.pdparams"))
    // To go on is no new run; a run that cannot begin changes nothing.
    let further = ["train", "-c", "out/config.yaml", "-o", "Global.checkpoints=out/latest", "-o", "Global.epochs=2"]
    let ended = try run(Array(further.dropLast(2)))
    #expect(ended.status == 0 && ended.errors.contains("nothing is trained"), "\(ended.errors)")
    let longer = try run(further)
    #expect(longer.status == 0 && !longer.errors.contains("nothing is trained"), "\(longer.errors)")
    #expect(try run(arguments("fruit") + ["-o", "Global.checkpoints=out/nothing"]).status == 66)
    #expect(!exists("out/earlier-3") && exists("out/report.html"))
  }

  @Test("Pictures that vanish end the run with an error, and what was good stays", arguments: [true, false])
  func vanishedPictures(evaluates: Bool) throws {
    try draw("data", ["a", "b"], count: 10)
    let process = try start(
      arguments("data", epochs: 3000) + ["-o", "Global.eval_during_train=\(evaluates ? "True" : "False")"])
    wait(for: "[Epoch 2/3000]")
    try FileManager.default.moveItem(atPath: workspace.path("data"), toPath: workspace.path("away"))
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 66, "\(errors)")
    #expect(errors.contains("the pictures are gone"), "\(errors)")
    #expect(!exists("out/report.html"))
    let checkpoint = try Checkpoint.read(workspace.path("out/latest"))
    #expect(checkpoint.progress.epoch >= 1)
  }

  @Test("Pictures of which none can be read end the run, and the measurement")
  func unreadablePictures() throws {
    try draw("data", ["a", "b"], count: 10)
    #expect(try run(arguments("data")).status == 0)
    for name in ["a", "b"] { for number in 0..<10 { try workspace.write("none", "data/\(name)/\(number).png") } }
    let further = try run(["train", "-c", "out/config.yaml", "-o", "Global.output_dir=other"])
    #expect(further.status == 65 && further.errors.contains("not one of the pictures"), "\(further.errors)")
    #expect(!exists("other/latest.pdparams") && !exists("other/report.html"))
    let measured = try run(["eval", "-c", "out/config.yaml", "-o", "Global.pretrained_model=out/latest"])
    #expect(measured.status == 65 && measured.errors.contains("not one of the pictures"), "\(measured.errors)")
  }

  @Test("An output folder that is deleted ends the run, and is not made anew")
  func deletedOutput() throws {
    try draw("data", ["a", "b"], count: 10)
    let process = try start(arguments("data", epochs: 3000))
    wait(for: "[Epoch 2/3000]")
    try FileManager.default.moveItem(atPath: workspace.path("out"), toPath: workspace.path("gone"))
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 73, "\(errors)")
    #expect(errors.contains("the output folder is gone"), "\(errors)")
    #expect(!exists("out"))
  }

  @Test("SIGHUP saves the run and ends it, unless it is ignored as under nohup")
  func hangUp() throws {
    try draw("data", ["a", "b"], count: 10)
    let process = try start(arguments("data", epochs: 3000))
    wait(for: "[Epoch 2/3000]")
    kill(process.processIdentifier, SIGHUP)
    kill(process.processIdentifier, SIGHUP)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 129)
    let log = try String(contentsOfFile: workspace.path("out/train.log"), encoding: .utf8)
    #expect(log.contains("Go on with -o Global.checkpoints=out/latest"))

    let ignoring = try start(
      ["-c", "trap '' HUP; exec \"$0\" \"$@\"", ToolRun.tool.path] + arguments("data", epochs: 3000),
      tool: URL(fileURLWithPath: "/bin/sh"))
    wait(for: "[Epoch 2/3000]", after: "out/earlier-1")
    kill(ignoring.processIdentifier, SIGHUP)
    usleep(300_000)
    #expect(ignoring.isRunning)
    ignoring.terminate()
    ignoring.waitUntilExit()
    #expect(ignoring.terminationStatus == 143)
  }
}
