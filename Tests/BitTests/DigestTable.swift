import HGNetCore
import HGNetPlatform
import Testing

/// The committed digests; made anew where `HGNET_BITS_RECORD` is set.
///
/// `HGNET_BITS` names the file, and the suite runs only then. `HGNET_BITS_SEED` takes other weights and pictures: the
/// digests then belong into another file.
enum DigestTable {
  static let path = getenv("HGNET_BITS").map { String(cString: $0) }
  static let isRecording = getenv("HGNET_BITS_RECORD") != nil
  static let seed = getenv("HGNET_BITS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

  private static let known: [String: String] = {
    guard let path, let blob = try? Blob(mapping: path) else { return [:] }
    let text = blob.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    var result: [String: String] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let space = line.lastIndex(of: " ") else { continue }
      result[String(line[..<space])] = String(line[line.index(after: space)...])
    }
    return result
  }()

  /// Compares a digest with the table, or prints the line of a new table.
  static func check(_ title: String, _ digest: String) {
    if isRecording {
      print("bits: \(title) \(digest)")
    } else {
      #expect(known[title] == digest, "\(title): other bits than recorded")
    }
  }
}

/// FNV-1a over the bit patterns of numbers, in 64 bits.
struct Digest {
  private var value: UInt64 = 0xcbf2_9ce4_8422_2325
  private var isFinite = true

  mutating func add(_ number: Float) {
    isFinite = isFinite && number.isFinite
    value = (value ^ UInt64(number.bitPattern)) &* 0x100_0000_01b3
  }

  mutating func add(_ tensor: Tensor) {
    tensor.withUnsafeBufferPointer { for number in $0 { add(number) } }
  }

  /// 16 hexadecimal digits; numbers that are not finite would hide everything else.
  var text: String {
    guard isFinite else { return "not-finite" }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// Numbers from integer arithmetic alone: the same bits on every machine.
struct SeededValues {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493 }

  /// The next value in [0, 1).
  mutating func uniform() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) * 0x1p-24
  }

  /// A tensor of values with mean 0 and variance 1, in [-1.74, 1.74).
  mutating func tensor(_ shape: Shape) -> Tensor {
    let values = (0..<shape.count).map { _ in (uniform() - 0.5) * 3.464_101_6 }
    return Tensor(shape: shape, values: values)
  }

  /// Parameters of a graph at the scale of trained ones, running statistics and affine blocks included.
  static func parameters(_ graph: Graph, seed: UInt64) -> ParameterStore {
    var random = SeededValues(seed: seed)
    var store = ParameterStore()
    for declaration in graph.parameters {
      let shape = declaration.shape
      let fanIn = shape.rank == 4 ? shape[1] * shape[2] * shape[3] : shape[0]
      let deviation: Float
      let mean: Float
      switch declaration.role {
      case .convolutionWeight: (mean, deviation) = (0, (2 / Float(fanIn)).squareRoot())
      case .linearWeight: (mean, deviation) = (0, 0.03)
      case .normalizationWeight, .runningVariance, .affineScale: (mean, deviation) = (1, 0.115)
      default: (mean, deviation) = (0, 0.06)
      }
      let values = random.tensor(shape)
      store[declaration.name] = Parameter(
        Tensor(shape: shape) { target in
          values.withUnsafeBufferPointer { source in
            for index in target.indices { target[index] = mean + deviation * source[index] }
          }
        })
    }
    return store
  }
}
