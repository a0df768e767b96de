import HGNetCore

/// A file of weights trained on ImageNet-1k that the authors of the family publish.
///
/// Only facts are kept here: names, places and published figures. Fetching is the work of HGNetDownload.
/// Threads: a value, safe to share. Source: PaddleClas' model pages.
package struct PublishedWeights: Sendable, Hashable {
  /// How the weights were trained, and what the file holds.
  package enum Kind: String, Sendable, Hashable, CaseIterable {
    /// PP-HGNetV2 distilled on a larger set of pictures without labels: the start for fine-tuning (`pretrained: True`).
    case stage1
    /// PP-HGNetV2 distilled again on ImageNet-1k: the weights of the published accuracy.
    case stage2
    /// PP-HGNet trained on ImageNet-1k without distillation.
    case supervised
    /// PP-HGNet distilled (`use_ssld`).
    case distilled

    /// What the training is called in the names of files.
    fileprivate var suffix: String {
      switch self {
      case .stage1: "_ssld_stage1"
      case .stage2, .distilled: "_ssld"
      case .supervised: ""
      }
    }
  }

  /// What a file holds.
  package enum Form: String, Sendable, Hashable, CaseIterable {
    /// A state dictionary, `.pdparams`.
    case stateDictionary
    /// An inference model, program and parameters in one `.tar`.
    case inferenceModel
  }

  /// The top-1 and top-5 accuracy on the ImageNet-1k validation pictures, in percent, as published.
  package struct Accuracy: Sendable, Hashable {
    /// The share of pictures whose class comes first.
    package let top1: Double
    /// The share of pictures whose class is among the first five.
    package let top5: Double
  }

  /// The model that the weights belong to.
  package let model: Model
  /// How they were trained.
  package let kind: Kind
  /// What the file holds.
  package let form: Form

  /// The folder that all files lie under; a mirror has the same layout below its own.
  package static let baseURL = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph"

  /// The name of the file, such as `PPHGNetV2_B0_ssld_stage1_pretrained.pdparams`.
  package var fileName: String {
    switch form {
    case .stateDictionary: "\(model.name)\(kind.suffix)_pretrained.pdparams"
    case .inferenceModel: "\(model.name)\(kind.suffix)_infer.tar"
    }
  }

  /// The place of the file below the base, such as `legendary_models/PPHGNetV2_B0_ssld_pretrained.pdparams`.
  package var path: String {
    switch form {
    case .stateDictionary: "legendary_models/\(fileName)"
    case .inferenceModel: "inference/\(fileName)"
    }
  }

  /// The address of the file under a base, whose trailing slashes are ignored.
  package func url(base: String = PublishedWeights.baseURL) -> String {
    var folder = Substring(base)
    while folder.last == "/" { folder.removeLast() }
    return "\(folder)/\(path)"
  }

  /// The published accuracy at 224×224, where there is a figure for these weights.
  package var accuracy: Accuracy? {
    let figures: [String: (Double, Double)] = [
      "PPHGNetV2_B0_ssld": (77.77, 93.91), "PPHGNetV2_B1_ssld": (79.18, 94.57), "PPHGNetV2_B2_ssld": (81.74, 95.88),
      "PPHGNetV2_B3_ssld": (82.98, 96.43), "PPHGNetV2_B4_ssld": (83.57, 96.72), "PPHGNetV2_B5_ssld": (84.75, 97.32),
      "PPHGNetV2_B6_ssld": (86.30, 97.84), "PPHGNet_tiny": (79.83, 95.04), "PPHGNet_tiny_ssld": (81.95, 96.12),
      "PPHGNet_small": (81.51, 95.82), "PPHGNet_small_ssld": (83.82, 96.81), "PPHGNet_base_ssld": (85.00, 97.35),
    ]
    return figures[model.name + kind.suffix].map { Accuracy(top1: $0.0, top5: $0.1) }
  }

  /// The side that the shorter side of a picture is resized to in the model's evaluation configuration, in pixels.
  ///
  /// Bicubic as Pillow does it; the middle 224×224 pixels are then cut out. The distillation configurations of
  /// PP-HGNetV2 evaluate at 236 instead.
  package var evaluationShortSide: Int {
    switch model.architecture {
    case .pphgnetV2: 232
    case .pphgnet: model == .tiny ? 232 : 236
    }
  }
}

extension PublishedWeights {
  /// Every published file, by model; state dictionaries before inference models.
  package static let all: [PublishedWeights] = Model.all.flatMap { model in
    let kinds = trainings(of: model)
    let states = kinds.map { PublishedWeights(model: model, kind: $0, form: .stateDictionary) }
    // The inference models of PP-HGNetV2 hold the second stage only.
    let inference = kinds.filter { $0 != .stage1 }.map {
      PublishedWeights(model: model, kind: $0, form: .inferenceModel)
    }
    return states + inference
  }

  private static func trainings(of model: Model) -> [Kind] {
    switch model.architecture {
    case .pphgnetV2: [.stage1, .stage2]
    case .pphgnet: model == .base ? [.distilled] : [.supervised, .distilled]
    }
  }

  /// The file of a name, with or without its extension.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` with the nearest name.
  package static func named(_ name: String) throws(HGNetError) -> PublishedWeights {
    func stem(_ file: String) -> String {
      for ending in [".pdparams", ".tar"] where file.hasSuffix(ending) { return String(file.dropLast(ending.count)) }
      return file
    }
    let wanted = stem(String(name.prefix(256)))
    if let file = all.first(where: { stem($0.fileName) == wanted }) { return file }
    let nearest = all.min { left, right in
      editDistance(wanted, stem(left.fileName)) < editDistance(wanted, stem(right.fileName))
    }
    let suggestion = nearest.map { "; did you mean \(stem($0.fileName))?" } ?? ""
    throw HGNetError(.invalidArgument, "no published weights are named \(HGNetError.quoted(wanted))\(suggestion)")
  }

  /// The most accurate state dictionary of a model, for prediction.
  ///
  /// - Returns: nil for a model that is not one of the ten.
  package static func mostAccurate(for model: Model) -> PublishedWeights? {
    all.last { $0.model == model && $0.form == .stateDictionary }
  }

  /// The state dictionary that PaddleClas' `Arch.pretrained: True` stands for: where fine-tuning starts.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - distilled: `Arch.use_ssld`; PP-HGNetV2 has distilled weights only and ignores it.
  /// - Returns: nil where nothing is published.
  package static func pretrained(for model: Model, distilled: Bool = false) -> PublishedWeights? {
    all.first {
      guard $0.model == model, $0.form == .stateDictionary else { return false }
      switch model.architecture {
      case .pphgnetV2: return $0.kind == .stage1
      case .pphgnet: return $0.kind == (distilled ? .distilled : .supervised)
      }
    }
  }
}
