import HGNetCore

/// What a format of weights is called, and what its files are called.
///
/// The formats that are read are those of `WeightsFile.readers`; each is defined beside its reader. Threads: a value, safe
/// to share.
public struct WeightsFormat: Sendable, Hashable {
  /// What a person calls it.
  public let title: String
  /// The endings of a file that holds everything, each with its dot, the usual one first.
  public let endings: [String]
  /// Whether the file brings its own network and says what it does with the logits.
  public let isInferenceModel: Bool
  /// The names of files that make the folder in which they lie the model itself, in order of preference.
  package let namesInFolder: [String]

  /// Describes a format.
  package init(title: String, endings: [String], isInferenceModel: Bool = false, namesInFolder: [String] = []) {
    self.title = title
    self.endings = endings
    self.isInferenceModel = isInferenceModel
    self.namesInFolder = namesInFolder
  }
}

/// What a file of weights holds.
package struct WeightsContents: Sendable {
  /// A network that a file brings with it.
  package struct Network: Sendable {
    /// The network; it declares exactly the parameters that the file holds.
    package var graph: Graph
    /// What turns logits into the output.
    package var activation: HeadActivation
    /// Height and width that the input must have, nil where the file leaves them open.
    package var declaredInputSize: Size?
    /// Where the values of results lie that the network rounds to bytes, by the names of nodes; empty for other networks.
    package var ranges: [String: ClosedRange<Float>] = [:]
  }

  /// The parameters under the names of the file; slices of it where they can be.
  package var parameters: ParameterStore
  /// Texts beside the weights, by name; a recipe is `inference.yml`.
  package var metadata: [String: String]
  /// The network, nil for a state dictionary.
  package var network: Network?
  /// One line where the file holds several networks: which of them was taken.
  package var choice: String?

  /// Takes what a file holds.
  package init(parameters: ParameterStore, metadata: [String: String] = [:], network: Network? = nil) {
    self.parameters = parameters
    self.metadata = metadata
    self.network = network
  }
}

/// What a network that brings its own head does with the logits.
package enum HeadActivation: String, Sendable, Hashable {
  /// Nothing: the output is the logits.
  case none
  /// Probabilities over the classes.
  case softmax
  /// One probability per label.
  case sigmoid
}

/// One format of weights: how its files are recognised, and how they are read.
///
/// A format is a file with a reader and a line in `WeightsFile.readers`. Names of parameters stay those of the file;
/// `NameTranslation` knows what they mean.
package protocol WeightsReader: Sendable {
  /// What the format is called.
  static var format: WeightsFormat { get }
  /// Whether a folder may be a model of this format, which is then read by its path.
  static var readsFolders: Bool { get }

  /// Whether a file is of this format, as its first bytes show, or its name where these say nothing.
  ///
  /// A cheap look, not a check: what is recognised may still be damaged.
  static func recognises(_ blob: Blob) -> Bool

  /// Reads all of a file.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported`, `unsafeContent`, `limitExceeded`, saying what was found.
  static func weights(in blob: Blob) throws(HGNetError) -> WeightsContents

  /// Reads a file, or a folder if `readsFolders`.
  ///
  /// - Throws: as `weights(in:)`; `HGNetError.Code.fileNotFound`, `unreadableFile`.
  static func weights(at path: String) throws(HGNetError) -> WeightsContents
}

extension WeightsReader {
  package static var readsFolders: Bool { false }

  package static func weights(at path: String) throws(HGNetError) -> WeightsContents {
    try weights(in: Blob(mapping: path))
  }
}
