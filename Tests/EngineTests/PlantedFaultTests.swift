import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import Testing

/// The suite finds planted faults, and names the place.
@Suite("Engines: planted faults") struct PlantedFaultTests {
  /// The reference engine, but for one fault.
  struct FaultyEngine: Engine {
    enum Fault: Sendable { case border, overlap }

    let inner = ReferenceEngine()
    let fault: Fault
    let layer: String

    var deviceDescription: String { "faulty engine" }
    var arithmetic: String { inner.arithmetic }
    var fastestPrecision: Precision { inner.fastestPrecision }

    func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String? { nil }
    func sharing(_ compiled: any CompiledProgram) throws(HGNetError) -> any CompiledProgram { compiled }

    func compile(
      _ program: Program, parameters: some ParameterSource, precision: Precision
    ) throws(HGNetError) -> any CompiledProgram {
      try inner.compile(Program(faulty(program.graph)), parameters: parameters, precision: precision)
    }

    func memoryNeed(
      of program: Program, at precision: Precision, extent: RunExtent
    ) throws(HGNetError) -> MemoryNeed { try inner.memoryNeed(of: program, at: precision, extent: extent) }

    func trainingMemoryNeed(
      of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
    ) throws(HGNetError) -> MemoryNeed {
      try inner.trainingMemoryNeed(of: program, batch: batch, isFrozen: isFrozen)
    }

    func trainingState(
      of declarations: [ParameterDeclaration], parameters: some ParameterSource,
      isFrozen: (ParameterDeclaration) -> Bool
    ) throws(HGNetError) -> any TrainingState {
      try inner.trainingState(of: declarations, parameters: parameters, isFrozen: isFrozen)
    }

    func trainingRun(
      _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
    ) throws(HGNetError) -> any TrainingRun {
      try inner.trainingRun(program, state: state, batch: batch, statistics: statistics)
    }

    /// The graph with the fault, which no shape gives away.
    private func faulty(_ graph: Graph) throws(HGNetError) -> Graph {
      var builder = GraphBuilder()
      for node in graph.nodes {
        var (operation, inputs) = (node.operation, node.inputs)
        if fault == .border, node.name == layer, case .convolution(var convolution) = operation {
          // What lies above and left is taken for the border below and right.
          convolution.padding = Padding(
            top: 0, left: 0, bottom: convolution.padding.top + convolution.padding.bottom,
            right: convolution.padding.left + convolution.padding.right)
          operation = .convolution(convolution)
        }
        // An addition reads what another result has overwritten.
        if fault == .overlap, node.name == layer, inputs.count == 2 { inputs[1] = inputs[0] }
        builder.append(operation, name: node.name, inputs: inputs)
      }
      for parameter in graph.parameters { builder.declare(parameter) }
      for output in graph.outputs { builder.markOutput(output.role, output.node) }
      let roles = graph.outputs.map(\.role)
      return try builder.graph(output: roles.first ?? .logits, inputSize: graph.inputSize).selecting(outputs: roles)
    }
  }

  private func finding(_ fault: FaultyEngine.Fault, _ network: EngineNetwork, layer: String) throws -> Finding? {
    let size = Size(height: 40, width: 40)
    let graph = try network.graph(size)
    let subject = EngineSubject(engine: FaultyEngine(fault: fault, layer: layer))
    return try InferenceComparison(
      graph, parameters: Model.randomParameters(for: graph, seed: 3), pictures: seededPictures(1, size)
    ).finding(subject)
  }

  @Test("A missing border is found at its layer") func border() throws {
    let found = try #require(
      try finding(.border, EngineNetwork.all[0], layer: "stages.1.blocks.0.layers.0.conv2.conv"))
    #expect(found.contains("the first layer: stages.1.blocks.0.layers.0.conv2.conv "), "\(found)")
  }

  @Test("Results that overlap are found where one is read") func overlap() throws {
    let graph = try EngineNetwork.all[0].graph(Size(40))
    let sum = try #require(graph.nodes.first { $0.operation == .add }?.name)
    let found = try #require(try finding(.overlap, EngineNetwork.all[0], layer: sum))
    #expect(found.contains("the first layer: \(sum) "), "\(found)")
  }

  @Test("A forgotten gradient is found at its parameter") func gradient() throws {
    let setting = try TrainingSetting(EngineNetwork.all[0], size: Size(height: 33, width: 40))
    let reference = try setting.step(EngineSubject.reference)
    let own = try setting.step(EngineSubject.reference)
    let name = "stages.2.blocks.0.layers.1.conv.weight"
    let at = try #require(own.state.index(of: name))
    try own.state.write(Tensor(shape: own.state.declarations[at].shape), to: .gradient, of: at)
    let subject = EngineSubject(engine: EngineSubject.reference, tolerance: 1e-6, gradientTolerance: 1e-6)
    let found = try #require(try setting.finding(subject, own, reference: reference))
    #expect(found.contains("the gradient of \(name) is off"), "\(found)")
    #expect(try setting.finding(subject, setting.step(EngineSubject.reference), reference: reference) == nil)
  }
}
