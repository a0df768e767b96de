import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// The parameters of networks in training in a device's memory, with room for a gradient beside each.
///
/// Values are float32 in PaddlePaddle's layout, in the order of the declarations. Threads: one task at a time.
package final class GPUTrainingState: TrainingState {
  /// The names, shapes and roles.
  package let declarations: [ParameterDeclaration]
  /// Whether each parameter is kept as it is.
  package let isFrozen: [Bool]
  let device: GPUDevice
  let layout: ParameterLayout
  let values: DeviceBuffer
  let gradients: DeviceBuffer
  // All of these are used between steps only.
  private(set) nonisolated(unsafe) var moments: [Int: DeviceBuffer] = [:]
  private(set) nonisolated(unsafe) var averages: DeviceBuffer?
  private nonisolated(unsafe) var uploader: Uploader?
  private nonisolated(unsafe) var staging: DeviceBuffer?
  /// What changes parameters, recorded anew for each change, as are copies.
  private nonisolated(unsafe) let commands: Commands

  /// Sends parameters to the device.
  ///
  /// - Throws: as `GPUEngine.trainingState`.
  init(
    _ declarations: [ParameterDeclaration], parameters: some ParameterSource, isFrozen: [Bool], on device: GPUDevice
  ) throws(HGNetError) {
    (self.declarations, self.isFrozen, self.device) = (declarations, isFrozen, device)
    layout = try ParameterLayout(declarations, on: device.description)
    var need = MemoryNeed("a network in training")
    need.add("its parameters", bytes: layout.byteCount)
    need.add("their gradients", bytes: layout.byteCount)
    need.limit = device.memoryLimit
    try need.check()
    values = try DeviceBuffer(layout.byteCount, .ofDevice, on: device, for: "the parameters")
    gradients = try DeviceBuffer(layout.byteCount, .ofDevice, on: device, for: "the gradients of the parameters")
    commands = try Commands(on: device)
    try clear(values)
    try clear(gradients)
    let uploader = try Uploader(on: device)
    self.uploader = uploader
    for (index, declaration) in declarations.enumerated() {
      guard parameters[declaration.name]?.scales == nil else {
        throw HGNetError(
          .unsupported, "expected weights in float for training, found quantised ones", key: declaration.name)
      }
      let parameter = try parameters.parameter(declaration.name, shape: declaration.shape, layer: nil)
      let tensor = try parameter.allocatedTensor()
      parameter.discardPages()
      try send(tensor, to: values, index)
    }
    try uploader.finish()
  }

  /// The names of all that are kept as they are.
  var frozenNames: Set<String> { Set(zip(declarations, isFrozen).compactMap { $1 ? $0.name : nil }) }

  /// The position of a parameter in `declarations`.
  package func index(of name: String) -> Int? { layout.index(of: name) }

  private func send(_ tensor: Tensor, to buffer: DeviceBuffer, _ parameter: Int) throws(HGNetError) {
    try tensor.withUnsafeBufferPointer { (source) throws(HGNetError) in
      try uploader?.send(UnsafeRawBufferPointer(source), to: buffer, at: layout.ranges[parameter].lowerBound)
    }
  }

  /// Begins to keep moments or the average.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory, `deviceFailure`.
  package func keep(_ array: ParameterArray) throws(HGNetError) {
    switch array {
    case .value, .gradient: return
    case .moment(let number):
      let buffer = try newBlock("the state of the optimiser")
      try clear(buffer)
      moments[number] = buffer
    case .average:
      let buffer = try newBlock("the average of the parameters")
      try run("copying the parameters") { (commands) throws(HGNetError) in
        hgv_record_copy(commands, values.handle, 0, buffer.handle, 0, UInt64(layout.byteCount))
      }
      averages = buffer
    }
  }

  private func newBlock(_ subject: String) throws(HGNetError) -> DeviceBuffer {
    var need = MemoryNeed(subject)
    need.add("", bytes: layout.byteCount)
    need.limit = device.memoryLimit
    try need.check()
    return try DeviceBuffer(layout.byteCount, .ofDevice, on: device, for: subject)
  }

  /// Where one array of a parameter lies.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept.
  func block(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> DeviceBuffer {
    guard declarations.indices.contains(parameter) else {
      throw HGNetError(.invalidArgument, "expected one of \(declarations.count) parameters, found number \(parameter)")
    }
    let isTrained = declarations[parameter].role.isLearned && !isFrozen[parameter]
    let block: DeviceBuffer? =
      switch array {
      case .value: values
      case .gradient: gradients
      case .moment(let number): isTrained ? moments[number] : nil
      case .average: averages
      }
    guard let block else {
      throw HGNetError(.invalidArgument, "\(array) is not kept of this parameter", key: declarations[parameter].name)
    }
    return block
  }

  /// A copy of one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept, `limitExceeded`, `deviceFailure`.
  package func read(_ array: ParameterArray, of parameter: Int) throws(HGNetError) -> Tensor {
    let block = try block(array, of: parameter)
    return try Tensor(allocating: declarations[parameter].shape, for: "a parameter") { (target) throws(HGNetError) in
      try read(layout.ranges[parameter], of: block, into: target)
    }
  }

  /// Where the device puts a parameter for the host.
  private func wayBack() throws(HGNetError) -> DeviceBuffer {
    if let staging { return staging }
    let largest = layout.ranges.map(\.count).max() ?? 4
    let made = try DeviceBuffer(largest, .fromDevice, on: device, for: "parameters on their way")
    staging = made
    return made
  }

  /// Copies bytes of a block to the host.
  private func read(
    _ range: Range<Int>, of block: DeviceBuffer, into target: UnsafeMutableBufferPointer<Float>
  ) throws(HGNetError) {
    let staging = try wayBack()
    try run("reading a parameter") { (commands) throws(HGNetError) in
      hgv_record_copy(commands, block.handle, UInt64(range.lowerBound), staging.handle, 0, UInt64(range.count))
    }
    target.baseAddress?.update(from: try staging.floats(), count: target.count)
  }

  /// Replaces one array of a parameter.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for what is not kept, `shapeMismatch`, `deviceFailure`.
  package func write(_ tensor: Tensor, to array: ParameterArray, of parameter: Int) throws(HGNetError) {
    let block = try block(array, of: parameter)
    let declaration = declarations[parameter]
    guard tensor.count == declaration.shape.count else {
      throw HGNetError(
        .shapeMismatch, "expected shape \(declaration.shape), found \(tensor.shape)", key: declaration.name)
    }
    try send(tensor, to: block, parameter)
    try uploader?.finish()
  }

  /// Replaces gradients by their sums over processes, by way of the host.
  ///
  /// - Throws: what the reduction throws, `HGNetError.Code.deviceFailure`.
  package func sumGradients(
    of bucket: ClosedRange<Int>, over reduction: any ProcessSum
  ) throws(HGNetError) {
    try reduce(
      bucket.filter { declarations[$0].role.isLearned && !isFrozen[$0] }, .gradient, over: reduction, divisor: 1)
  }

  /// Replaces values by their means over processes, by way of the host.
  ///
  /// - Throws: what the reduction throws, `HGNetError.Code.deviceFailure`.
  package func averageValues(
    of parameters: [Int], over reduction: any ProcessSum, processes: Int
  ) throws(HGNetError) {
    try reduce(parameters, .value, over: reduction, divisor: Float(processes))
  }

  private func reduce(
    _ parameters: [Int], _ array: ParameterArray, over reduction: any ProcessSum, divisor: Float
  ) throws(HGNetError) {
    for parameter in parameters { _ = try block(array, of: parameter) }
    let counts = parameters.map { declarations[$0].shape.count }
    var all = try Tensor(allocating: [counts.reduce(0, +)], for: "numbers of all processes") {
      (target) throws(HGNetError) in
      var next = 0
      for (parameter, count) in zip(parameters, counts) {
        try read(
          layout.ranges[parameter], of: block(array, of: parameter),
          into: UnsafeMutableBufferPointer(rebasing: target[next..<next + count]))
        next += count
      }
      try reduction.sum(target)
      if divisor != 1 { for index in target.indices { target[index] /= divisor } }
    }
    var next = 0
    for (parameter, count) in zip(parameters, counts) {
      try all.withUnsafeMutableBufferPointer { (source) throws(HGNetError) in
        try uploader?.send(
          UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: source[next..<next + count])),
          to: block(array, of: parameter), at: layout.ranges[parameter].lowerBound)
      }
      next += count
    }
    try uploader?.finish()
  }

  // MARK: - Commands

  /// Records commands between barriers and runs them.
  func run(
    _ work: String, _ record: (OpaquePointer) throws(HGNetError) -> Void
  ) throws(HGNetError) {
    try device.checkProcess()
    try hgv_commands_restart(commands.handle).check(work)
    hgv_record_barrier(commands.handle)
    try record(commands.handle)
    hgv_record_barrier(commands.handle)
    hgv_record_end_for_host(commands.handle)
    try hgv_commands_end(commands.handle).check(work)
    try device.run(commands.handle, for: work)
  }

  /// Sets all gradients to zero.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`.
  package func zeroGradients() throws(HGNetError) { try clear(gradients) }

  private func clear(_ block: DeviceBuffer) throws(HGNetError) {
    let shader = try PipelineKey(shader: Shader("training/change", values: 1, isHalf: false))
    let pipeline = try device.pipeline(shader)
    try run("setting gradients to zero") { (commands) throws(HGNetError) in
      forEachPart { range in
        var numbers = hgv_step()
        (numbers.rows, numbers.columns, numbers.y_stride) = (UInt32(range.count / 4), 1, 1)
        record(commands, pipeline, Array(repeating: (block, range), count: 5), numbers, count: range.count / 4)
      }
    }
  }

  /// Calls `body` with ranges that cover a block and can be bound.
  func forEachPart(_ body: (Range<Int>) -> Void) {
    let most = min(device.description.largestRange, 1 << 27) / 4096 * 4096
    var start = 0
    while start < layout.byteCount {
      let end = min(start + max(most, 4096), layout.byteCount)
      body(start..<end)
      start = end
    }
  }

  /// Records a dispatch of a thread for each of some values, or of some groups.
  func record(
    _ commands: OpaquePointer, _ pipeline: OpaquePointer, _ places: [(block: DeviceBuffer, range: Range<Int>)],
    _ numbers: hgv_step, count: Int, groups: Int? = nil
  ) {
    let bindings = places.map { place in
      hgv_binding(
        buffer: place.block.handle, offset: UInt64(place.range.lowerBound), size: UInt64(place.range.count))
    }
    let all = groups ?? max(count, 1).divided(by: 64), row = min(all, 32768)
    var numbers = numbers
    hgv_record_dispatch(commands, pipeline, bindings, &numbers, [UInt32(row), 1, UInt32(all.divided(by: row))])
  }
}
