import HGNetCore

/// What happened to each parameter when weights were loaded.
///
/// Threads: a value, safe to share.
public struct LoadReport: Sendable, Hashable {
  /// A parameter whose shape is not the network's.
  public struct Difference: Sendable, Hashable {
    /// The name.
    public let name: String
    /// The shape that the network needs.
    public let expected: Shape
    /// The shape in the file.
    public let found: Shape
  }

  /// Parameters that were taken from the file.
  public internal(set) var matched: [String] = []
  /// Parameters of the network that the file does not have.
  public internal(set) var missing: [String] = []
  /// Parameters of the file that the network does not have.
  public internal(set) var unused: [String] = []
  /// Parameters with another shape than the network's.
  public internal(set) var misshapen: [Difference] = []
  /// Parameters of the file around the network, such as those of a detector or a teacher, which nobody asked for.
  public internal(set) var ignored: [String] = []
  /// Parameters of a new head that were given fresh values.
  public internal(set) var fresh: [String] = []

  /// One line about which of several networks in a checkpoint was taken, nil for a file with one.
  public internal(set) var choice: String?

  /// Whether the file and the network fit completely.
  public var isComplete: Bool { missing.isEmpty && unused.isEmpty && misshapen.isEmpty }

  /// One line that counts, such as `275 parameters matched`.
  public var summary: String {
    var parts = ["\(matched.count) parameters matched"]
    if !missing.isEmpty { parts.append("\(missing.count) missing (\(LoadReport.listing(missing)))") }
    if !unused.isEmpty { parts.append("\(unused.count) not used (\(LoadReport.listing(unused)))") }
    if !misshapen.isEmpty {
      let lines = misshapen.map { "\($0.name): expected \($0.expected), found \($0.found)" }
      parts.append("\(misshapen.count) misshapen (\(LoadReport.listing(lines)))")
    }
    if !fresh.isEmpty { parts.append("\(fresh.count) new with fresh values (\(LoadReport.listing(fresh)))") }
    if !ignored.isEmpty { parts.append("\(ignored.count) around the network ignored (\(LoadReport.listing(ignored)))") }
    return parts.joined(separator: ", ")
  }

  private static func listing(_ names: [String]) -> String {
    let shown = names.prefix(8).map { String($0.prefix(120)) }.joined(separator: "; ")
    return names.count > 8 ? "\(shown); and \(names.count - 8) more" : shown
  }
}

/// Compares the parameters of a file with the declarations of a network.
struct ParameterMatching {
  private var report = LoadReport()
  private var parameters = ParameterStore()
  private let graph: Graph
  private let parts: [String: NetworkPart]
  private let headPart: (String) -> NetworkPart?

  /// Compares.
  ///
  /// - Parameters:
  ///   - store: the parameters of the file.
  ///   - graph: the network.
  ///   - headPart: the part of the head that a parameter belongs to which the network does not have; nil for others.
  ///   - ignored: the names of the file that stand around the network.
  init(
    store: ParameterStore, graph: Graph, headPart: @escaping (String) -> NetworkPart? = { _ in nil },
    ignored: [String] = []
  ) {
    self.graph = graph
    self.headPart = headPart
    parts = Dictionary(graph.parameters.map { ($0.name, $0.part) }, uniquingKeysWith: { first, _ in first })
      .compactMapValues { $0 }
    var declared: Set<String> = []
    for declaration in graph.parameters {
      declared.insert(declaration.name)
      guard let parameter = store[declaration.name] else {
        report.missing.append(declaration.name)
        continue
      }
      guard parameter.shape == declaration.shape else {
        report.misshapen.append(
          LoadReport.Difference(name: declaration.name, expected: declaration.shape, found: parameter.shape))
        continue
      }
      report.matched.append(declaration.name)
      parameters[declaration.name] = parameter
    }
    report.unused = store.names.filter { !declared.contains($0) }
    report.ignored = ignored
  }

  /// The part of the network that a parameter of the network or of the file belongs to.
  private func part(of name: String) -> NetworkPart? { parts[name] ?? headPart(name) }

  /// The parameters if everything fits.
  ///
  /// - Parameter freshHead: values for the head when that, and only that, may differ: the classifier, and what makes the
  ///   embedding in front of it where one of the two sides has no layer there.
  /// - Throws: `HGNetError.Code.parameterMismatch` with all differences.
  func strict(freshHead: ParameterStore?) throws(HGNetError) -> (parameters: ParameterStore, report: LoadReport) {
    func isEmbedding(_ name: String) -> Bool { part(of: name) == .embedding }
    // Of an embedding that both have, every parameter must fit.
    let common = report.matched + report.misshapen.map(\.name)
    let replacesEmbedding =
      !common.contains(where: isEmbedding) && (report.missing + report.unused).contains(where: isEmbedding)
    func isHead(_ name: String) -> Bool {
      part(of: name) == .classifier || replacesEmbedding && isEmbedding(name)
    }
    var report = self.report
    var loaded = parameters
    if let freshHead {
      let names = report.missing.filter(isHead) + report.misshapen.map(\.name).filter(isHead)
      report.missing.removeAll(where: isHead)
      report.misshapen.removeAll { isHead($0.name) }
      report.ignored += report.unused.filter { isHead($0) && isEmbedding($0) }
      report.unused.removeAll(where: isHead)
      // A head is replaced whole: a bias must not survive its weight, nor a classifier what it reads.
      if !names.isEmpty || replacesEmbedding {
        for declaration in graph.parameters where isHead(declaration.name) {
          loaded[declaration.name] = freshHead[declaration.name]
          report.fresh.append(declaration.name)
          report.matched.removeAll { $0 == declaration.name }
        }
      }
    }
    guard report.isComplete else {
      let onlyHead = (report.missing + report.misshapen.map(\.name) + report.unused).allSatisfy(isHead)
      let remedy =
        onlyHead
        ? "; for another number of classes say -o Arch.class_num=N; `hgnet infer --new-head` starts with a new classifier"
        : "; these are weights of another network or a damaged file"
      throw HGNetError(.parameterMismatch, "the weights do not fit the network: \(report.summary)\(remedy)")
    }
    return (loaded, report)
  }
}
