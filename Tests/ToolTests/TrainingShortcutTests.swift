import Foundation
import HGNet
import HGNetTraining
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Options of hgnet train that stand for keys", .serialized)
struct TrainingShortcutTests {
  let workspace: Workspace

  init() throws {
    workspace = try Workspace()
    for folder in ["data", "other"] {
      for number in 0..<2 {
        for picture in 0..<(folder == "data" ? 4 : 3) {
          let pixels = (0..<(40 * 40 * 3)).map { UInt8(truncatingIfNeeded: $0 &* (picture * 2 + 1) >> (number * 3)) }
          let name = "\(folder)/class \(number)/\(picture).png"
          try workspace.write("", name)
          try Image(size: Size(40), pixels: pixels).write(to: workspace.path(name))
        }
      }
    }
  }

  private static let short = [
    "train", "--data", "data", "--from-scratch", "--input-size", "32", "--batch", "4", "--threads", "1",
  ]

  private func run(_ arguments: [String]) throws -> ToolRun { try ToolRun(arguments, folder: workspace.url.path) }

  private func text(_ name: String) throws -> String {
    try String(contentsOfFile: workspace.path(name), encoding: .utf8)
  }

  @Test("--val, --augmentation, --freeze-at and --patience are keys of the configuration that is written")
  func keys() throws {
    let train = try run(
      Self.short + [
        "--epochs", "6", "--output", "out", "--val", "other", "--augmentation", "none", "--freeze-at", "1",
        "--patience", "2", "--learning-rate", "1e-30", "-o", "Arch.freeze_norm=True",
      ])
    #expect(train.status == 0, "\(train.errors)")
    #expect(train.errors.contains("8 pictures to train on, 6 to evaluate on"))
    let configuration = try Configuration(contentsOf: workspace.path("out/config.yaml"))
    let settings = try TrainingConfiguration(configuration)
    #expect(settings.frozenStages == 1 && settings.earlyStopPatience == 2)
    #expect(try configuration.text("DataLoader.Eval.dataset.image_root") == "other")
    #expect(try text("out/val_list.txt").split(separator: "\n").count == 6)
    #expect(try text("out/val_list.txt").hasPrefix("class 0/0.png 0\n"))
    let yaml = try text("out/config.yaml")
    #expect(!yaml.contains("Rand") && !yaml.contains("TimmAutoAugment"))
    // Nothing is learnt, so that nothing gets better after the first epoch.
    #expect(train.output.contains("Ended after epoch 3 of 6: no better evaluation in the last 2"))
    let measured = try run(["eval", "-c", "out/config.yaml", "-o", "Global.pretrained_model=out/best_model", "--json"])
    #expect(measured.status == 0 && measured.output.contains("\"pictures\": 6"), "\(measured.errors)")
    let light = try run(Self.short + ["--epochs", "1", "--output", "light", "--augmentation", "light"])
    #expect(light.status == 0)
    #expect(try text("light/config.yaml").contains("RandFlipImage"))
    #expect(try !text("light/config.yaml").contains("TimmAutoAugment"))
  }

  @Test("--resume goes on with the run of a folder, from wherever it is started")
  func resume() throws {
    #expect(try run(Self.short + ["--epochs", "1", "--output", "out"]).status == 0)
    let ended = try run(["train", "--resume", "out", "--threads", "1"])
    #expect(ended.status == 0 && ended.errors.contains("has all 1 epochs behind it"), "\(ended.errors)")
    for (epochs, resume) in [("2", "out"), ("3", "out/"), ("4", "out/latest"), ("5", "out/latest.pdparams")] {
      let longer = try run(["train", "--resume", resume, "--epochs", epochs, "--threads", "1"])
      #expect(longer.status == 0, "\(longer.errors)")
      #expect(longer.output.contains("[Train][Epoch \(epochs)/\(epochs)][Avg]"))
      #expect(try text("out/config.yaml").contains("epochs: \(epochs)"))
    }
    let given = try run([
      "train", "-c", "out/config.yaml", "--resume", "out/latest", "-o", "Global.epochs=6", "--threads", "1",
    ])
    #expect(given.status == 0 && given.output.contains("[Train][Epoch 6/6][Avg]"), "\(given.errors)")
    // One history of all epochs.
    #expect(!FileManager.default.fileExists(atPath: workspace.path("out/earlier-1")))
  }

  @Test(
    "What does not go together is said",
    arguments: [
      (["--data", "data", "--resume", "out"], Int32(64), "leave out --data"),
      (["--resume", "missing"], 66, "missing/config.yaml"), (["--data", "data", "--patience", "0"], 64, "--patience"),
      (["--data", "data", "--freeze-at", "5"], 64, "--freeze-at"),
      (["-c", "a.yaml", "--val", "other"], 64, "--val goes with --data"),
      (["-c", "a.yaml", "--augmentation", "light"], 64, "--augmentation goes with --data"),
      (["-c", "a.yaml", "--resume", "out", "--epochs", "3"], 64, "--epochs goes with --data"),
      (["--resume", "out", "--seed", "3"], 64, "--seed goes with --data"),
      (["--data", "data", "--augmentation", "heavy"], 64, "heavy"),
      (["--data", "data", "--from-scratch", "--val", "nowhere"], 66, "nowhere"),
    ])
  func usage(arguments: [String], status: Int32, expected: String) throws {
    let run = try run(["train"] + arguments)
    #expect(run.status == status, "\(run.errors)")
    #expect(run.errors.contains(expected), "\(run.errors)")
    #expect(run.output.isEmpty)
  }

  @Test("On a terminal there is one line an epoch, and PaddleClas' lines are in the log")
  func terminal() throws {
    var (master, slave): (Int32, Int32) = (-1, -1)
    try #require(openpty(&master, &slave, nil, nil, nil) == 0)
    let process = Process()
    process.executableURL = ToolRun.tool
    process.arguments = Self.short + ["--epochs", "3", "--output", "out"]
    process.currentDirectoryURL = workspace.url
    let terminal = FileHandle(fileDescriptor: slave, closeOnDealloc: false)
    process.standardOutput = terminal
    process.standardError = terminal
    process.standardInput = FileHandle.nullDevice
    try process.run()
    close(slave)
    var shown: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    // Reading fails when the last writer has gone.
    while case let count = read(master, &buffer, buffer.count), count > 0 { shown += buffer[..<count] }
    close(master)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let lines = String(decoding: shown, as: UTF8.self).components(separatedBy: "\r\n").map {
      $0.components(separatedBy: "\u{1B}[K").last ?? $0
    }
    let epochs = lines.filter { $0.hasPrefix("epoch ") && !$0.contains("█") && !$0.contains("░") }
    #expect(epochs.count == 3, "\(lines)")
    for (index, line) in epochs.enumerated() {
      #expect(line.hasPrefix("epoch \(index + 1)/3  "))
      #expect(line.contains("loss ") && line.contains("; evaluation loss ") && line.contains("top1 "), "\(line)")
    }
    #expect(epochs[0].hasSuffix("(best)"))
    #expect(!lines.contains { $0.contains("[Train]") || $0.contains("[Eval]") || $0.contains("Already save") })
    let log = try text("out/train.log")
    #expect(log.contains("[Train][Epoch 3/3][Avg]") && log.contains("Already save model in out/latest"))
  }

  @Test("Shells complete the names of models", arguments: ["bash", "zsh", "fish"])
  func completions(shell: String) throws {
    let script = try run(["--generate-completion-script", shell])
    #expect(script.status == 0)
    for name in ["PPHGNetV2_B0", "PPHGNetV2_B6", "PPHGNet_tiny"] { #expect(script.output.contains(name)) }
  }
}
