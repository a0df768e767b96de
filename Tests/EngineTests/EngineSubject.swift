import HGNetCPU
import HGNetCore
import HGNetGPU
import HGNetPlatform
import HGNetProgram
import HGNetReference
import Testing

/// An engine under test with what is expected of it.
///
/// A new engine is one more entry of `all`.
struct EngineSubject: Sendable, CustomTestStringConvertible {
  let engine: any Engine
  /// Engines that promise the same bits, such as those with other numbers of threads.
  var twins: [any Engine] = []
  /// How far a result may be off, as a part of the largest value, of inference and of training's forward pass.
  var tolerance = 1e-5
  /// How far the gradient of a parameter may be off, as a part of its norm.
  var gradientTolerance = 1e-3
  /// What its inference computes with.
  var precision = Precision.float32

  var testDescription: String {
    engine.deviceDescription + (precision == .float32 ? "" : ", \(precision.rawValue)")
  }

  /// The judge.
  static let reference = ReferenceEngine()

  /// All engines: the reference, which rounds results only, and the processor with each of its instruction sets.
  static let all: [EngineSubject] =
    [EngineSubject(engine: reference, tolerance: 1e-6, gradientTolerance: 1e-6)]
    + InstructionSet.available.map { instructionSet in
      EngineSubject(
        engine: CPUEngine(pool: ThreadPool(count: 2), instructionSet: instructionSet),
        twins: [1, 3, 4].map { CPUEngine(pool: ThreadPool(count: $0), instructionSet: instructionSet) })
    }

  /// The GPU whose number is in `HGNET_TEST_GPU`, with products in tiles of its choice and in others; none without it.
  ///
  /// `Scripts/check-gpu` sets it for software devices.
  static let gpu: [EngineSubject] = {
    guard let text = getenv("HGNET_TEST_GPU"), let number = Int(String(cString: text)) else { return [] }
    do {
      let engine = try GPUEngine(number: number)
      let tiles = [TileChoice(rows: 32, columns: 32), TileChoice(rows: 128, columns: 64, depth: 8)]
      var subjects = [EngineSubject(engine: engine, twins: tiles.map { GPUEngine(engine.device, tiles: $0) })]
      // With products on matrix units where there are such, and without.
      for usesMatrices in engine.fastestPrecision == .float16 ? [true, false] : [] {
        let tiles = [16, 32].map { TileChoice(rows: 32, columns: 32, depth: $0, usesMatrices: usesMatrices) }
        subjects.append(
          EngineSubject(
            engine: GPUEngine(engine.device, tiles: tiles[0]), twins: [GPUEngine(engine.device, tiles: tiles[1])],
            tolerance: 4e-3, precision: .float16))
      }
      return subjects
    } catch {
      Issue.record("HGNET_TEST_GPU=\(number): \(error)")
      return []
    }
  }()

  /// The processor in bfloat16, with each of its instruction sets.
  static let bfloat16: [EngineSubject] = all.dropFirst().map { subject in
    var subject = subject
    subject.precision = .bfloat16
    subject.tolerance = 2e-2
    return subject
  }

  /// All engines in float32, the GPU among them: training.
  static var training: [EngineSubject] { all + gpu.filter { $0.precision == .float32 } }

  /// All engines at all of their precisions: inference.
  static var inference: [EngineSubject] { all + bfloat16 + gpu }

  /// The reference and the fastest of each other kind, for what takes long.
  static var main: [EngineSubject] { Array(all.prefix(2)) }
}

/// What a property found: a text that names engine, property and layer.
typealias Finding = String

/// Fails with what was found.
func expectNothing(_ finding: Finding?, sourceLocation: SourceLocation = #_sourceLocation) {
  if let finding { Issue.record("\(finding)", sourceLocation: sourceLocation) }
}

extension Tensor {
  /// The largest magnitude.
  var largest: Double { values.reduce(0) { max($0, Double(abs($1))) } }

  /// The largest distance to another tensor of the same shape; infinity where one has no number.
  func distance(to other: Tensor) -> Double {
    guard shape == other.shape else { return .infinity }
    var worst = 0.0
    for (one, two) in zip(values, other.values) {
      let distance = Double(abs(one - two))
      if !(distance <= worst) { worst = distance.isNaN ? .infinity : distance }
    }
    return worst
  }
}
