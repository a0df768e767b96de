import Foundation
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetVision
import Testing

@Suite("Sizes that no memory holds are one error, before anything is taken")
struct BoundsTests {
  let workspace: Workspace
  let weights: String
  let picture: String

  init() throws {
    workspace = try Workspace()
    weights = workspace.path("w.safetensors")
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 10, classExpand: 32))
    try Safetensors.write(Model.randomParameters(for: graph, seed: 11), to: weights)
    picture = workspace.path("p.png")
    try Image(size: Size(40), pixels: [UInt8](repeating: 100, count: 4800)).write(to: picture)
  }

  /// Runs the tool, which may have 1000 MiB, and checks that it says so.
  private func refuse(_ arguments: [String], mentions words: [String]) throws {
    let run = try ToolRun(arguments, environment: ["HGNET_MEMORY_LIMIT": "1000"], folder: workspace.url.path)
    #expect(run.status == 65, "\(arguments): \(run.status) \(run.errors)")
    #expect(run.errors.split(separator: "\n").count { $0.hasPrefix("hgnet: error:") } == 1, "\(run.errors)")
    for word in words { #expect(run.errors.contains(word), "\(arguments): expected \(word) in \(run.errors)") }
  }

  @Test("Input sizes", arguments: ["65537", "4611686018427387904", "9223372036854775807", "32x9223372036854775807"])
  func inputSizes(_ size: String) throws {
    for command in [
      ["summary", "PPHGNetV2_B0"], ["bench", weights], ["bench", weights, "--training"],
      ["export", "--weights", weights, "--output", "x"], ["train", "--data", ".", "--model", "PPHGNetV2_B0"],
    ] {
      try refuse(command + ["--input-size", size], mentions: ["65536×65536", "found"])
    }
  }

  @Test("An export for large pictures")
  func export() throws {
    try refuse(
      ["export", "--weights", weights, "--output", "x", "--input-size", "65536x65536"],
      mentions: ["65536×65536", "GB", "HGNET_MEMORY_LIMIT", "would fit"])
  }

  @Test("Batches")
  func batches() throws {
    for kind in [[], ["--training"]] {
      try refuse(
        ["bench", weights, "--batch", "20000"] + kind,
        mentions: ["GB", "HGNET_MEMORY_LIMIT", "a batch of", "would fit"])
    }
  }

  // Stacks that no address space holds: every new thread is refused. Swift's runtime would try again for ever.
  @Test("A process that gets no thread says so", .timeLimit(.minutes(1)))
  func threads() throws {
    let run = try ToolRun(
      ["predict", picture, "--weights", weights], folder: workspace.url.path,
      limits: "ulimit -s 40000000 && ulimit -v 20000000")
    #expect(run.status == 65 && run.errors.contains("no more threads"), "\(run.status) \(run.errors)")
  }

  @Test("A run whose parts would each fit is refused before it trains where all of them together do not")
  func wholeRun() throws {
    for name in ["a", "b"] {
      for number in 0..<10 {
        try workspace.write("", "data/\(name)/\(number).png")
        try Image(size: Size(40), pixels: [UInt8](repeating: UInt8(20 * number), count: 4800))
          .write(to: workspace.path("data/\(name)/\(number).png"))
      }
    }
    // Activations alone take 281 MB, with everything that is kept for each parameter and an evaluation 365 MB.
    let run = try ToolRun(
      ["train", "--data", "data", "--from-scratch", "--input-size", "224", "--batch", "16", "--output", "no"],
      environment: ["HGNET_MEMORY_LIMIT": "345"], folder: workspace.url.path)
    #expect(run.status == 65, "\(run.errors)")
    #expect(run.errors.contains("for evaluation") && run.errors.contains("would fit"), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: workspace.path("no")))
  }

  @Test("A recipe of 500 bytes that asks for a gigantic crop")
  func recipe() throws {
    let exported = try ToolRun(["export", "--weights", weights, "--output", "m"], folder: workspace.url.path)
    #expect(exported.status == 0, "\(exported.errors)")
    for side in [32_768, 20_000] {
      try workspace.write(
        """
        Global: {model_name: PPHGNetV2_B0}
        PreProcess:
          transform_ops:
            - ResizeImage: {resize_short: \(side), interpolation: bicubic, backend: pil}
            - CropImage: {size: \(side)}
            - NormalizeImage: {scale: 0.00392, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], order: ""}
            - ToCHWImage: null
        PostProcess:
          Topk: {topk: 5, label_list: [a, b, c, d, e, f, g, h, i, j]}

        """, "m/inference.yml")
      try refuse(["predict", picture, "--weights", "m"], mentions: ["\(side)×\(side)", "GB", "would fit"])
    }
  }

  @Test("Training with more classes or larger crops than memory holds")
  func training() throws {
    for (folder, name) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")] {
      let path = try workspace.write("", "data/\(folder)/\(name).png")
      try Image(size: Size(40), pixels: [UInt8](repeating: 90, count: 4800)).write(to: path)
    }
    try workspace.write("data/a/1.png 0\ndata/b/3.png 1\n", "list.txt")
    func configuration(_ classes: Int, _ crop: Int) -> String {
      """
      Global: {epochs: 1, output_dir: out, image_shape: [3, 32, 32], eval_during_train: False}
      Arch: {name: PPHGNetV2_B0, class_num: \(classes)}
      Loss: {Train: [{CELoss: {weight: 1.0}}]}
      Optimizer: {name: Momentum, momentum: 0.9, lr: {name: Constant, learning_rate: 0.1}}
      DataLoader:
        Train:
          dataset:
            name: ImageNetDataset
            image_root: .
            cls_label_path: list.txt
            transform_ops:
              - DecodeImage: {to_rgb: True, channel_first: False}
              - RandCropImage: {size: \(crop)}
              - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], order: ''}
          sampler: {name: DistributedBatchSampler, batch_size: 2, drop_last: False, shuffle: True}

      """
    }
    try workspace.write(configuration(16_777_216, 32), "classes.yaml")
    try refuse(["train", "-c", "classes.yaml"], mentions: ["16777216 classes", "GB", "classes would fit"])
    try workspace.write(configuration(2, 30_000), "crop.yaml")
    try refuse(["train", "-c", "crop.yaml"], mentions: ["30000×30000", "GB", "would fit"])
  }

  @Test("A thin picture takes the memory of its crop")
  func thin() throws {
    let thin = workspace.path("thin.png")
    try Image(size: Size(height: 1, width: 19_900), pixels: [UInt8](repeating: 9, count: 59_700)).write(to: thin)
    // The whole resized picture would be 3.1 GB.
    let run = try ToolRun(
      ["predict", thin, "--weights", weights], environment: ["HGNET_MEMORY_LIMIT": "400"], folder: workspace.url.path)
    #expect(run.status == 0, "\(run.errors)")
  }

  @Test("A picture above the number of pixels is an error of that picture alone")
  func pixels() throws {
    let large = workspace.path("large.png")
    try Image(size: Size(height: 1001, width: 1000), pixels: [UInt8](repeating: 9, count: 3_003_000)).write(to: large)
    let run = try ToolRun(
      ["predict", large, picture, "--weights", weights], environment: ["HGNET_MAX_PIXELS": "1"],
      folder: workspace.url.path)
    #expect(run.status == 65)
    #expect(run.errors.contains("large.png") && run.errors.contains("HGNET_MAX_PIXELS"), "\(run.errors)")
    #expect(run.output.contains("p.png"))
  }
}
