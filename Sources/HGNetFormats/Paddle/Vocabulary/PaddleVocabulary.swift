import HGNetCore

/// Some operators of networks in the words of Paddle's programs: what they are called, how they are read, how they are
/// written.
///
/// An operator stands in one vocabulary, whatever it is used for; `PaddleProgram.vocabularies` lists them.
protocol PaddleVocabulary: Sendable {
  /// What the operators are called.
  static var names: [PaddleName] { get }

  /// Reads an operator; false for one of another vocabulary.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a use that is no part of these networks, `malformedData`,
  ///   `shapeMismatch`, `limitExceeded`.
  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool

  /// Appends what a node is in a program; nil for one of another vocabulary.
  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result?
}

extension PaddleProgram {
  /// All that is read and written; the first that knows an operator has it.
  static let vocabularies: [any PaddleVocabulary.Type] = [
    PaddleDecoder.self,
    PaddleProducts.self,
    PaddleNormalizations.self,
    PaddleElementwise.self,
    PaddlePools.self,
    PaddleShapes.self,
    PaddleQuantizers.self,
  ]
}

/// What an operator is called in both encodings, and how its operands and results are.
struct PaddleName: Sendable {
  /// The name under which it is read, mostly that of the older encoding.
  var kind: String
  /// All its names in the older encoding.
  var older: [String]
  /// All its names in the newer encoding; none for an operator that it does not have.
  var newer: [String]
  /// The slots of the older encoding in the order of the newer one's operands.
  var operands: [String]
  /// The slot of the result.
  var result: String
  /// Operands of the newer encoding that must be constants, with the attribute that they stand for.
  var constants: [Int: String]
  /// Attributes of the newer encoding that the older one calls otherwise.
  var renamedAttributes: [String: String]

  /// Names an operator; nil for the names of the older encoding stands for its kind alone.
  init(
    _ kind: String, older: [String]? = nil, newer: [String], operands: [String] = ["X"], result: String = "Out",
    constants: [Int: String] = [:], renamedAttributes: [String: String] = [:]
  ) {
    self.kind = kind
    self.older = older ?? [kind]
    self.newer = newer
    self.operands = operands
    self.result = result
    self.constants = constants
    self.renamedAttributes = renamedAttributes
  }

  private static let all =
    [PaddleName("fetch", newer: ["fetch"])] + PaddleProgram.vocabularies.flatMap { $0.names }
  private static let byOlder = table(\.older)
  private static let byNewer = table(\.newer)

  private static func table(_ names: (PaddleName) -> [String]) -> [String: PaddleName] {
    var table: [String: PaddleName] = [:]
    for entry in all { for name in names(entry) { table[name] = entry } }
    return table
  }

  /// The kind of an operator of the older encoding, which is its name where nothing knows it.
  static func kind(older name: String) -> String { byOlder[name]?.kind ?? name }

  /// The operator of a name in the newer encoding.
  static func newer(_ name: String) -> PaddleName? { byNewer[name] }
}

extension PaddleTranslator {
  /// Translates one operator.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming it when it is none of these networks'.
  mutating func translate(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    switch operation.kind {
    case "feed": return try feed(operation)
    case "fetch": return try fetch(operation)
    default: break
    }
    for vocabulary in PaddleProgram.vocabularies {
      if try vocabulary.read(operation, into: &self) { return }
    }
    throw HGNetError(
      .unsupported, "the operator \(operation.kind) is not part of PP-HGNet; export a plain float32 classifier")
  }
}
