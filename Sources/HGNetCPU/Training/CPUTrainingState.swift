import HGNetCore
import HGNetProgram

/// The parameters of networks in training in the host's memory, with room for a gradient beside each.
///
/// Values are float32 in PaddlePaddle's layout, in the order of the declarations; running statistics are among
/// them and have no gradient. A training run reads and writes them during a step, the rest between two steps.
///
/// Threads: one task at a time; the class does not guard itself.
package final class CPUTrainingState: TrainingState {
  /// The names, shapes and roles.
  package let declarations: [ParameterDeclaration]
  /// Whether each parameter is kept as it is.
  package let isFrozen: [Bool]
  private let layout: Layout
  private let values: FloatBlock
  private let gradients: FloatBlock
  private let indices: [String: Int]
  let pool: ThreadPool
  // Both are changed between steps only.
  /// Moments by their number, then by parameter; nil of what no optimiser changes.
  ///
  /// Tensors, so that a checkpoint shares their memory until the next step.
  nonisolated(unsafe) var moments: [Int: [Tensor?]] = [:]
  private nonisolated(unsafe) var averages: FloatBlock?

  /// Where the parameters lie in a block.
  private struct Layout: Sendable {
    /// The first place of each.
    var offsets: [Int] = []
    var count = 0

    init(_ declarations: [ParameterDeclaration]) {
      for declaration in declarations {
        offsets.append(count)
        count += (declaration.shape.count + 15) / 16 * 16
      }
    }
  }

  /// Copies parameters.
  ///
  /// - Throws: as `CPUEngine.trainingState`.
  init(
    _ declarations: [ParameterDeclaration], parameters: some ParameterSource, isFrozen: [Bool], pool: ThreadPool
  ) throws(HGNetError) {
    self.declarations = declarations
    self.isFrozen = isFrozen
    self.pool = pool
    frozenNames = Set(zip(declarations, isFrozen).compactMap { $1 ? $0.name : nil })
    let layout = Layout(declarations)
    self.layout = layout
    indices = Dictionary(declarations.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { $1 })
    var need = MemoryNeed("a network in training")
    need.add("its parameters", bytes: 4, layout.count)
    need.add("their gradients", bytes: 4, layout.count)
    try need.check()
    values = try FloatBlock(count: layout.count, for: "the parameters")
    gradients = try FloatBlock(count: layout.count, for: "the gradients of the parameters")
    let reader = ParameterReader(store: parameters)
    for (index, declaration) in declarations.enumerated() {
      guard parameters[declaration.name]?.scales == nil else {
        throw HGNetError(
          .unsupported, "expected weights in float for training, found quantised ones", key: declaration.name)
      }
      let tensor = try reader.tensor(declaration.name, shape: declaration.shape, layer: declaration.name)
      tensor.withUnsafeBufferPointer { source in
        if let base = source.baseAddress {
          (values.base + layout.offsets[index]).update(from: base, count: source.count)
        }
      }
    }
  }

  /// The position of a parameter in `declarations`.
  package func index(of name: String) -> Int? { indices[name] }

  /// The names of all that are kept as they are.
  let frozenNames: Set<String>

  /// The address of a parameter's values, for the steps of a run.
  func valueAddress(_ name: String, layer: String) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    try place(.value, of: known(name, layer: layer)).base
  }

  /// The address of a parameter's gradient.
  func gradientAddress(_ name: String, layer: String) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    try place(.gradient, of: known(name, layer: layer)).base
  }

  private func known(_ name: String, layer: String) throws(HGNetError) -> Int {
    guard let index = indices[name] else {
      throw HGNetError(.parameterMismatch, "the graph does not declare this parameter", key: name, layer: layer)
    }
    return index
  }

  /// Begins to keep moments or the average.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  package func keep(_ array: ParameterArray) throws(HGNetError) {
    switch array {
    case .value, .gradient: return
    case .moment(let number):
      var made = [Tensor?](repeating: nil, count: declarations.count)
      for index in trainedIndices {
        made[index] = try Tensor(allocating: declarations[index].shape, for: "the state of the optimiser") {
          $0.update(repeating: 0)
        }
      }
      moments[number] = made
    case .average:
      let block = try FloatBlock(count: layout.count, for: "the average of the parameters")
      block.base.update(from: values.base, count: layout.count)
      averages = block
    }
  }

  /// Where one array of a parameter lies; not for moments.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept.
  func place(
    _ array: ParameterArray, of parameter: Int
  ) throws(HGNetError) -> (base: UnsafeMutablePointer<Float>, count: Int) {
    guard declarations.indices.contains(parameter) else {
      throw HGNetError(.invalidArgument, "expected one of \(declarations.count) parameters, found number \(parameter)")
    }
    let block: FloatBlock? =
      switch array {
      case .value: values
      case .gradient: gradients
      case .moment: nil
      case .average: averages
      }
    guard let block else { throw notKept(array, parameter) }
    return (block.base + layout.offsets[parameter], declarations[parameter].shape.count)
  }

  private func notKept(_ array: ParameterArray, _ parameter: Int) -> HGNetError {
    HGNetError(.invalidArgument, "\(array) is not kept of this parameter", key: declarations[parameter].name)
  }

  /// The moment of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for one that is not kept.
  func moment(_ number: Int, of parameter: Int) throws(HGNetError) -> Tensor {
    guard declarations.indices.contains(parameter), let moment = moments[number]?[parameter] else {
      throw notKept(.moment(number), min(parameter, declarations.count - 1))
    }
    return moment
  }

  /// A copy of one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept, `limitExceeded`.
  package func read(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> Tensor {
    if case .moment(let number) = array { return try moment(number, of: parameter) }
    let (base, count) = try place(array, of: parameter)
    return try Tensor(allocating: declarations[parameter].shape, for: "a parameter") { target in
      target.baseAddress?.update(from: base, count: count)
    }
  }

  /// Replaces one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept, `shapeMismatch`.
  package func write(_ tensor: Tensor, to array: ParameterArray, of parameter: Int) throws(HGNetError) {
    var target: UnsafeMutablePointer<Float>?
    if case .moment(let number) = array {
      _ = try moment(number, of: parameter)
    } else {
      target = try place(array, of: parameter).base
    }
    let declaration = declarations[parameter]
    guard tensor.count == declaration.shape.count else {
      throw HGNetError(
        .shapeMismatch, "expected shape \(declaration.shape), found \(tensor.shape)", key: declaration.name)
    }
    if case .moment(let number) = array { moments[number]?[parameter] = try tensor.reshaped(declaration.shape) }
    tensor.withUnsafeBufferPointer { source in
      if let source = source.baseAddress { target?.update(from: source, count: tensor.count) }
    }
  }

  /// Sets all gradients to zero.
  package func zeroGradients() {
    let (start, count, part) = (gradients.base, layout.count, 1 << 18)
    guard pool.count > 1, count > part else { return start.update(repeating: 0, count: count) }
    pool.forEach((count + part - 1) / part) { index in
      (start + index * part).update(repeating: 0, count: min(part, count - index * part))
    }
  }

  /// Replaces the gradients of a run of parameters, the zeros between them included, by their sums over processes.
  ///
  /// - Throws: what the reduction throws.
  package func sumGradients(
    of bucket: ClosedRange<Int>, over reduction: any ProcessSum
  ) throws(HGNetError) {
    let first = try place(.gradient, of: bucket.lowerBound).base
    let last = try place(.gradient, of: bucket.upperBound)
    try reduction.sum(UnsafeMutableBufferPointer(start: first, count: last.base + last.count - first))
  }

  /// Replaces values by their means over processes.
  ///
  /// - Throws: what the reduction throws.
  package func averageValues(
    of parameters: [Int], over reduction: any ProcessSum, processes: Int
  ) throws(HGNetError) {
    var places: [(base: UnsafeMutablePointer<Float>, count: Int)] = []
    for parameter in parameters { places.append(try place(.value, of: parameter)) }
    let packed = UnsafeMutableBufferPointer<Float>.allocate(capacity: places.reduce(0) { $0 + $1.count })
    defer { packed.deallocate() }
    guard var next = packed.baseAddress else { return }
    for (base, count) in places {
      next.initialize(from: base, count: count)
      next += count
    }
    try reduction.sum(packed)
    var start = 0
    for (base, count) in places {
      for index in 0..<count { base[index] = packed[start + index] / Float(processes) }
      start += count
    }
  }
}

/// A block of floats, zero at first.
final class FloatBlock: Sendable {
  nonisolated(unsafe) let base: UnsafeMutablePointer<Float>

  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(count: Int, for subject: @autoclosure () -> String) throws(HGNetError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: 4)
    base = try UnsafeMutableRawPointer.pages(byteCount: overflow ? .max : bytes, isLarge: true, for: subject())
      .bindMemory(to: Float.self, capacity: count)
    base.update(repeating: 0, count: count)
  }

  deinit { UnsafeMutableRawPointer(base).deallocatePages() }
}
