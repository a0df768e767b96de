import HGNetCore

extension PickleMachine {
  /// The tree of values below a node.
  ///
  /// Works without recursion; values that are shared in the pickle are shared in memory. Depth and the number of values
  /// counted as a tree are bounded, so that a reader of the result may walk it freely.
  func value(of root: Int32) throws(HGNetError) -> PickleValue {
    var finished: [Int32: (value: PickleValue, depth: Int, count: Int)] = [:]
    var underway: Set<Int32> = []
    var pending = [root]
    while let index = pending.last {
      if finished[index] != nil {
        pending.removeLast()
        continue
      }
      let children = children(of: index)
      if !children.isEmpty, underway.insert(index).inserted {
        for child in children where finished[child] == nil {
          guard !underway.contains(child) else {
            throw HGNetError(.unsupported, "the pickle holds an object that contains itself", path: blob.path)
          }
          pending.append(child)
        }
        continue
      }
      pending.removeLast()
      underway.remove(index)
      var depth = 0
      var count = 1
      for child in children {
        guard let part = finished[child] else {
          throw HGNetError(.unsupported, "the pickle holds an object that contains itself", path: blob.path)
        }
        depth = max(depth, part.depth)
        count += part.count
        guard count <= Pickle.maximumValueCount else {
          throw HGNetError(
            .limitExceeded, "expected at most \(Pickle.maximumValueCount) values in the pickle, found more",
            path: blob.path)
        }
      }
      guard depth < Pickle.maximumDepth else {
        throw HGNetError(
          .limitExceeded, "expected containers nested at most \(Pickle.maximumDepth) deep, found more",
          path: blob.path)
      }
      let value = try value(of: index) { finished[$0]?.value ?? .none }
      finished[index] = (value, children.isEmpty ? 0 : depth + 1, count)
    }
    return finished[root]?.value ?? .none
  }

  private func children(of index: Int32) -> [Int32] {
    switch node(index) {
    case .tuple(let items), .list(let items), .dictionary(let items): items
    default: []
    }
  }

  private func value(of index: Int32, child: (Int32) -> PickleValue) throws(HGNetError) -> PickleValue {
    switch node(index) {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .double(let value): return .double(value)
    case .text(let range):
      guard let text = String(validating: bytes[range], as: UTF8.self) else {
        throw HGNetError(
          .malformedData, "the text at byte \(range.lowerBound) is not valid UTF-8; the file is damaged",
          path: blob.path)
      }
      return .text(text)
    case .latinText(let range):
      return .text(String(String.UnicodeScalarView(bytes[range].map { Unicode.Scalar($0) })))
    case .bytes(let slice): return .bytes(slice)
    case .tuple(let items): return .tuple(items.map(child))
    case .list(let items): return .list(items.map(child))
    case .dictionary(let items):
      return .dictionary(
        PickleDictionary(
          stride(from: 0, to: items.count - 1, by: 2).map {
            PickleDictionary.Pair(key: child(items[$0]), value: child(items[$0 + 1]))
          }))
    case .global(let global): return .text(global.description)
    case .elementType(let code, _): return .text(code)
    case .unfilledArray:
      throw HGNetError(.malformedData, "the pickle holds an array without elements; it is damaged", path: blob.path)
    case .array(let array): return .array(array)
    case .storage(let storage): return .storage(storage)
    case .tensor(let tensor): return .tensor(tensor)
    }
  }
}
