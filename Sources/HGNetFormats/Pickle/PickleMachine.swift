import HGNetCore

/// The stack machine of pickle, working on nodes that are named by their index.
///
/// Objects of a pickle are shared and changed after they have been referred to, hence the indices; the tree of values is
/// made at the end (`value(of:)`).
struct PickleMachine {
  /// One object.
  enum Node {
    case none
    case bool(Bool)
    case integer(Int)
    case double(Double)
    case text(Range<Int>)
    case latinText(Range<Int>)
    case bytes(BlobSlice)
    case tuple([Int32])
    case list([Int32])
    /// Keys and values in turn.
    case dictionary([Int32])
    case global(PickleGlobal)
    case elementType(code: String, isBigEndian: Bool)
    case unfilledArray
    case array(PickleArray)
    case storage(PickleStorage)
    case tensor(PickleTensor)
  }

  let blob: Blob
  let bytes: UnsafeRawBufferPointer
  let end: Int
  private(set) var position: Int
  var nodes: [Node] = []
  var budget: AllocationBudget
  private var stack: [Int32] = []
  private var marks: [Int] = []
  private var memo: [Int: Int32] = [:]
  private var opcodeOffset: Int

  init(blob: Blob, bytes: UnsafeRawBufferPointer, range: Range<Int>) {
    self.blob = blob
    self.bytes = bytes
    position = range.lowerBound
    opcodeOffset = range.lowerBound
    end = range.upperBound
    budget = AllocationBudget(byteCount: range.count, path: blob.path)
  }

  /// Runs until STOP and returns the node that the pickle stands for.
  mutating func run() throws(HGNetError) -> Int32 {
    guard end - position >= 2, bytes[position] == 0x80 else {
      throw failure(
        "expected a Python pickle of protocol 2 or later, which starts with the byte 0x80, found "
          + (end > position ? "0x\(String(bytes[position], radix: 16))" : "the end of the data"))
    }
    while true {
      opcodeOffset = position
      let opcode = try byte()
      if opcode == 0x2E { return try pop() }
      try step(opcode)
    }
  }

  private mutating func step(_ opcode: UInt8) throws(HGNetError) {
    if try control(opcode) { return }
    if try value(opcode) { return }
    if try collection(opcode) { return }
    if try memory(opcode) { return }
    if try object(opcode) { return }
    throw failure(
      "opcode 0x\(String(opcode, radix: 16)) is not one of pickle protocols 2 to 5; the file is damaged or not a pickle"
    )
  }

  /// Does an opcode of the stack or the stream; false for another opcode.
  private mutating func control(_ opcode: UInt8) throws(HGNetError) -> Bool {
    switch opcode {
    case 0x80:  // PROTO
      let version = try byte()
      guard (2...5).contains(version) else {
        throw HGNetError(
          .unsupported, "expected a pickle of protocol 2 to 5, found protocol \(version); save the file again",
          path: blob.path)
      }
    case 0x95:  // FRAME: a hint for buffering
      _ = try length(8, of: "frame")
    case 0x28: marks.append(stack.count)  // MARK
    case 0x30: _ = try pop()  // POP
    case 0x31: _ = try popMark()  // POP_MARK
    case 0x32:  // DUP
      let top = try pop()
      try push(top)
      try push(top)
    default: return false
    }
    return true
  }

  /// Does an opcode that makes a number, a text or bytes; false for another opcode.
  private mutating func value(_ opcode: UInt8) throws(HGNetError) -> Bool {
    switch opcode {
    case 0x4E: try push(.none)  // NONE
    case 0x88: try push(.bool(true))  // NEWTRUE
    case 0x89: try push(.bool(false))  // NEWFALSE
    case 0x4A: try push(.integer(Int(Int32(truncatingIfNeeded: try unsigned(4)))))  // BININT
    case 0x4B: try push(.integer(Int(try byte())))  // BININT1
    case 0x4D: try push(.integer(Int(try unsigned(2))))  // BININT2
    case 0x8A: try push(.integer(try longInteger(byteCount: Int(try byte()))))  // LONG1
    case 0x8B: try push(.integer(try longInteger(byteCount: try length(4, of: "integer"))))  // LONG4
    case 0x47: try push(.double(Double(bitPattern: (try unsigned(8)).byteSwapped)))  // BINFLOAT

    case 0x58: try push(.text(try take(try length(4, of: "text"))))  // BINUNICODE
    case 0x8C: try push(.text(try take(Int(try byte()))))  // SHORT_BINUNICODE
    case 0x8D: try push(.text(try take(try length(8, of: "text"))))  // BINUNICODE8
    case 0x54: try push(.latinText(try take(try length(4, of: "text"))))  // BINSTRING
    case 0x55: try push(.latinText(try take(Int(try byte()))))  // SHORT_BINSTRING
    case 0x42: try pushBytes(try length(4, of: "byte string"))  // BINBYTES
    case 0x43: try pushBytes(Int(try byte()))  // SHORT_BINBYTES
    case 0x8E, 0x96: try pushBytes(try length(8, of: "byte string"))  // BINBYTES8, BYTEARRAY8
    case 0x98: break  // READONLY_BUFFER
    default: return false
    }
    return true
  }

  /// Does an opcode of tuples, lists, sets and dictionaries; false for another opcode.
  private mutating func collection(_ opcode: UInt8) throws(HGNetError) -> Bool {
    switch opcode {
    case 0x29: try push(.tuple([]))  // EMPTY_TUPLE
    case 0x85: try pushTuple(1)  // TUPLE1
    case 0x86: try pushTuple(2)  // TUPLE2
    case 0x87: try pushTuple(3)  // TUPLE3
    case 0x74: try push(.tuple(try popMark()))  // TUPLE
    case 0x5D, 0x8F: try push(.list([]))  // EMPTY_LIST, EMPTY_SET
    case 0x6C, 0x91: try push(.list(try popMark()))  // LIST, FROZENSET
    case 0x61: try append([try pop()])  // APPEND
    case 0x65, 0x90: try append(try popMark())  // APPENDS, ADDITEMS
    case 0x7D: try push(.dictionary([]))  // EMPTY_DICT
    case 0x64:  // DICT
      let items = try popMark()
      guard items.count.isMultiple(of: 2) else { throw failure("a dictionary has a key without a value") }
      try push(.dictionary(items))
    case 0x73:  // SETITEM
      let value = try pop()
      let key = try pop()
      try set([key, value])
    case 0x75: try set(try popMark())  // SETITEMS
    default: return false
    }
    return true
  }

  /// Does an opcode of the memo; false for another opcode.
  private mutating func memory(_ opcode: UInt8) throws(HGNetError) -> Bool {
    switch opcode {
    case 0x67: try recall(try decimalLine())  // GET
    case 0x68: try recall(Int(try byte()))  // BINGET
    case 0x6A: try recall(Int(try unsigned(4)))  // LONG_BINGET
    case 0x70: try memorise(try decimalLine())  // PUT
    case 0x71: try memorise(Int(try byte()))  // BINPUT
    case 0x72: try memorise(Int(try unsigned(4)))  // LONG_BINPUT
    case 0x94: try memorise(memo.count)  // MEMOIZE
    default: return false
    }
    return true
  }

  /// Does an opcode of globals and objects; false for another opcode.
  private mutating func object(_ opcode: UInt8) throws(HGNetError) -> Bool {
    switch opcode {
    case 0x63, 0x69:  // GLOBAL, INST
      let module = try line()
      let name = try line()
      try push(.global(try global(module: text(module), name: text(name))))
      if opcode == 0x69 { throw failure("the old opcode INST is not used by any weights file") }
    case 0x93:  // STACK_GLOBAL
      let name = try shortText(try pop())
      let module = try shortText(try pop())
      try push(.global(try global(module: module, name: name)))
    case 0x52, 0x81:  // REDUCE, NEWOBJ
      let arguments = try pop()
      let callable = try pop()
      try push(try reduce(callable, arguments))
    case 0x92:  // NEWOBJ_EX
      let keywords = try pop()
      guard case .dictionary(let items) = node(keywords), items.isEmpty else {
        throw HGNetError(.unsupported, "the pickle makes an object with named arguments", path: blob.path)
      }
      let arguments = try pop()
      let callable = try pop()
      try push(try reduce(callable, arguments))
    case 0x62:  // BUILD
      let state = try pop()
      let object = try pop()
      try build(object, state)
      try push(object)
    case 0x51: try push(try persistentObject(try pop()))  // BINPERSID
    case 0x82, 0x83, 0x84:  // EXT1, EXT2, EXT4
      throw HGNetError(
        .unsafeContent, "the pickle asks for a registered extension class; reading never runs code of a file",
        path: blob.path)
    default: return false
    }
    return true
  }

  /// An error at the opcode in hand.
  func failure(_ message: String) -> HGNetError {
    HGNetError(.malformedData, "\(message) (byte \(opcodeOffset))", path: blob.path)
  }

  // MARK: Nodes

  func node(_ index: Int32) -> Node { nodes[Int(index)] }

  /// Adds a node without pushing it.
  mutating func add(_ node: Node) throws(HGNetError) -> Int32 {
    guard nodes.count < Pickle.maximumValueCount else { throw limit() }
    nodes.append(node)
    return Int32(nodes.count - 1)
  }

  private func limit() -> HGNetError {
    HGNetError(
      .limitExceeded,
      "expected a pickle of at most \(Pickle.maximumValueCount) objects, found more; save only the parameters again",
      path: blob.path)
  }

  private mutating func push(_ node: Node) throws(HGNetError) { stack.append(try add(node)) }

  private mutating func push(_ index: Int32) throws(HGNetError) {
    guard stack.count < Pickle.maximumValueCount else { throw limit() }
    stack.append(index)
  }

  private mutating func pop() throws(HGNetError) -> Int32 {
    guard stack.count > (marks.last ?? 0), let top = stack.popLast() else {
      throw failure("an opcode needs more values than there are")
    }
    return top
  }

  private mutating func popMark() throws(HGNetError) -> [Int32] {
    guard let mark = marks.popLast() else { throw failure("an opcode needs a mark that is not there") }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  private mutating func pushTuple(_ count: Int) throws(HGNetError) {
    guard stack.count - (marks.last ?? 0) >= count else { throw failure("a tuple needs more values than there are") }
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    try push(.tuple(items))
  }

  private mutating func pushBytes(_ count: Int) throws(HGNetError) {
    try push(.bytes(try BlobSlice(blob, range: try take(count))))
  }

  private func top() throws(HGNetError) -> Int {
    guard stack.count > (marks.last ?? 0), let top = stack.last else {
      throw failure("an opcode needs a value that is not there")
    }
    return Int(top)
  }

  private mutating func append(_ items: [Int32]) throws(HGNetError) {
    let target = try top()
    guard case .list(var list) = nodes[target] else { throw failure("items are appended to something that is no list") }
    nodes[target] = .none
    list.append(contentsOf: items)
    nodes[target] = .list(list)
  }

  private mutating func set(_ items: [Int32]) throws(HGNetError) {
    guard items.count.isMultiple(of: 2) else { throw failure("a dictionary has a key without a value") }
    let target = try top()
    guard case .dictionary(var pairs) = nodes[target] else {
      throw failure("entries are set in something that is no dictionary")
    }
    nodes[target] = .none
    pairs.append(contentsOf: items)
    nodes[target] = .dictionary(pairs)
  }

  private mutating func recall(_ key: Int) throws(HGNetError) {
    guard let index = memo[key] else { throw failure("object \(key) is used before it is made") }
    try push(index)
  }

  private mutating func memorise(_ key: Int) throws(HGNetError) {
    guard memo.count < Pickle.maximumValueCount else { throw limit() }
    memo[key] = Int32(try top())
  }

  // MARK: Bytes

  private mutating func take(_ count: Int) throws(HGNetError) -> Range<Int> {
    guard count >= 0, count <= end - position else {
      throw failure(
        "the file is truncated: expected \(count) more bytes, found \(end - position); fetch or save it again")
    }
    position += count
    return position - count..<position
  }

  private mutating func byte() throws(HGNetError) -> UInt8 { bytes[try take(1).lowerBound] }

  private mutating func unsigned(_ byteCount: Int) throws(HGNetError) -> UInt64 {
    let range = try take(byteCount)
    return bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// A length that fits what is left of the file.
  private mutating func length(_ byteCount: Int, of what: String) throws(HGNetError) -> Int {
    let value = try unsigned(byteCount)
    guard value <= UInt64(end - position) else {
      throw failure(
        "the file is truncated: a \(what) of \(value) bytes is announced, \(end - position) are left; "
          + "fetch or save it again")
    }
    return Int(value)
  }

  private mutating func longInteger(byteCount: Int) throws(HGNetError) -> Int {
    let range = try take(byteCount)
    guard byteCount <= 8 else {
      throw HGNetError(
        .unsupported, "expected integers of at most 64 bits, found one of \(byteCount) bytes", path: blob.path)
    }
    guard byteCount > 0 else { return 0 }
    let magnitude = bytes[range].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let shift = 64 - 8 * byteCount
    return Int(Int64(bitPattern: magnitude << shift) >> shift)
  }

  private mutating func line() throws(HGNetError) -> Range<Int> {
    let start = position
    while try byte() != 0x0A {
      guard position - start <= 1024 else { throw failure("a line of the pickle is longer than any name") }
    }
    return start..<position - 1
  }

  private mutating func decimalLine() throws(HGNetError) -> Int {
    let digits = text(try line())
    guard let value = Int(digits), value >= 0 else { throw failure("expected a decimal number in a line") }
    return value
  }

  /// The text of a range, damaged UTF-8 repaired.
  func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  /// The text of a node that names something.
  func shortText(_ index: Int32) throws(HGNetError) -> String {
    switch node(index) {
    case .text(let range) where range.count <= 1024: return text(range)
    case .latinText(let range) where range.count <= 1024: return text(range)
    case .bytes(let slice) where slice.count <= 1024: return text(slice.range)
    default: throw failure("expected a short text that names something")
    }
  }
}
