import HGNetCore
import HGNetModels
import HGNetProgram
import Testing

/// A training step as data: who writes before whom, what is kept, and what frozen layers save.
@Suite struct TrainingProgramTests {
  static func program(_ name: String, frozen: Set<String> = []) throws -> TrainingProgram {
    let model = try Model.named(name)
    return try TrainingProgram(
      Program(model.graph(inputSize: Size(64)), isTraining: true), batch: 2, frozen: frozen)
  }

  @Test(arguments: PlacementTests.names) func everyGradientIsWrittenBeforeItIsRead(name: String) throws {
    let program = try TrainingProgramTests.program(name)
    let first = program.gradients.compactMap { $0?.buffer }.min() ?? 0
    let all = first..<first + (program.gradients.compactMap { $0?.buffer }.max() ?? 0) - first + 1
    var written: Set<Location> = [try program.gradient(program.output)]
    func isWritten(_ location: Location) -> Bool {
      !all.contains(location.buffer) || written.contains { covers($0, location) }
    }
    for operation in program.operations {
      switch operation.kind {
      case .elementwise(let kind, let target, let gradient, _):
        if let gradient { #expect(isWritten(gradient), "\(operation.name)") }
        if kind != .zero { #expect(isWritten(target), "\(operation.name) adds to nothing") }
        written.insert(target)
      case .normalizationGradient(_, let gradient): #expect(isWritten(gradient), "\(operation.name)")
      case .dataGradient(_, let target, let isAdded):
        if isAdded { #expect(isWritten(target), "\(operation.name) adds to nothing") }
        written.insert(target)
      case .maxPoolGradient(_, _, _, _, let gradient, let target), .gateGradient(_, let gradient, let target):
        #expect(isWritten(gradient) && isWritten(target), "\(operation.name)")
      default: break
      }
    }
  }

  /// Whether a written array holds all of another, or the parts of a concatenation may.
  private func covers(_ written: Location, _ read: Location) -> Bool {
    written.buffer == read.buffer
      && (written == read || written.byteOffset == read.byteOffset || read.shape.channels > written.shape.channels
        || written.shape.channels > read.shape.channels)
  }

  @Test(arguments: PlacementTests.names) func everyParameterEndsOnce(name: String) throws {
    let program = try TrainingProgramTests.program(name)
    let ended = program.gradientEnds.values.joined().sorted()
    let learned = program.program.graph.parameters.filter { $0.role.isLearned }.map(\.name).sorted()
    #expect(ended == learned)
  }

  @Test(
    "Quantisation-aware training: every range ends once, each unit has rounded weights", arguments: PlacementTests.names
  )
  func quantised(name: String) throws {
    let plain = try Program(Model.named(name).graph(inputSize: Size(64)), isTraining: true)
    let program = try TrainingProgram(plain.quantizing(), batch: 2)
    let ended = program.gradientEnds.values.joined().sorted()
    #expect(ended == program.program.trainedParameters.filter { $0.role.isLearned }.map(\.name).sorted())
    #expect(program.units.allSatisfy { $0.roundedWeights != nil })
    let names = try #require(program.program.quantization?.names)
    #expect(Set(names.keys) == Set(plain.observed.map(\.layer)))
    // What lies side by side in a concatenation has one range.
    for layer in program.program.layers where layer.kind == .concatenate {
      let parts = layer.inputs.compactMap { program.program.layer(computing: $0)?.quantization?.range }
      #expect(parts.count == layer.inputs.count && Set(parts).count == 1)
    }
    #expect(program.program.layers.last?.quantization?.range == nil, "the logits stay as they are")
  }

  @Test func nothingIsComputedForAFrozenBeginning() throws {
    let graph = try Model.named("PPHGNetV2_B0").graph(inputSize: Size(64))
    let head = Set(graph.parameters.suffix(2).map(\.name))
    let frozen = Set(graph.parameters.map(\.name)).subtracting(head)
    let program = try TrainingProgramTests.program("PPHGNetV2_B0", frozen: frozen)
    let backward = program.operations.dropFirst(program.forwardCount)
    #expect(backward.count == 2, "\(backward.map(\.name))")
    #expect(Set(program.gradientEnds.values.joined()) == head)
    #expect(program.units.filter { $0.usesBatchStatistics }.isEmpty)
  }

  @Test func aConvolutionsResultIsKeptForItsGradient() throws {
    let program = try TrainingProgramTests.program("PPHGNetV2_B0")
    for (number, operation) in program.operations.enumerated() {
      guard case .normalizationGradient(let unit, _) = operation.kind else { continue }
      let buffer = program.buffers[program.units[unit].convolved.buffer]
      #expect(buffer.firstStep < program.forwardCount && number <= buffer.lastStep)
    }
  }

  @Test func aProgramIsAValue() throws {
    let first = try TrainingProgramTests.program("PPHGNet_tiny")
    let second = try TrainingProgramTests.program("PPHGNet_tiny")
    #expect(first.operations == second.operations)
    #expect(first.rows == second.rows)
    #expect(first.rows.count == first.operations.count)
  }
}
