import Foundation
import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetModels

/// Where one version of a model comes from.
///
/// Threads: a value, safe to share.
package struct ModelLocation: Sendable {
  /// A file of weights or the folder of an inference model.
  package let path: String
  /// The model that is expected; nil to recognise it.
  package var model: Model?
  /// A file of labels; nil for those that belong to the weights.
  package var labelsPath: String?
  /// Whether somebody named the file of labels; otherwise it was found beside the weights.
  package var areLabelsNamed = true
  /// The number of classes that are told; nil for what the recipe says.
  package var topK: Int?

  /// Names a file or folder.
  package init(path: String, model: Model? = nil, labelsPath: String? = nil, topK: Int? = nil) {
    self.path = path
    self.model = model
    self.labelsPath = labelsPath
    self.topK = topK
  }

  /// Reads and compiles the network.
  ///
  /// - Parameters:
  ///   - device: where the network will run.
  ///   - isAlone: whether all threads may pack the weights; else the caller's does, so that running models go on.
  ///   - warn: told of what can be lived with.
  /// - Throws: `HGNetError` naming the file.
  package func load(
    device: Device, isAlone: Bool = true, warn: (String) -> Void
  ) throws(HGNetError) -> ServedNetwork {
    let weights = try WeightsFile(contentsOf: path, model: model)
    if let choice = weights.report.choice { warn("\(path): \(choice)") }
    let found = try weights.findRecipe()
    for warning in found.warnings { warn(warning) }
    if let assumption = found.assumption { warn("\(path): \(assumption)") }
    var recipe = found.recipe
    if let labelsPath {
      // A file that merely lies there is no reason to serve nothing; one that somebody named is.
      recipe.labels =
        areLabelsNamed
        ? try weights.labels(contentsOf: labelsPath)
        : weights.fittingLabels(try Labels(contentsOf: labelsPath), warn: { warn("\(labelsPath): \($0)") })
    }
    if let topK, case .topK = recipe.postProcessing { recipe.postProcessing = .topK(topK) }
    return try ServedNetwork(weights, recipe: recipe, device: device, isAlone: isAlone)
  }

  /// What changes when somebody replaces the files, or those that say how their pictures are prepared.
  package var fingerprint: String {
    let manager = FileManager.default
    var paths = [path]
    if let inside = manager.enumerator(atPath: path) {
      while let name = inside.nextObject() as? String, paths.count < 1000 { paths.append("\(path)/\(name)") }
    } else {
      paths += [WeightsFile.withImpliedEnding(path)] + parametersBeside
    }
    if let labelsPath { paths.append(labelsPath) }
    paths += WeightsFile.recipeFiles(of: path)
    return Set(paths).sorted().map { path in
      var status = stat()
      guard stat(path, &status) == 0 else { return "\(path):none" }
      return
        "\(path):\(status.st_ino):\(status.st_size):\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }.joined(separator: "\n")
  }
}

extension ModelLocation {
  /// Files of the same name with another ending, such as `model.onnx.data` or `inference.pdiparams`.
  private var parametersBeside: [String] {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard let name = parts.last, let dot = name.firstIndex(of: ".") else { return [] }
    let folder = parts.dropLast().joined(separator: "/")
    let place = parts.count > 1 ? "\(folder)/" : ""
    let names = (try? FileManager.default.contentsOfDirectory(atPath: place.isEmpty ? "." : place)) ?? []
    return names.filter { $0.hasPrefix(name[...dot]) }.map { place + $0 }
  }
}

/// A folder of models: `NAME/VERSION/` with one model each, where a version is a whole number.
package struct ModelFolder: Sendable {
  /// The folder.
  package let path: String
  /// The number of classes that are told; nil for what the recipes say.
  package var topK: Int?

  /// Names the folder.
  package init(path: String, topK: Int? = nil) {
    self.path = path
    self.topK = topK
  }

  /// The names of the models: the folders in this one that are not hidden.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`.
  package func names() throws(HGNetError) -> [String] {
    try folders(in: path).filter { !$0.hasPrefix(".") }.sorted()
  }

  /// The versions of a model, ascending.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`.
  package func versions(of name: String) throws(HGNetError) -> [Int] {
    try folders(in: "\(path)/\(name)").compactMap { Int($0) }.filter { $0 >= 0 }.sorted()
  }

  /// Where a version's files are.
  ///
  /// - Throws: `HGNetError.Code.noInput` for a folder without a model, `invalidArgument` for one with several.
  package func source(of name: String, version: Int) throws(HGNetError) -> ModelLocation {
    let folder = "\(path)/\(name)/\(version)"
    let files = try FileKind.entries(of: folder).sorted()
    let labels = ["\(folder)/labels.txt", "\(path)/\(name)/labels.txt"].first { FileKind.exists($0) }
    if WeightsFile.model(inFolder: folder) != nil { return location(folder, labels) }
    let models = files.filter { file in WeightsFile.endings.contains(where: file.hasSuffix) }
    guard let model = models.first else {
      throw HGNetError(
        .noInput,
        "expected a model: \(WeightsFile.endings.joined(separator: ", ")), or the files of an inference model",
        path: folder)
    }
    guard models.count == 1 else {
      throw HGNetError(
        .invalidArgument,
        "expected one model, found \(models.joined(separator: ", ")); a version is a folder of its own",
        path: folder)
    }
    return location("\(folder)/\(model)", labels)
  }

  private func location(_ path: String, _ labels: String?) -> ModelLocation {
    var location = ModelLocation(path: path, labelsPath: labels, topK: topK)
    location.areLabelsNamed = false
    return location
  }

  private func folders(in path: String) throws(HGNetError) -> [String] {
    try FileKind.entries(of: path).filter { FileKind.isFolder("\(path)/\($0)") }
  }
}

extension FileKind {
  /// The names in a folder.
  fileprivate static func entries(of path: String) throws(HGNetError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      let isMissing = access(path, F_OK) != 0
      throw HGNetError(
        isMissing ? .fileNotFound : .unreadableFile, "expected a folder of models; check the path", path: path,
        cause: isMissing ? nil : error.localizedDescription)
    }
  }
}
