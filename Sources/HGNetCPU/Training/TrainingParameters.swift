import HGNetCore

/// The parameters of a network in training, with room for a gradient beside each.
///
/// Values are float32 in PaddlePaddle's layout, in the order of the graph's declarations; running statistics are among
/// them and have no gradient. A training session reads and writes them during a step, an optimiser between two steps.
///
/// Threads: one task at a time; the class does not guard itself.
package final class TrainingParameters: Sendable {
  /// The names, shapes and roles, in state-dictionary order.
  package let declarations: [ParameterDeclaration]
  /// Whether each parameter is kept as it is; an optimiser leaves it alone.
  package let isFrozen: [Bool]
  private let offsets: [Int]
  private let count: Int
  nonisolated(unsafe) private let values: UnsafeMutablePointer<Float>
  nonisolated(unsafe) private let gradients: UnsafeMutablePointer<Float>
  private let indices: [String: Int]

  /// Copies the parameters that a graph declares.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - parameters: a value for each declaration.
  ///   - isFrozen: which parameters are kept as they are; a normalisation whose running statistics are kept normalises
  ///     with them.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter that is missing or has another shape,
  ///   `limitExceeded` when there is not enough memory.
  package convenience init(
    graph: Graph, parameters: ParameterStore, isFrozen: (ParameterDeclaration) -> Bool = { _ in false }
  ) throws(HGNetError) {
    try self.init(declarations: graph.parameters, parameters: parameters, isFrozen: isFrozen)
  }

  /// Copies the parameters of several networks that are trained together; see `Graph.prefixingParameters(with:)`.
  ///
  /// - Parameters:
  ///   - declarations: those of the networks one after the other, each name once.
  ///   - parameters: a value for each declaration.
  ///   - isFrozen: as for one network.
  /// - Throws: as for one network.
  package init(
    declarations: [ParameterDeclaration], parameters: ParameterStore,
    isFrozen: (ParameterDeclaration) -> Bool = { _ in false }
  ) throws(HGNetError) {
    self.declarations = declarations
    self.isFrozen = declarations.map(isFrozen)
    var offsets: [Int] = []
    var indices: [String: Int] = [:]
    var count = 0
    for (index, declaration) in declarations.enumerated() {
      offsets.append(count)
      indices[declaration.name] = index
      count += (declaration.shape.count + 15) / 16 * 16
    }
    self.offsets = offsets
    self.indices = indices
    self.count = count
    let bytes = count.multipliedReportingOverflow(by: 4)
    var need = MemoryNeed("a network in training")
    need.add("its parameters", bytes: bytes.overflow ? .max : bytes.partialValue)
    need.add("their gradients", bytes: bytes.overflow ? .max : bytes.partialValue)
    try need.check()
    values = try UnsafeMutableRawPointer.pages(byteCount: bytes.partialValue, isLarge: true, for: "the parameters")
      .bindMemory(to: Float.self, capacity: count)
    do throws(HGNetError) {
      gradients = try UnsafeMutableRawPointer.pages(
        byteCount: bytes.partialValue, isLarge: true, for: "the gradients of the parameters"
      ).bindMemory(to: Float.self, capacity: count)
    } catch {
      UnsafeMutableRawPointer(values).deallocatePages()
      throw error
    }
    values.update(repeating: 0, count: count)
    gradients.update(repeating: 0, count: count)
    let reader = ParameterReader(store: parameters)
    for (index, declaration) in declarations.enumerated() {
      let tensor = try reader.tensor(declaration.name, shape: declaration.shape, layer: declaration.name)
      tensor.withUnsafeBufferPointer { source in
        if let base = source.baseAddress { (values + offsets[index]).update(from: base, count: source.count) }
      }
    }
  }

  deinit {
    UnsafeMutableRawPointer(values).deallocatePages()
    UnsafeMutableRawPointer(gradients).deallocatePages()
  }

  /// The position of a parameter in `declarations`.
  package func index(of name: String) -> Int? { indices[name] }

  /// The names of all that are kept as they are.
  var frozenNames: Set<String> {
    Set(zip(declarations, isFrozen).compactMap { $1 ? $0.name : nil })
  }

  /// Whether a parameter is kept as it is.
  func isFrozen(named name: String) -> Bool { indices[name].map { isFrozen[$0] } ?? false }

  /// Calls `body` with the values of a parameter; the pointer must not escape.
  package func withValue<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result {
    body(UnsafeMutableBufferPointer(start: values + offsets[index], count: declarations[index].shape.count))
  }

  /// Calls `body` with the gradient of a parameter; the pointer must not escape.
  package func withGradient<Result>(_ index: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Result) -> Result {
    body(UnsafeMutableBufferPointer(start: gradients + offsets[index], count: declarations[index].shape.count))
  }

  /// Calls `body` with the gradients of a run of parameters and the zeros between them; the pointer must not escape.
  package func withGradients<Result>(
    of range: ClosedRange<Int>, _ body: (UnsafeMutableBufferPointer<Float>) -> Result
  ) -> Result {
    let start = offsets[range.lowerBound]
    let end = offsets[range.upperBound] + declarations[range.upperBound].shape.count
    return body(UnsafeMutableBufferPointer(start: gradients + start, count: end - start))
  }

  /// Sets all gradients to zero, on the threads of a pool where there is one; a step of accumulation does without.
  package func zeroGradients(pool: ThreadPool? = nil) {
    let part = 1 << 18
    guard let pool, pool.count > 1, count > part else { return gradients.update(repeating: 0, count: count) }
    let (start, count) = (gradients, count)
    pool.forEach((count + part - 1) / part) { index in
      (start + index * part).update(repeating: 0, count: min(part, count - index * part))
    }
  }

  /// A copy of all values under their names.
  package func store() -> ParameterStore {
    var store = ParameterStore()
    for (index, declaration) in declarations.enumerated() {
      store[declaration.name] = Parameter(
        withValue(index) { Tensor(shape: declaration.shape, values: UnsafeBufferPointer($0)) })
    }
    return store
  }

  /// The address of a parameter's values, for the steps of a session.
  func valueAddress(_ name: String, layer: String) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    values + offsets[try known(name, layer: layer)]
  }

  /// The address of a parameter's gradient.
  func gradientAddress(_ name: String, layer: String) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    gradients + offsets[try known(name, layer: layer)]
  }

  private func known(_ name: String, layer: String) throws(HGNetError) -> Int {
    guard let index = indices[name] else {
      throw HGNetError(.parameterMismatch, "the graph does not declare this parameter", key: name, layer: layer)
    }
    return index
  }
}
