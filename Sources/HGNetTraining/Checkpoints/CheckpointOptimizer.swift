import HGNetCore
import HGNetFormats

/// The contents of a `.pdopt` file: a list of one dictionary per optimizer.
enum CheckpointOptimizer {
  private static let scheduleKey = "LR_Scheduler"
  private static let innerKey = "LinearWarmup_LR"

  /// The value to write: accumulators as pairs of name and array, then the schedule, as PaddlePaddle has them.
  static func pickled(_ state: OptimizerState) -> PickleValue {
    var pairs: [PickleDictionary.Pair] = []
    for name in state.tensors.names {
      guard let tensor = state.tensors[name] else { continue }
      pairs.append(
        PickleDictionary.Pair(key: .text(name), value: .tuple([.text(name), .array(PickleArray(tensor))])))
    }
    if let schedule = state.schedule {
      var entries = PickleDictionary()
      entries["last_epoch"] = .integer(schedule.step)
      entries["last_lr"] = .double(schedule.learningRate)
      if let inner = schedule.inner {
        var nested = PickleDictionary()
        nested["last_epoch"] = .integer(inner.step)
        nested["last_lr"] = .double(inner.learningRate)
        entries[innerKey] = .dictionary(nested)
      }
      pairs.append(PickleDictionary.Pair(key: .text(scheduleKey), value: .dictionary(entries)))
    }
    return .list([.dictionary(PickleDictionary(pairs))])
  }

  /// Reads the state of one optimizer.
  ///
  /// A dictionary without a list around it is taken, too: what `paddle.save(optimizer.state_dict(), …)` writes.
  ///
  /// - Throws: What `Pickle.read` throws, `malformedData` for other contents, `unsupported` for several optimizers,
  ///   element types that are no numbers, and arrays in Fortran order.
  static func read(_ blob: Blob) throws(HGNetError) -> OptimizerState {
    var value = try Pickle.read(BlobSlice(blob)).value
    if case .list(let items) = value {
      guard items.count == 1, let only = items.first else {
        throw HGNetError(
          .unsupported, "expected the state of one optimizer, found \(items.count)", path: blob.path)
      }
      value = only
    }
    guard case .dictionary(let dictionary) = value else {
      throw HGNetError(
        .malformedData,
        "expected the state of an optimizer as PaddlePaddle writes it, a list of a dictionary; found "
          + "something else. Is this a .pdopt file?", path: blob.path)
    }
    var state = OptimizerState()
    for pair in dictionary.pairs {
      guard case .text(let name) = pair.key else { continue }
      switch pair.value {
      case .tuple(let items):
        guard items.count == 2, case .array(let array) = items[1] else { continue }
        state.tensors[name] = try parameter(array, name: name, path: blob.path)
      case .array(let array):
        state.tensors[name] = try parameter(array, name: name, path: blob.path)
      case .dictionary(let entries) where name == scheduleKey:
        state.schedule = try schedule(entries, path: blob.path)
      default: continue
      }
    }
    return state
  }

  private static func schedule(
    _ entries: PickleDictionary, path: String?
  ) throws(HGNetError) -> Schedule.State {
    guard let step = entries["last_epoch"]?.wholeNumber, let rate = entries["last_lr"]?.number else {
      throw HGNetError(.malformedData, "expected last_epoch and last_lr as numbers", path: path, key: scheduleKey)
    }
    var schedule = Schedule.State(step: step, learningRate: rate)
    if case .dictionary(let nested) = entries[innerKey] {
      guard let step = nested["last_epoch"]?.wholeNumber, let rate = nested["last_lr"]?.number else {
        throw HGNetError(.malformedData, "expected last_epoch and last_lr as numbers", path: path, key: innerKey)
      }
      schedule.inner = Schedule.State.Inner(step: step, learningRate: rate)
    }
    return schedule
  }

  private static func parameter(
    _ array: PickleArray, name: String, path: String?
  ) throws(HGNetError) -> Parameter {
    let types: [String: ElementType] = ["f4": .float32, "f8": .float64, "f2": .float16, "u2": .bfloat16]
    guard let type = types[array.typeCode], !array.isBigEndian, !array.isColumnMajor || array.shape.count < 2 else {
      throw HGNetError(
        .unsupported,
        "expected a little-endian array of floating-point numbers in C order, found type \(array.typeCode)", path: path,
        key: name)
    }
    do throws(HGNetError) {
      return try Parameter(shape: Shape(validating: array.shape), elementType: type, bytes: array.bytes)
    } catch {
      var named = error.at(path: path ?? "")
      named.context.path = path
      named.context.key = name
      throw named
    }
  }
}

extension PickleValue {
  /// The value of an integer.
  var wholeNumber: Int? {
    switch self {
    case .integer(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  /// The value of any number.
  var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}
