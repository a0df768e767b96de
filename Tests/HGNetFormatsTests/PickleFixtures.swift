import HGNetCore
import HGNetFormats
import HGNetPlatform
import Testing

/// The files of `Fixtures/pickles` and what is in them.
enum PickleFixtures {
  static let folder: String = {
    let file = #filePath
    let tests = file.split(separator: "/").dropLast(2).joined(separator: "/")
    return "/\(tests)/Fixtures/pickles"
  }()

  static func path(_ name: String) -> String { "\(folder)/\(name)" }

  static func blob(_ name: String) throws -> Blob { try Blob(mapping: path(name)) }

  static func bytes(_ blob: Blob) -> [UInt8] { blob.withUnsafeBytes { Array($0) } }

  /// A path in the folder for temporary files that no other test uses.
  static func temporaryPath(_ name: String) -> String {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    return "\(folder)/hgnet-\(getpid())-\(UInt64.random(in: 0...UInt64.max))-\(name)"
  }

  /// Removes a temporary file.
  static func remove(_ path: String) { unlink(path) }

  /// What the scripts of the folder call a ramp: (0 … count-1, less 5) / 4.
  static func ramp(_ extents: Int...) -> Tensor {
    let shape = Shape(extents)
    return Tensor(shape: shape, values: (0..<shape.count).map { (Float($0) - 5) / 4 })
  }

  static func expect(
    _ store: ParameterStore, _ name: String, _ tensor: Tensor, _ type: ElementType = .float32,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    guard let parameter = store[name] else {
      Issue.record("no parameter \(name) in \(store.names)", sourceLocation: sourceLocation)
      return
    }
    #expect(parameter.elementType == type, "\(name)", sourceLocation: sourceLocation)
    #expect(parameter.shape == tensor.shape, "\(name)", sourceLocation: sourceLocation)
    #expect(parameter.tensor().values == tensor.values, "\(name)", sourceLocation: sourceLocation)
  }

  /// The code and text of the error that a body throws.
  static func error(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) -> HGNetError? {
    do {
      try body()
      Issue.record("no error was thrown", sourceLocation: sourceLocation)
    } catch let error as HGNetError {
      return error
    } catch {
      Issue.record("an error of another type was thrown: \(error)", sourceLocation: sourceLocation)
    }
    return nil
  }

  /// Numbers of the SplitMix64 sequence, the same in every run.
  struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  /// Reads a file cut at every length and damaged in many ways; every outcome but a trap is fine, and what is read must
  /// be readable.
  static func fuzz(
    _ name: String, iterations: Int, seed: UInt64, truncatingEvery step: Int = 1,
    sourceLocation: SourceLocation = #_sourceLocation, read: (Blob) throws -> Void
  ) throws {
    let whole = bytes(try blob(name))
    for length in stride(from: 0, to: whole.count, by: step) {
      #expect(throws: HGNetError.self, "cut after \(length) bytes", sourceLocation: sourceLocation) {
        try read(Blob(whole[..<length]))
      }
    }
    var generator = Generator(state: seed)
    for _ in 0..<iterations {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !damaged.isEmpty {
        let place = Int.random(in: 0..<damaged.count, using: &generator)
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: damaged[place] = UInt8.random(in: 0...255, using: &generator)
        case 2: damaged[place] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator) ?? 0
        case 3: damaged.remove(at: place)
        case 4: damaged.insert(UInt8.random(in: 0...255, using: &generator), at: place)
        default:
          let end = min(place + Int.random(in: 1...16, using: &generator), damaged.count)
          damaged.insert(contentsOf: damaged[place..<end], at: Int.random(in: 0...damaged.count, using: &generator))
        }
      }
      do { try read(Blob(damaged)) } catch is HGNetError {}
    }
  }

  /// Touches every value of a store.
  static func use(_ store: ParameterStore) {
    for name in store.names { _ = store[name]?.tensor().values.count }
  }
}
