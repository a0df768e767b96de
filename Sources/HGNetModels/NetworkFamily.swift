import HGNetCore

/// Networks that are built alike, and all that is known about them: the table, the names that other systems have for their
/// parameters, and the files that are published.
///
/// A family is a file of its own with a row type (`NetworkArchitecture`) and such a value, and an entry in `all`.
/// Threads: a value, safe to share.
public struct NetworkFamily: Sendable, Hashable {
  /// What it is called, such as `PP-HGNetV2`.
  public let name: String
  /// Its networks, the smallest first.
  public let models: [Model]
  /// The parameter of the first layer under PaddlePaddle's name, by which the network is found in a larger store.
  package let firstParameter: String
  /// Short names by which a model may be called as well.
  package let aliases: @Sendable (_ model: String) -> [String]
  /// The beginnings of the names of the head's parameters.
  package let headNames: [(prefix: String, part: NetworkPart)]
  /// Linear weights, which PyTorch stores as `[out, in]`.
  package let linearWeights: [String]
  /// How other systems call the parameters.
  package let otherNames: [OtherNames]
  /// What is published, state dictionaries before inference models for each model.
  package let published: [PublishedWeights]

  /// Every family.
  public static let all = [PPHGNetV2.family, PPHGNet.family]

  /// Makes a family; what is not given is as in PaddleClas' newer networks, or does not exist.
  package init(
    name: String, models: [Model], firstParameter: String,
    aliases: @escaping @Sendable (_ model: String) -> [String] = { _ in [] },
    headNames: [(prefix: String, part: NetworkPart)] = [
      ("last_conv.", .embedding), ("lab.", .embedding), ("fc.", .classifier),
    ],
    linearWeights: [String] = ["fc.weight"], otherNames: [OtherNames] = [], published: [PublishedWeights] = []
  ) {
    self.name = name
    self.models = models
    self.firstParameter = firstParameter
    self.aliases = aliases
    self.headNames = headNames
    self.linearWeights = linearWeights
    self.otherNames = otherNames
    self.published = published
  }

  /// The part of the head that a name belongs to, whether or not a network has such a parameter; nil for other names.
  package func headPart(ofParameter name: String) -> NetworkPart? {
    headNames.first { name.hasPrefix($0.prefix) }?.part
  }

  /// Families are the same when they have the same name.
  public static func == (left: NetworkFamily, right: NetworkFamily) -> Bool { left.name == right.name }

  /// Hashes the name.
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }

  /// The names of all families, as a sentence lists them.
  static var listing: String {
    all.map(\.name).joined(separator: " or ")
  }
}

/// How another system calls the parameters of a family.
///
/// The names of running statistics and the counts of batches, which every PyTorch network has, are translated before.
package struct OtherNames: Sendable {
  /// Whose names they are.
  package let convention: NameTranslation.Convention
  /// The parameter of the first layer.
  package let firstParameter: String
  /// PaddlePaddle's names of a network's parameters by these; without those that PaddlePaddle does not have.
  package let toPaddle: @Sendable (_ names: [String]) -> [String: String]
  /// These names of a network's parameters by PaddlePaddle's; without those that have no place here.
  package let fromPaddle: @Sendable (_ names: [String]) -> [String: String]

  /// Names that need the whole list to be translated.
  package init(
    _ convention: NameTranslation.Convention, firstParameter: String,
    toPaddle: @escaping @Sendable (_ names: [String]) -> [String: String],
    fromPaddle: @escaping @Sendable (_ names: [String]) -> [String: String]
  ) {
    self.convention = convention
    self.firstParameter = firstParameter
    self.toPaddle = toPaddle
    self.fromPaddle = fromPaddle
  }

  /// Names that are translated one by one, by the parts between their dots.
  package init(
    _ convention: NameTranslation.Convention, firstParameter: String,
    paddleParts: @escaping @Sendable (_ parts: [String]) -> [String]?,
    otherParts: @escaping @Sendable (_ parts: [String]) -> [String]?
  ) {
    @Sendable func translate(_ names: [String], _ rule: ([String]) -> [String]?) -> [String: String] {
      var result: [String: String] = [:]
      for name in names {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        result[name] = rule(parts)?.joined(separator: ".")
      }
      return result
    }
    self.init(
      convention, firstParameter: firstParameter, toPaddle: { translate($0, paddleParts) },
      fromPaddle: { translate($0, otherParts) })
  }
}
