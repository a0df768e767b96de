import HGNetCore
import HGNetFormats
import Testing

@Suite("Pickle") struct PickleTests {
  private func read(_ opcodes: [UInt8]) throws -> PickleValue {
    try Pickle.read(BlobSlice(Blob([0x80, 2] + opcodes))).value
  }

  @Test("A pickle that would run code is refused with the name of the function", arguments: ["evil2", "evil4"])
  func evil(name: String) throws {
    let error = PickleFixtures.error { _ = try Pickle.read(BlobSlice(try PickleFixtures.blob("\(name).pdparams"))) }
    #expect(error?.code == .unsafeContent)
    #expect(error?.message.contains("posix.system") == true)
    #expect(error?.message.contains("paddle.save(model.state_dict()") == true)
    #expect(error?.context.path == PickleFixtures.path("\(name).pdparams"))
  }

  @Test(
    "No global runs but those that hold data",
    arguments: [
      ("builtins", "eval"), ("__builtin__", "exec"), ("os", "system"), ("torch", "load"), ("numpy", "load"),
      ("torch._utils", "_rebuild_wrapper_subclass"), ("builtins", "getattr"), ("functools", "partial"),
    ])
  func globals(module: String, name: String) {
    let error = PickleFixtures.error { _ = try read(Array("c\(module)\n\(name)\n.".utf8)) }
    #expect(error?.code == .unsafeContent)
    #expect(error?.message.contains("\(module).\(name)") == true)
  }

  @Test func plainValues() throws {
    // {'a': [1, -2, 300, 70000, 2**40], 'b': (None, True, 0.5)} in protocol 2.
    let opcodes: [UInt8] =
      [0x7D, 0x28, 0x58, 1, 0, 0, 0, 0x61, 0x5D, 0x28, 0x4B, 1, 0x4A, 0xFE, 0xFF, 0xFF, 0xFF, 0x4D, 0x2C, 1]
      + [0x4A, 0x70, 0x11, 1, 0, 0x8A, 6, 0, 0, 0, 0, 0, 1, 0x65, 0x58, 1, 0, 0, 0, 0x62, 0x4E, 0x88]
      + [0x47, 0x3F, 0xE0, 0, 0, 0, 0, 0, 0, 0x87, 0x75, 0x2E]
    guard case .dictionary(let value) = try read(opcodes), case .list(let list) = value["a"],
      case .tuple(let tuple) = value["b"]
    else {
      Issue.record("not a dictionary of a list and a tuple")
      return
    }
    let integers = list.compactMap { if case .integer(let value) = $0 { value } else { nil } }
    #expect(integers == [1, -2, 300, 70000, 1 << 40])
    guard tuple.count == 3, case (.none, .bool(true), .double(0.5)) = (tuple[0], tuple[1], tuple[2]) else {
      Issue.record("unexpected tuple \(tuple)")
      return
    }
  }

  @Test func objectsAreSharedUntilTheEnd() throws {
    // x = []; x remembered; y = (x, x); then 7 is appended to the remembered x.
    let opcodes: [UInt8] = [0x5D, 0x71, 0, 0x68, 0, 0x86, 0x68, 0, 0x4B, 7, 0x61, 0x30, 0x2E]
    guard case .tuple(let items) = try read(opcodes), items.count == 2, case .list(let list) = items[1] else {
      Issue.record("not a tuple of lists")
      return
    }
    #expect(list.count == 1)
  }

  @Test func protocol5() throws {
    guard case .dictionary(let value) = try Pickle.read(BlobSlice(try PickleFixtures.blob("protocol5.pdparams"))).value,
      case .array(let array) = value["w"], case .double(1.5) = value["n"], case .list(let set) = value["s"]
    else {
      Issue.record("not the expected dictionary")
      return
    }
    #expect(array.shape == [2, 3])
    #expect(array.typeCode == "f4")
    #expect(set.count == 2)
  }

  @Test("Python 2 wrote byte strings as its own kind of text") func python2() throws {
    func short(_ text: String) -> [UInt8] { [0x55, UInt8(text.utf8.count)] + text.utf8 }
    let array =
      Array("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n".utf8) + [0x4B, 0, 0x85] + short("b")
      + [0x87, 0x52, 0x28, 0x4B, 1, 0x4B, 1, 0x85] + Array("cnumpy\ndtype\n".utf8) + short("f4")
      + [0x4B, 0, 0x4B, 1, 0x87, 0x52, 0x28, 0x4B, 3] + short("<") + [0x4E, 0x4E, 0x4E]
      + [0x4A, 0xFF, 0xFF, 0xFF, 0xFF, 0x4A, 0xFF, 0xFF, 0xFF, 0xFF, 0x4B, 0, 0x74, 0x62, 0x89]
      + [0x55, 4, 0, 0, 0xC0, 0xBF, 0x74, 0x62]
    let blob = Blob([0x80, 2, 0x7D] + short("fc.bias") + array + [0x73, 0x2E])
    let store = try PaddleParameters.read(blob)
    PickleFixtures.expect(store, "fc.bias", Tensor(shape: [1], values: [-1.5]))
  }

  @Test("Every byte survives the text form of protocol 2, and damaged text is an error") func latinText() throws {
    func length(_ count: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } }
    func encoded(_ text: [UInt8]) -> [UInt8] {
      Array("c_codecs\nencode\n".utf8) + [0x58] + length(text.count) + text + [0x58, 6, 0, 0, 0]
        + Array("latin1".utf8) + [0x86, 0x52, 0x2E]
    }
    // Long texts are decoded when they are read.
    let long = (0..<100_003).map { UInt8(truncatingIfNeeded: $0 &* 0x9E37_79B9 >> 11) }
    for bytes: [UInt8] in [
      [], [0x41], [0xFF], [0x80, 0x41], [0x41, 0x80], [0xC3, 0xBF, 0x7F, 0xC0], long, long + [7],
    ] {
      let text = String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
      guard case .bytes(let slice) = try read(encoded(Array(text.utf8))) else {
        Issue.record("not a byte string")
        continue
      }
      #expect(slice.withUnsafeBytes { Array($0) } == bytes)
    }
    for text: [UInt8] in [
      [0x80], [0xC2], [0xC2, 0x41], [0xC4, 0x80], [0x41, 0xFF], [0xE2, 0x82, 0xAC], [0x80, 0x80], [0xC2, 0xC2, 0x80],
      [0xC2, 0x80, 0x80],
    ] {
      #expect(PickleFixtures.error { _ = try read(encoded(text)) }?.code == .malformedData, "\(text)")
    }
  }

  @Test func optimizerState() throws {
    guard case .list(let list) = try Pickle.read(BlobSlice(try PickleFixtures.blob("momentum.pdopt"))).value,
      case .dictionary(let state) = list.first, case .tuple(let velocity) = state["w_velocity_0"],
      case .array(let array) = velocity.last, case .dictionary(let schedule) = state["LR_Scheduler"],
      case .integer(3) = schedule["last_epoch"], case .double(0.25) = schedule["last_lr"]
    else {
      Issue.record("not the expected list")
      return
    }
    #expect(array.shape == [2])
  }

  @Test func hostileNesting() {
    // Each list holds the one before twice: 2^40 values in 200 bytes.
    var doubling: [UInt8] = [0x5D]
    for _ in 0..<40 { doubling += [0x71, 0, 0x5D, 0x28, 0x68, 0, 0x68, 0, 0x65] }
    #expect(PickleFixtures.error { _ = try read(doubling + [0x2E]) }?.code == .limitExceeded)
    // A million lists inside each other.
    let deep = [UInt8](repeating: 0x5D, count: 500_000) + [UInt8](repeating: 0x61, count: 499_999) + [0x2E]
    #expect(PickleFixtures.error { _ = try read(deep) }?.code == .limitExceeded)
    // A list that holds itself.
    #expect(PickleFixtures.error { _ = try read([0x5D, 0x71, 0, 0x68, 0, 0x61, 0x2E]) }?.code == .unsupported)
    // One long list, of which ten thousand copies are asked for.
    let many = [0x5D, 0x71, 0, 0x28] + [UInt8](repeating: 0x4E, count: 10_000) + [0x65]
    let copy = Array("cbuiltins\nlist\n".utf8) + [0x71, 1, 0x30]
    let again: [UInt8] = [0x68, 1, 0x68, 0, 0x85, 0x52, 0x4E, 0x61, 0x30]
    let lists = (0..<10_000).flatMap { _ in again }
    #expect(PickleFixtures.error { _ = try read(many + copy + lists + [0x2E]) }?.code == .limitExceeded)
    // More objects, copies and memories than any weights file has.
    #expect(PickleFixtures.error { _ = try read([UInt8](repeating: 0x4E, count: 1 << 21)) }?.code == .limitExceeded)
    let copies = [0x4E] + [UInt8](repeating: 0x32, count: 1 << 21)
    #expect(PickleFixtures.error { _ = try read(copies) }?.code == .limitExceeded)
  }

  @Test(
    "A length beyond the file is an error before anything is allocated",
    arguments: [0x58, 0x8D, 0x54, 0x42, 0x8E, 0x95, 0x8B] as [UInt8])
  func hugeLengths(opcode: UInt8) {
    let bytes = [opcode] + [UInt8](repeating: 0xFF, count: 7) + [0x7F, 0x2E]
    #expect(PickleFixtures.error { _ = try read(bytes) }?.code == .malformedData)
  }

  @Test(
    arguments: [[], [0x80], [0x80, 2], [0x80, 1, 0x2E], [0x80, 6, 0x2E], [0x2E], Array("(dp0\n.".utf8)] as [[UInt8]])
  func noPickle(bytes: [UInt8]) {
    #expect(throws: HGNetError.self) { try Pickle.read(BlobSlice(Blob(bytes))) }
  }

  @Test(
    "Values written are read again", arguments: [2, 3, 4])
  func roundTrip(version: Int) throws {
    let path = PickleFixtures.temporaryPath("values\(version).pickle")
    defer { PickleFixtures.remove(path) }
    let many = (0..<2500).map { PickleValue.integer($0 - 1250) }
    let text = String(repeating: "größer ", count: 60)
    var dictionary = PickleDictionary()
    dictionary["many"] = .list(many)
    dictionary["text"] = .text(text)
    dictionary["bytes"] = .bytes(BlobSlice(Blob((0...255).map { UInt8($0) })))
    dictionary["tuple"] = .tuple([.none, .bool(false), .double(-0.25), .integer(Int.min), .tuple([])])
    try Pickle.write(.dictionary(dictionary), to: path, protocol: version)
    guard case .dictionary(let value) = try Pickle.read(BlobSlice(try Blob(mapping: path))).value,
      case .list(let list) = value["many"], case .text(text) = value["text"], case .bytes(let slice) = value["bytes"],
      case .tuple(let tuple) = value["tuple"]
    else {
      Issue.record("not what was written")
      return
    }
    #expect(list.compactMap { if case .integer(let value) = $0 { value } else { nil } } == Array(-1250..<1250))
    #expect(slice.withUnsafeBytes { Array($0) } == (0...255).map { UInt8($0) })
    guard tuple.count == 5, case (.double(-0.25), .integer(Int.min)) = (tuple[2], tuple[3]) else {
      Issue.record("unexpected tuple \(tuple)")
      return
    }
  }

  @Test(
    "Damaged files give errors, not traps",
    arguments: ["protocol2.pdparams", "protocol4.pdparams", "tuples.pdparams", "momentum.pdopt", "protocol5.pdparams"])
  func fuzz(name: String) throws {
    try PickleFixtures.fuzz(name, iterations: 2000, seed: 1) { _ = try Pickle.read(BlobSlice($0)) }
  }
}
