import HGNetCore
import HGNetModels
import HGNetProgram
import Testing

/// What every engine promises when it runs a network.
@Suite("Engines: inference") struct InferenceTests {
  @Test("Results are the reference's, for all ten models", arguments: Model.all.map(\.name))
  func models(name: String) throws {
    let size = Size(32)
    let graph = try Model.named(name).graph(options: ModelOptions(classCount: 20), inputSize: size)
    let comparison = try InferenceComparison(
      graph, parameters: Model.randomParameters(for: graph, seed: 11), pictures: seededPictures(1, size))
    for subject in EngineSubject.main + EngineSubject.bfloat16.prefix(1) + EngineSubject.gpu.prefix(1) {
      expectNothing(try comparison.finding(subject))
    }
  }

  @Test(
    "Results and features are the reference's at odd sizes", arguments: EngineNetwork.all.indices,
    [(1, Size(height: 41, width: 65)), (3, Size(height: 64, width: 33))])
  func networks(index: Int, extent: (batch: Int, size: Size)) throws {
    let graph = try EngineNetwork.all[index].graph(extent.size, hasStages: true)
    let comparison = try InferenceComparison(
      graph, parameters: Model.randomParameters(for: graph, seed: 21 + UInt64(index)),
      pictures: seededPictures(extent.batch, extent.size))
    for subject in EngineSubject.inference { expectNothing(try comparison.finding(subject)) }
  }

  @Test("The reference runs the graph as it stands: passes change nothing", arguments: EngineNetwork.all.indices)
  func passes(index: Int) throws {
    let size = Size(height: 33, width: 40)
    let graph = try EngineNetwork.all[index].graph(size)
    let parameters = Model.randomParameters(for: graph, seed: 23)
    let pictures = seededPictures(2, size)
    var interpreter = GraphInterpreter(graph: graph, batch: 2)
    // Running statistics everywhere, and dropout as its mean: inference.
    interpreter.frozenPrefix = ""
    for case let (name, .dropout(probability)) in graph.nodes.map({ ($0.name, $0.operation) }) {
      interpreter.masks[name] = [Double](repeating: 1 - Double(probability), count: 2 * 1 << 14)
    }
    let expected = interpreter.logits(pictures.values.map { Double($0) }, parameters: parameters.doubles)
    let found = try InferenceComparison.results(
      EngineSubject.reference, graph, parameters: parameters, pictures: pictures)[0]
    let largest = expected.reduce(0) { max($0, abs($1)) }
    for (one, other) in zip(expected, found.values) { #expect(abs(one - Double(other)) <= 1e-6 * largest) }
  }

  @Test("Bits depend neither on the place in a batch nor on the engine's twins", arguments: EngineNetwork.all.indices)
  func bits(index: Int) throws {
    let size = Size(height: 48, width: 65)
    let graph = try EngineNetwork.all[index].graph(size, hasStages: true)
    let parameters = Model.randomParameters(for: graph, seed: 31)
    let pictures = seededPictures(3, size)
    let count = pictures.count / 3
    for subject in EngineSubject.inference {
      func results(_ engine: any Engine, _ pictures: Tensor) throws -> [[Float]] {
        try InferenceComparison.results(
          engine, graph, parameters: parameters, pictures: pictures, precision: subject.precision
        ).map(\.values)
      }
      var single = [[Float]](repeating: [], count: graph.outputs.count)
      for place in 0..<3 {
        let picture = Tensor(
          shape: [1, size.height, size.width, 3], values: pictures.values[place * count..<(place + 1) * count])
        for (output, values) in try results(subject.engine, picture).enumerated() { single[output] += values }
      }
      for engine in [subject.engine] + subject.twins {
        for (output, values) in try results(engine, pictures).enumerated() {
          #expect(values == single[output], "\(engine.deviceDescription): \(graph.outputs[output].name)")
        }
      }
    }
  }

  @Test(
    "A program serves many sizes; runs in shared memory do not disturb each other", arguments: EngineSubject.inference)
  func sessions(subject: EngineSubject) throws {
    let graph = try EngineNetwork.all[0].graph(Size(32))
    let parameters = Model.randomParameters(for: graph, seed: 41)
    let compiled = try subject.engine.compile(Program(graph), parameters: parameters, precision: subject.precision)
    let extents = [
      RunExtent(batch: 1, inputSize: Size(32)), RunExtent(batch: 3, inputSize: Size(height: 50, width: 37)),
    ]
    var alone: [[Float]] = []
    for extent in extents {
      let need = try compiled.memoryNeed(of: extent)
      #expect(need.byteCount > 4 * extent.batch * extent.inputSize.height * extent.inputSize.width)
      alone.append(try compiled.session(extent).run(seededPictures(extent.batch, extent.inputSize))[0].values)
    }
    let memory = try compiled.memory(for: extents)
    #expect(memory.byteCount > 0)
    var sessions: [any EngineSession] = []
    for extent in extents { sessions.append(try compiled.session(extent, memory: memory, isTimed: true)) }
    for _ in 0..<2 {
      for (session, expected) in zip(sessions, alone) {
        let extent = RunExtent(batch: session.batch, inputSize: session.program.inputSize)
        #expect(try session.run(seededPictures(extent.batch, extent.inputSize))[0].values == expected)
        #expect(session.layerSeconds.count == session.layerDescriptions.count)
        #expect(session.layerSeconds.allSatisfy { $0 >= 0 })
      }
    }
    #expect(try compiled.session(extents[0]).layerSeconds.isEmpty)
    let small = try compiled.memory(for: [extents[0]])
    #expect(code { _ = try compiled.session(extents[1], memory: small, isTimed: false) } == .shapeMismatch)
    let shared = try subject.twins.first?.sharing(compiled)
    if let shared { #expect(try shared.session(extents[0]).run(seededPictures(1, Size(32)))[0].values == alone[0]) }
  }

  @Test("What does not fit is an error", arguments: EngineSubject.inference) func errors(subject: EngineSubject) throws
  {
    let graph = try EngineNetwork.all[2].graph(Size(32))
    var parameters = Model.randomParameters(for: graph, seed: 61)
    let program = try Program(graph)
    let compiled = try subject.engine.compile(program, parameters: parameters, precision: subject.precision)
    let session = try compiled.session(RunExtent(batch: 1, inputSize: Size(32)))
    #expect(code { _ = try session.run(Tensor(shape: [1, 3, 32, 32])) } == .shapeMismatch)
    #expect(code { _ = try session.run(Tensor(shape: [2, 32, 32, 3])) } == .shapeMismatch)
    var logits = [Float](repeating: 0, count: 4)
    #expect(code { try logits.withUnsafeMutableBufferPointer { try session.read(0, into: $0) } } == .shapeMismatch)
    #expect(code { try logits.withUnsafeMutableBufferPointer { try session.read(7, into: $0) } } == .invalidArgument)
    func extent(_ batch: Int, _ side: Int) -> RunExtent { RunExtent(batch: batch, inputSize: Size(side)) }
    #expect(code { _ = try compiled.session(extent(0, 32)) } == .invalidArgument)
    #expect(code { _ = try compiled.session(extent(1 << 17, 32)) } == .invalidArgument)
    #expect(code { _ = try compiled.session(extent(1 << 16, 2048)) } == .limitExceeded)
    #expect(code { _ = try compiled.session(extent(1, 1 << 17)) } == .limitExceeded)
    let plain = try subject.engine.compile(
      Program(EngineNetwork.all[0].graph(Size(32))),
      parameters: Model.randomParameters(for: EngineNetwork.all[0].graph(Size(32)), seed: 1),
      precision: subject.precision)
    #expect(code { _ = try plain.session(extent(1, 0)) } == .shapeMismatch)
    // A parameter that is missing, one of another shape; both are named.
    let name = "stages.1.blocks.0.layers.0.conv.weight"
    let kept = try #require(graph.parameters.first { $0.role == .convolutionWeight }?.name)
    for replacement in [nil, Parameter(Tensor(shape: [1, 1]))] {
      parameters[kept] = replacement
      let error = #expect(throws: HGNetError.self, "\(name)") {
        _ = try subject.engine.compile(program, parameters: parameters, precision: subject.precision)
      }
      #expect(error?.code == .parameterMismatch && error?.context.key == kept, "\(subject.testDescription)")
    }
  }

  @Test(
    "The memory that is told before a network is compiled has room for its session", arguments: EngineSubject.inference)
  func memoryNeed(subject: EngineSubject) throws {
    let graph = try EngineNetwork.all[0].graph(Size(64))
    let program = try Program(graph)
    let compiled = try subject.engine.compile(
      program, parameters: Model.randomParameters(for: graph, seed: 5), precision: subject.precision)
    for extent in [RunExtent(batch: 1, inputSize: Size(64)), RunExtent(batch: 9, inputSize: Size(48))] {
      let before = try subject.engine.memoryNeed(of: program, at: subject.precision, extent: extent).byteCount
      let session = try compiled.memoryNeed(of: extent).byteCount
      // The weights come on top, at most five times their size in float32; scratch memory of threads may be left out.
      #expect(before > session - (1 << 20) && before < session + 20 * graph.parameterCount + (1 << 20))
    }
  }

  @Test("What an engine refuses it names, in inference and in training", arguments: EngineSubject.all)
  func refusals(subject: EngineSubject) throws {
    var builder = GraphBuilder()
    let input = builder.append(.input(channels: 4), name: "input", inputs: [])
    let shape: Shape = [6, 2, 3, 3]
    let convolution = Convolution(
      weight: "grouped.weight", inputChannels: 4, outputChannels: 6, kernel: Size(3), stride: Size(1),
      padding: Padding(1), groups: 2)
    let grouped = builder.append(.convolution(convolution), name: "grouped", inputs: [input])
    builder.declare(ParameterDeclaration(name: "grouped.weight", shape: shape, role: .convolutionWeight))
    builder.markOutput(.logits, builder.append(.globalAveragePool, name: "pool", inputs: [grouped]))
    let graph = try builder.graph(output: .logits, inputSize: Size(5))
    var parameters = ParameterStore()
    parameters["grouped.weight"] = Parameter(seededTensor(shape, seed: 1))
    for isTraining in [false, true] {
      let program = try Program(graph, isTraining: isTraining)
      let refused = program.layers.first { subject.engine.refusal(of: $0, in: program, at: .float32) != nil }?.name
      var found: HGNetError?
      do throws(HGNetError) {
        if isTraining {
          let state = try subject.engine.trainingState(of: graph.parameters, parameters: parameters) { _ in false }
          _ = try subject.engine.trainingRun(program, state: state, batch: 1, statistics: nil)
        } else {
          _ = try subject.engine.compile(program, parameters: parameters, precision: subject.precision)
        }
      } catch { found = error }
      #expect(found?.code == (refused == nil ? nil : .unsupported), "\(found?.description ?? "taken")")
      if let refused { #expect(found?.context.layer?.hasPrefix(refused) == true) }
    }
    #expect(
      EngineSubject.reference.refusal(of: try Program(graph).layers[0], in: try Program(graph), at: .float32) == nil)
  }
}

extension ParameterStore {
  /// All parameters as float64, by name.
  var doubles: [String: [Double]] {
    Dictionary(
      names.map { name in (name, self[name]?.tensor().values.map { Double($0) } ?? []) }, uniquingKeysWith: { $1 })
  }
}

/// The code of the error that `body` throws; nil where it throws none.
func code(_ body: () throws -> Void) -> HGNetError.Code? {
  do {
    try body()
    return nil
  } catch { return (error as? HGNetError)?.code }
}
