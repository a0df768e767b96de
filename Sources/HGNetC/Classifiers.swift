// The names of the functions are C's, and hgnet.h documents them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

import CHGNet
import HGNet
import HGNetCore

/// All open classifiers of the process.
enum Classifiers {
  private static let table = HandleTable<OpenClassifier>(first: 0x6867_6E65_7400_0000)

  /// The classifier of a handle.
  static func open(_ handle: hgnet_classifier) throws -> OpenClassifier {
    guard let classifier = try table.object(handle.id) else { throw stale(handle) }
    return classifier
  }

  /// Opens weights and hands their classifier to the caller; a failure leaves zero there.
  static func open(
    into pointer: UnsafeMutablePointer<hgnet_classifier>?, options: UnsafePointer<hgnet_options>?,
    _ weights: (OpeningOptions) throws -> WeightsFile
  ) throws {
    // Tables that live for ever are made here.
    hg_leaks_ignore()
    defer { hg_leaks_observe() }
    let target = try Call.required(pointer, "the place for the classifier")
    target.pointee = hgnet_classifier(id: 0)
    let options = try OpeningOptions(options)
    let weights = try weights(options)
    if let choice = weights.report.choice { options.hooks.log(.info, "\(weights.path): \(choice)") }
    target.pointee.id = try table.insert(OpenClassifier(weights, options: options))
  }

  static func close(_ handle: hgnet_classifier) throws {
    guard handle.id != 0 else { return }
    guard try table.remove(handle.id) != nil else { throw stale(handle) }
  }

  private static func stale(_ handle: hgnet_classifier) -> CallFailure {
    let found = handle.id == 0 ? "zero" : "one that was closed or never opened"
    return CallFailure(status: HGNET_INVALID_HANDLE, text: "expected an open classifier, found \(found)")
  }
}

@c @implementation
public func hgnet_classifier_open(
  _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<hgnet_options>?,
  _ classifier: UnsafeMutablePointer<hgnet_classifier>?
) -> hgnet_status {
  Call.status {
    try Classifiers.open(into: classifier, options: options) { options in
      try WeightsFile(contentsOf: String(cString: Call.required(path, "a path")), model: options.model)
    }
  }
}

@c @implementation
public func hgnet_classifier_open_memory(
  _ bytes: UnsafeRawPointer?, _ byteCount: Int, _ options: UnsafePointer<hgnet_options>?,
  _ classifier: UnsafeMutablePointer<hgnet_classifier>?
) -> hgnet_status {
  Call.status {
    try Classifiers.open(into: classifier, options: options) { options in
      let bytes = try Call.bytes(bytes, count: byteCount, "bytes of weights")
      return try WeightsFile(decoding: Blob(bytes), model: options.model)
    }
  }
}

@c @implementation
public func hgnet_classifier_open_program(
  _ program: UnsafeRawPointer?, _ programByteCount: Int, _ parameters: UnsafeRawPointer?, _ parametersByteCount: Int,
  _ options: UnsafePointer<hgnet_options>?, _ classifier: UnsafeMutablePointer<hgnet_classifier>?
) -> hgnet_status {
  Call.status {
    try Classifiers.open(into: classifier, options: options) { _ in
      let program = try Call.bytes(program, count: programByteCount, "bytes of a program")
      let parameters = try Call.bytes(parameters, count: parametersByteCount, "bytes of parameters")
      return try WeightsFile(program: Blob(program), parameters: Blob(parameters))
    }
  }
}

@c @implementation
public func hgnet_classifier_open_published(
  _ name: UnsafePointer<CChar>?, _ isOffline: Int32, _ options: UnsafePointer<hgnet_options>?,
  _ classifier: UnsafeMutablePointer<hgnet_classifier>?
) -> hgnet_status {
  Call.status {
    try Classifiers.open(into: classifier, options: options) { options in
      let file = try PublishedFile(named: String(cString: Call.required(name, "a name")))
      return try WeightsFile(
        contentsOf: file.path(isOffline: isOffline != 0, hooks: options.hooks), model: options.model)
    }
  }
}

@c @implementation
public func hgnet_classifier_close(_ classifier: hgnet_classifier) -> hgnet_status {
  Call.status { try Classifiers.close(classifier) }
}

@c @implementation
public func hgnet_classifier_describe(
  _ classifier: hgnet_classifier, _ description: UnsafeMutablePointer<hgnet_description>?
) -> hgnet_status {
  Call.status {
    let open = try Classifiers.open(classifier)
    let target = try Call.required(description, "the place for the description")
    let size = try Call.structureSize(target, "hgnet_description")
    var result = hgnet_description()
    result.struct_size = size
    withUnsafeMutableBytes(of: &result.model) { Call.write(open.modelName, into: $0) }
    result.class_count = open.classCount
    result.has_labels = open.labels == nil ? 0 : 1
    result.threads = Int32(clamping: open.classifier.device.pool.count)
    let input = open.classifier.recipe.inputSize ?? open.classifier.model.graph.inputSize
    result.height = Int32(clamping: input.height)
    result.width = Int32(clamping: input.width)
    result.recipe_origin = open.recipeOrigin.number
    result.precision = PrecisionChoice(open.classifier.model.precision).number
    result.embedding_count = open.embeddingCount
    result.stage_count = Int32(clamping: open.stageCount)
    result.activation = number(of: open.classifier.recipe.activation)
    result.file_activation = number(of: open.fileActivation)
    withUnsafeMutableBytes(of: &result.device) { Call.write(open.classifier.device.description, into: $0) }
    Call.write(result, of: size, to: target)
  }
}

private func number(of activation: Activation?) -> hgnet_activation {
  switch activation {
  case .softmax: HGNET_SOFTMAX
  case .sigmoid: HGNET_SIGMOID
  case .some(.none): HGNET_NO_ACTIVATION
  case nil: HGNET_ACTIVATION_UNTOLD
  }
}

@c @implementation
public func hgnet_classifier_label(
  _ classifier: hgnet_classifier, _ index: Int, _ label: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) -> hgnet_status {
  Call.status {
    let open = try Classifiers.open(classifier)
    let target = try Call.required(label, "the place for the label")
    guard (0..<open.classCount).contains(index) else {
      throw CallFailure.invalidArgument(
        "expected a class of 0 to \(open.classCount - 1), found \(UInt(bitPattern: index))")
    }
    target.pointee = open.labels?[index]
  }
}

extension WeightsRecipe.Origin {
  /// What C calls it.
  fileprivate var number: hgnet_recipe_origin {
    switch self {
    case .given: HGNET_RECIPE_GIVEN
    case .beside: HGNET_RECIPE_BESIDE
    case .inside: HGNET_RECIPE_INSIDE
    case .published: HGNET_RECIPE_PUBLISHED
    case .assumed: HGNET_RECIPE_ASSUMED
    }
  }
}
