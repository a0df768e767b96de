import Foundation
import HGNetConfiguration
import HGNetCore
import HGNetTraining
import HGNetVision
import Testing

/// Whole runs of `hgnet train` and `hgnet eval` on small drawn pictures.
@Suite("hgnet train and eval", .serialized)
struct TrainingTests {
  let workspace: Workspace

  /// Three classes of stripes: across, down, both; 8 pictures each.
  init() throws {
    workspace = try Workspace()
    var random = RandomGenerator(seed: 5)
    for number in 0..<3 {
      for picture in 0..<8 {
        let phase = Int(random.uniform() * 8)
        let side = 40
        var pixels = [UInt8](repeating: 0, count: side * side * 3)
        for index in pixels.indices {
          let (y, x) = (index / 3 / side, index / 3 % side)
          let (across, down) = ((y + phase) / 4 % 2 == 0, (x + phase) / 4 % 2 == 0)
          pixels[index] = (number == 0 ? across : number == 1 ? down : across != down) ? 190 : 70
        }
        let name = "data/class \(number)/\(picture).png"
        try workspace.write("", name)
        try Image(size: Size(side), pixels: pixels).write(to: workspace.path(name))
      }
    }
  }

  private static let short = [
    "train", "--data", "data", "--from-scratch", "--input-size", "32", "--batch", "6", "--seed", "3", "--threads", "1",
  ]

  private func train(_ more: [String]) throws -> ToolRun {
    try ToolRun(Self.short + more, folder: workspace.url.path)
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: workspace.path(name)))
  }

  @Test("A folder of pictures becomes a network, a log, curves and a report; the weights bring labels along")
  func folder() throws {
    let run = try train(["--epochs", "2", "--output", "out"])
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.contains("3 classes, 21 pictures to train on, 3 to evaluate on"))
    let log = try String(contentsOfFile: workspace.path("out/train.log"), encoding: .utf8)
    // The log alone has the whole configuration.
    #expect(log.hasSuffix(run.output))
    #expect(log.contains("class_num : 3") && !run.output.contains("class_num : "))
    #expect(log.contains("ppcls INFO: [Train][Epoch 1/2][Iter: 0/4]lr(LinearWarmup): "))
    for name in ["best_model", "latest"] {
      for ending in ["pdparams", "pdopt", "pdstates"] { #expect(try !bytes("out/\(name).\(ending)").isEmpty) }
    }
    let page = try String(contentsOfFile: workspace.path("out/report.html"), encoding: .utf8)
    #expect(page.contains("class 2") && page.contains("</html>") && !page.contains("http"))
    let events = try FileManager.default.contentsOfDirectory(atPath: workspace.path("out"))
    #expect(events.contains { $0.hasPrefix("events.out.tfevents.") })

    // What was run can be run again, evaluated, and used.
    let written = try Configuration(contentsOf: workspace.path("out/config.yaml"))
    #expect(try TrainingConfiguration(written).options.classCount == 3)
    let measured = try ToolRun(
      ["eval", "-c", "out/config.yaml", "-o", "Global.pretrained_model=out/best_model"], folder: workspace.url.path)
    #expect(measured.status == 0, "\(measured.errors)")
    #expect(measured.output.contains("[Eval][Epoch 0][Avg]CELoss: "))
    let classified = try ToolRun(
      ["predict", "data/class 1/0.png", "--weights", "out/best_model"], folder: workspace.url.path)
    #expect(classified.output.contains("class 1 (1)"), "\(classified.output) \(classified.errors)")
    // The label file is named from where the run was started; from elsewhere it is found beside the configuration.
    let elsewhere = try ToolRun(
      ["predict", workspace.path("data/class 1/0.png"), "--weights", workspace.path("out/best_model")], folder: "/")
    #expect(elsewhere.output.contains("class 1 (1)"), "\(elsewhere.output) \(elsewhere.errors)")
  }

  @Test("eval of a folder, as JSON and as a report; the same numbers as the training run's last evaluation")
  func evaluation() throws {
    #expect(try train(["--epochs", "1", "--output", "out"]).status == 0)
    let run = try ToolRun(
      [
        "eval", "--data", "data", "--weights", "out/latest.pdparams", "--input-size", "32", "--json", "--report",
        "r.html",
      ], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    let json = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    // Of each class the one picture that the run held out.
    #expect(json?["pictures"] as? Int == 3)
    #expect((json?["classes"] as? [[String: Any]])?.map { $0["pictures"] as? Int } == [1, 1, 1])
    let page = try String(contentsOfFile: workspace.path("r.html"), encoding: .utf8)
    #expect(page.contains("Confusion") && !page.contains("best epoch") && !page.contains("Curves"))
    // The size and the classes are those of the training run without being asked for.
    let plain = try ToolRun(
      ["eval", "--data", "data", "--weights", "out/latest.pdparams", "--json"], folder: workspace.url.path)
    let numbers = try JSONSerialization.jsonObject(with: Data(plain.output.utf8)) as? [String: Any]
    #expect(numbers?["metrics"] as? [String: Double] == json?["metrics"] as? [String: Double], "\(plain.errors)")
    #expect(numbers?["losses"] as? [String: Double] == json?["losses"] as? [String: Double])
    try FileManager.default.createDirectory(atPath: workspace.path("part"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: workspace.path("data/class 2"), toPath: workspace.path("part/class 2"))
    let part = try ToolRun(
      ["eval", "--data", "part", "--weights", "out/latest.pdparams", "--json"], folder: workspace.url.path)
    let classes = try JSONSerialization.jsonObject(with: Data(part.output.utf8)) as? [String: Any]
    #expect((classes?["classes"] as? [[String: Any]])?.map { $0["pictures"] as? Int } == [0, 0, 8], "\(part.errors)")
  }

  /// Starts the tool and lets the caller end it.
  private func start(_ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = ToolRun.tool
    process.arguments = arguments
    process.currentDirectoryURL = workspace.url
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  @Test("SIGTERM saves the run, and it goes on with the same bits as if it had not been stopped")
  func termination() throws {
    #expect(try train(["--epochs", "4", "--output", "whole"]).status == 0)
    let process = try start(Self.short + ["--epochs", "4", "--output", "cut"])
    // In the middle of it, once there is a log line of the second epoch.
    for _ in 0..<2000 {
      let log = try? String(contentsOfFile: workspace.path("cut/train.log"), encoding: .utf8)
      if log?.contains("[Epoch 2/4][Iter: 0/") == true { break }
      usleep(5000)
    }
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 143)
    let log = try String(contentsOfFile: workspace.path("cut/train.log"), encoding: .utf8)
    #expect(log.contains("Go on with -o Global.checkpoints=cut/latest"))
    let rest = try ToolRun(
      ["train", "-c", "cut/config.yaml", "-o", "Global.checkpoints=cut/latest"], folder: workspace.url.path)
    #expect(rest.status == 0, "\(rest.errors)")
    #expect(rest.output.contains("Finish load checkpoints from cut/latest"))
    for name in ["latest.pdparams", "latest.pdopt", "best_model.pdparams"] {
      let isSame = try bytes("whole/\(name)") == bytes("cut/\(name)")
      #expect(isSame, "\(name) differs")
    }
  }

  @Test("A run that is killed leaves a complete checkpoint", arguments: 0..<4)
  func kill(round: Int) throws {
    let process = try start(Self.short + ["--epochs", "50", "--output", "out"])
    for _ in 0..<2000 where !FileManager.default.fileExists(atPath: workspace.path("out/latest.pdstates")) {
      usleep(5000)
    }
    usleep(UInt32(60_000 + 37_000 * round))
    Foundation.kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    let checkpoint = try Checkpoint.read(workspace.path("out/latest"))
    #expect(checkpoint.progress.epoch >= 1)
    let rest = try ToolRun(
      [
        "train", "-c", "out/config.yaml", "-o", "Global.checkpoints=out/latest", "-o",
        "Global.epochs=\(checkpoint.progress.epoch + 1)",
      ], folder: workspace.url.path)
    #expect(rest.status == 0, "\(rest.errors)")
  }

  /// A configuration of the drawn pictures, with one text in it replaced.
  private func configuration(_ replacing: String = "", _ replacement: String = "") throws -> [String] {
    if !FileManager.default.fileExists(atPath: workspace.path("out/config.yaml")) {
      #expect(try train(["--epochs", "1", "--output", "out"]).status == 0)
    }
    let text = try String(contentsOfFile: workspace.path("out/config.yaml"), encoding: .utf8)
    #expect(replacing.isEmpty || text.contains(replacing))
    try workspace.write(text.replacingOccurrences(of: replacing, with: replacement), "other.yaml")
    return ["train", "-c", "other.yaml", "-o", "Global.output_dir=other"]
  }

  @Test(
    "Lists that are wrong are refused at the start, all faults together",
    arguments: [
      ("data/class 0/0.png 0\nmissing.png 1\n", 66, "does not exist"),
      ("class 0/0.png 3\n", 65, "0 to 2"), ("class 0/0.png -1\n", 65, "from 0"), ("class 0/0.png x\n", 65, "integer"),
      ("", 66, "found"), ("picture.png\t0\n", 65, "delimiter"),
    ])
  func lists(text: String, status: Int32, words: String) throws {
    let arguments = try configuration()
    try workspace.write(text, "list.txt")
    let run = try ToolRun(
      arguments + ["-o", "DataLoader.Train.dataset.cls_label_path=list.txt"], folder: workspace.url.path)
    #expect(run.status == status, "\(run.errors)")
    #expect(run.errors.contains("list.txt") && run.errors.contains(words), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("other")))
  }

  @Test("A picture that cannot be read is named, counted and left out; the run goes on")
  func brokenPicture() throws {
    let arguments = try configuration()
    try workspace.write("no picture", "data/class 0/0.png")
    try workspace.write("no picture", "data/class 1/1.png")
    let run = try ToolRun(arguments, folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output.contains("class 0/0.png") && run.output.contains("left out (number 2)"))
  }

  @Test("A learning rate that diverges ends the run with step, pictures and advice, and keeps the checkpoint")
  func divergence() throws {
    let arguments = try configuration()
    let run = try ToolRun(
      arguments + [
        "-o", "Optimizer.lr.learning_rate=1e30", "-o", "Optimizer.lr.warmup_epoch=0", "-o", "Global.epochs=3",
      ], folder: workspace.url.path)
    #expect(run.status == 65, "\(run.errors)")
    #expect(run.errors.contains("smaller learning rate") && run.errors.contains(".png"), "\(run.errors)")
  }

  @Test("Published weights are known by name in training and evaluation, too")
  func publishedWeights() throws {
    let name = "PPHGNetV2_B0_ssld_stage1_pretrained"
    let short = try ToolRun(
      ["train", "--data", "data", "--weights", name, "--offline", "--output", "named"], folder: workspace.url.path)
    let long = try ToolRun(
      configuration() + ["-o", "Global.pretrained_model=\(name)", "--offline"], folder: workspace.url.path)
    let measured = try ToolRun(
      ["eval", "-c", "other.yaml", "-o", "Global.pretrained_model=\(name)", "--offline"], folder: workspace.url.path)
    for run in [short, long, measured] {
      // Nothing has been fetched, and the network may not be touched; a missing file would be another error.
      #expect(run.status == 66, "\(run.errors)")
      #expect(run.errors.contains(name) && run.errors.contains("offline"), "\(run.errors)")
    }
  }

  @Test("A checkpoint of another model, or of nothing, is refused by name")
  func wrongCheckpoint() throws {
    let arguments = try configuration("PPHGNetV2_B0", "PPHGNetV2_B1")
    let other = try ToolRun(arguments + ["-o", "Global.checkpoints=out/latest"], folder: workspace.url.path)
    #expect(other.status == 65 && other.errors.contains("PPHGNetV2_B1"), "\(other.errors)")
    let missing = try ToolRun(arguments + ["-o", "Global.checkpoints=out/none"], folder: workspace.url.path)
    #expect(missing.status == 66 && missing.errors.contains("out/none"), "\(missing.errors)")
  }

  @Test(
    "Options that do not go together",
    arguments: [
      ["train"], ["train", "--data", "x", "-c", "y"], ["train", "-c", "y", "--epochs", "3"],
      ["train", "--data", "x", "--input-size", "8"], ["train", "--data", "x", "--weights", "w", "--from-scratch"],
      ["train", "--data", "x", "--learning-rate", "0"], ["eval"], ["eval", "-c", "y", "--batch", "3"],
    ])
  func usage(arguments: [String]) throws { #expect(try ToolRun(arguments).status == 64) }
}
