import HGNetCore
import HGNetFormats
import Testing

@Suite("Hand-made Paddle programs")
struct PaddleProgramTests {
  /// Input 1 of `[N, 3, height, width]`, weight 2 of `[4, 3, side, side]`, and whatever is between them and the head.
  private func convolution(
    side: Int = 3, extents: [Int] = [-1, 3, 9, 8], _ attributes: [(String, String)]
  ) -> ProgramText {
    var program = ProgramText()
    program.parameter(2, "w.w_0", [4, 3, side, side])
    program.data(1, extents)
    program.append("conv2d", [1, 2], [3], attributes: attributes)
    program.head(3)
    return program
  }

  private func layer(_ program: ProgramText) throws -> Convolution? {
    for node in try program.model().graph.nodes {
      if case .convolution(let layer) = node.operation { return layer }
    }
    return nil
  }

  @Test("paddings: two, four, SAME for the size at hand, VALID")
  func paddings() throws {
    #expect(
      try layer(convolution([("paddings", "[1,2]")]))?.padding == Padding(top: 1, left: 2, bottom: 1, right: 2))
    #expect(
      try layer(convolution([("paddings", "[1,2,3,4]")]))?.padding == Padding(top: 1, left: 3, bottom: 2, right: 4))
    let same = ("padding_algorithm", "\"SAME\"")
    #expect(try layer(convolution(side: 2, [same]))?.padding == .sameForTwoByTwo)
    #expect(
      try layer(convolution([same, ("strides", "[2,2]")]))?.padding == Padding(top: 1, left: 0, bottom: 1, right: 1))
    #expect(
      try layer(convolution([("padding_algorithm", "\"VALID\""), ("paddings", "[1,1]")]))?.padding == Padding(0))
  }

  @Test(
    "windows that are not part of the family",
    arguments: [
      ("strides", "[0,1]", HGNetError.Code.unsupported), ("strides", "[1152921504606846976,1]", .unsupported),
      ("strides", "[1]", .malformedData), ("strides", "1", .malformedData), ("strides", "[true]", .malformedData),
      ("paddings", "[-1,0]", .unsupported), ("paddings", "[1152921504606846976,0]", .unsupported),
      ("paddings", "[1]", .malformedData), ("paddings", "[]", .malformedData), ("dilations", "[2,2]", .unsupported),
      ("groups", "0", .shapeMismatch), ("groups", "-1", .shapeMismatch), ("groups", "2", .shapeMismatch),
      ("groups", "1.5", .malformedData), ("data_format", "\"NHWC\"", .unsupported),
      ("padding_algorithm", "\"OTHER\"", .unsupported), ("padding_algorithm", "1", .malformedData),
    ])
  func window(name: String, value: String, code: HGNetError.Code) {
    let program = convolution([(name, value)])
    let error = hgnetError { _ = try program.model() }
    #expect(error?.code == code)
    #expect(error?.context.layer == "conv2d (operator 2)")
  }

  @Test("a window larger than the input")
  func smallInput() {
    let program = convolution(extents: [-1, 3, 2, 2], [])
    #expect(hgnetError { _ = try program.model() }?.code == .shapeMismatch)
  }

  @Test("the input's extents")
  func inputExtents() throws {
    #expect(try convolution(extents: [-1, 3, -1, -1], []).model().inputSize == Size(224))
    #expect(try convolution(extents: [1, 3, 40, -1], []).model().inputSize == Size(height: 40, width: 224))
    let model = try convolution([]).model()
    #expect(model.inputName == "pictures")
    #expect(model.outputName == "scores")
    for extents in [[-1, 3, 1 << 60, 8], [-1, 3, -5, 8], [-1, 3, 0, 8], [-1, -1, 8, 8], [-1, 1 << 60, 8, 8]] {
      let program = convolution(extents: extents, [])
      #expect(hgnetError { _ = try program.model() }?.code == .limitExceeded, "\(extents)")
    }
    for extents in [[-1, 3, 8], [3], [1, 1, 3, 8, 8]] {
      let program = convolution(extents: extents, [])
      #expect(hgnetError { _ = try program.model() }?.code == .unsupported, "\(extents)")
    }
    let program = convolution([])
    #expect(hgnetError { _ = try program.model(inputSize: Size(1 << 60)) }?.code == .limitExceeded)
    #expect(hgnetError { _ = try program.model(inputSize: Size(-1)) }?.code == .limitExceeded)
  }

  @Test(
    "declared extents that the file does not have", arguments: [[1 << 60, 3, 3, 3], [-4, 3, 3, 3], [4, 3, 3], []])
  func declaredExtents(extents: [Int]) {
    var program = ProgramText()
    program.parameter(2, "w.w_0", [4, 3, 3, 3], declared: extents)
    program.data(1, [-1, 3, 8, 8])
    program.append("conv2d", [1, 2], [3])
    program.head(3)
    let error = hgnetError { _ = try program.model() }
    #expect(error?.code == .parameterMismatch)
    #expect(error?.message.contains("w.w_0: expected \(extents), found [4, 3, 3, 3]") == true)
  }

  @Test("values that nothing makes, that come later, or that are made twice")
  func values() {
    func program(_ body: (inout ProgramText) -> Void) -> ProgramText {
      var program = ProgramText()
      program.data(1, [-1, 3, 8, 8])
      body(&program)
      return program
    }
    let undefined = program { $0.head(77) }
    #expect(hgnetError { _ = try undefined.model() }?.code == .malformedData)
    let cycle = program {
      $0.append("relu", [4], [3])
      $0.append("relu", [3], [4])
      $0.head(4)
    }
    #expect(hgnetError { _ = try cycle.model() }?.message.contains("no earlier operator") == true)
    let own = program {
      $0.append("add", [1, 3], [3])
      $0.head(3)
    }
    #expect(hgnetError { _ = try own.model() }?.code == .malformedData)
    let twice = program {
      $0.append("relu", [1], [3])
      $0.append("relu", [1], [3])
      $0.head(3)
    }
    #expect(hgnetError { _ = try twice.model() }?.code == .malformedData)
    let withoutOutput = program { $0.append("relu", [1], [3]) }
    #expect(hgnetError { _ = try withoutOutput.model() }?.message.contains("fetch") == true)
    var withoutInput = ProgramText()
    withoutInput.parameter(1, "a", [1])
    #expect(hgnetError { _ = try withoutInput.model() }?.message.contains("feed") == true)
    let inputs = program {
      $0.data(2, [-1, 3, 8, 8])
      $0.head(1)
    }
    #expect(hgnetError { _ = try inputs.model() }?.code == .unsupported)
    let outputs = program {
      $0.head(1)
      $0.fetch(802, col: 1)
    }
    #expect(hgnetError { _ = try outputs.model() }?.code == .unsupported)
    let map = program { $0.fetch(1) }
    #expect(hgnetError { _ = try map.model() }?.code == .unsupported)
  }

  @Test("parameters that are unused or declared twice are listed")
  func parameters() {
    var unused = ProgramText()
    unused.parameter(5, "spare.w_0", [2])
    unused.data(1, [-1, 3, 8, 8])
    unused.head(1)
    let error = hgnetError { _ = try unused.model() }
    #expect(error?.code == .parameterMismatch)
    #expect(error?.message.contains("spare.w_0") == true)
    unused.parameter(6, "spare.w_0", [2])
    #expect(hgnetError { _ = try unused.model() }?.code == .malformedData)
  }

  @Test("an operator of other networks is named", arguments: ["conv3d", "gelu", "while", "group_norm", "transpose"])
  func unknownOperator(kind: String) {
    var program = ProgramText()
    program.data(1, [-1, 3, 8, 8])
    program.append(kind, [1], [3])
    program.head(3)
    let error = hgnetError { _ = try program.model() }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains(kind) == true)
  }

  // Two queries of four channels, a product for each; what comes after it is what is asked.
  @Test(
    "a decoder's last layer takes one bias, and no border",
    arguments: [(0, 0, false), (1, 0, true), (2, 0, false), (1, 1, false)])
  func groupedProducts(biases: Int, border: Int, isRead: Bool) {
    var program = ProgramText()
    program.parameter(1, "queries", [2, 4])
    program.parameter(2, "weight", [2, 4, 1, 1])
    for number in 0..<biases { program.parameter(3 + number, "bias\(number)", [2]) }
    program.data(10, [-1, 3, 8, 8])
    program.list(11, [0])
    program.list(12, [-1])
    program.append("unsqueeze", [1, 11], [20])
    program.append("flatten", [20], [21], attributes: [("start_axis", "1"), ("stop_axis", "2")])
    program.append("unsqueeze", [21, 12], [22])
    program.append("unsqueeze", [22, 12], [23])
    program.append(
      "conv2d", [23, 2], [24], attributes: [("groups", "2"), ("paddings", "[\(border),\(border)]")])
    for number in 0..<biases {
      program.list(30 + number, [1, -1, 1, 1])
      program.append("reshape", [3 + number, 30 + number], [40 + number])
      program.append("add", [24 + number, 40 + number], [25 + number])
    }
    program.append("flatten", [24 + biases], [50], attributes: [("start_axis", "1"), ("stop_axis", "3")])
    program.fetch(50)
    var error: HGNetError?
    do { _ = try program.model() } catch let caught as HGNetError { error = caught } catch {}
    #expect(error?.code == (isRead ? nil : .unsupported), "\(String(describing: error))")
  }

  @Test("results that grow without end are refused")
  func growth() {
    var program = ProgramText()
    program.data(1, [-1, 3, 8, 8])
    program.number(2, "1.0")
    for step in 0..<60 {
      program.append("combine", [step == 0 ? 1 : 100 + step - 1, step == 0 ? 1 : 100 + step - 1], [200 + step])
      program.append("concat", [200 + step, 2], [100 + step])
    }
    program.head(159)
    #expect(hgnetError { _ = try program.model() }?.code == .limitExceeded)
  }

  @Test("arrays without elements cannot hide their extents")
  func emptyArrays() {
    var program = ProgramText()
    program.parameter(2, "empty.w_0", [0, 3, 1, 1])
    program.parameter(4, "huge.w_0", [1 << 46, 0, 1, 1])
    program.data(1, [-1, 3, 8, 8])
    program.append("conv2d", [1, 2], [3])
    program.append("conv2d", [3, 4], [5])
    program.head(5)
    let finished = program
    #expect(hgnetError { _ = try finished.model() }?.code == .limitExceeded)
  }

  @Test("operators in forms that are not part of the family")
  func forms() throws {
    func code(_ body: (inout ProgramText) -> Void) -> HGNetError.Code? {
      var program = ProgramText()
      program.parameter(2, "scale.w_0", [1])
      program.data(1, [-1, 3, 8, 8])
      body(&program)
      program.head(9)
      let finished = program
      do {
        _ = try finished.model()
        return nil
      } catch { return (error as? HGNetError)?.code }
    }
    // A factor without a summand, and a summand without a factor.
    #expect(
      code {
        $0.append("multiply", [2, 1], [3])
        $0.append("relu", [3], [9])
      } == .unsupported)
    #expect(code { $0.append("add", [1, 2], [9]) } == .unsupported)
    #expect(
      code {
        $0.number(3, "2.0")
        $0.append("concat", [1, 3], [9])
      } == .unsupported)
    #expect(code { $0.append("concat", [1, 1], [9]) } == .unsupported)
    #expect(code { $0.append("flatten", [1], [9], attributes: [("start_axis", "1")]) } == .shapeMismatch)
    #expect(code { $0.append("softmax", [1], [9], attributes: [("axis", "-1")]) } == .unsupported)
    #expect(
      code {
        $0.list(3, [2, 2])
        $0.append("pool2d", [1, 3], [9], attributes: [("pooling_type", "\"avg\"")])
      } == .unsupported)
    #expect(
      code {
        $0.list(3, [2, 2])
        $0.append("pool2d", [1, 3], [9], attributes: [("paddings", "[2,2]")])
      } == .unsupported)
    #expect(
      code {
        $0.number(3, "2.0")
        $0.append("scale", [1, 3], [9], attributes: [("bias", "0.0")])
      } == .unsupported)
    #expect(
      code {
        $0.number(3, "1.5")
        $0.append("dropout", [1, 1, 3], [9], attributes: [("mode", "\"downgrade_in_infer\"")])
      } == .malformedData)
    #expect(code { $0.append("matmul", [1, 2], [9]) } == .unsupported)
    #expect(code { $0.append("conv2d", [1], [9]) } == .malformedData)
    #expect(code { $0.append("conv2d", [1, 2], [9]) } == .shapeMismatch)
    #expect(code { $0.append("conv2d", [2, 1], [9]) } == .unsupported)
    #expect(code { $0.append("batch_norm_", [1, 2, 2, 2, 2], [9]) } == .shapeMismatch)
  }

  @Test("a scale by one, a dropout that only acts in training, and a pool that rounds up")
  func neutral() throws {
    var program = ProgramText()
    program.data(1, [-1, 3, 8, 9])
    program.number(2, "1.0")
    program.append("scale", [1, 2], [3], attributes: [("bias", "0.0"), ("bias_after_scale", "true")])
    program.number(4, "0.5")
    program.append("dropout", [3, 0, 4], [5, 6], attributes: [("mode", "\"upscale_in_train\"")])
    program.append("assign", [5], [7])
    program.list(8, [3, 3])
    program.append("pool2d", [7, 8], [9], attributes: [("strides", "[2,2]"), ("ceil_mode", "true")])
    program.head(9)
    let graph = try program.model().graph
    let pool = Operator.maxPool(
      kernel: Size(3), stride: Size(2), padding: Padding(top: 0, left: 0, bottom: 1, right: 0))
    #expect(graph.nodes.map(\.operation) == [.input(channels: 3), pool, .globalAveragePool, .flatten])
    #expect(graph.nodes[1].shape == ActivationShape(channels: 3, height: 4, width: 4))
  }

  @Test(
    "documents that are no program",
    arguments: [
      "", " ", "{", "{}", "[]", "null", "{\"base_code\":{\"magic\":\"other\"}}", "{\"base_code\":{\"magic\":\"pir\"}}",
      "{\"base_code\":{\"magic\":\"pir\"},\"program\":{\"regions\":[]}}",
      "{\"base_code\":{\"magic\":\"pir\"},\"program\":{\"regions\":[{\"blocks\":[{\"ops\":[1]}]}]}}",
      "{\"base_code\":{\"magic\":\"pir\"},\"program\":{\"regions\":[{\"blocks\":[{\"ops\":[{\"#\":\"p\"}]}]}]}}",
      "{\"base_code\":{\"magic\":\"pir\"},\"program\":{\"regions\":[{\"blocks\":[{\"ops\":[{\"#\":\"1.relu\",\"I\":[{}]}]}]}]}}",
      "not a program", "\u{0}\u{0}\u{0}",
    ])
  func noProgram(text: String) {
    let error = hgnetError {
      _ = try PaddleInferenceModel(program: BlobSlice(Blob(text.utf8)), parameters: BlobSlice(Blob([UInt8]())))
    }
    #expect(error?.code == .malformedData)
  }

  @Test("control flow is refused")
  func controlFlow() {
    let text =
      "{\"base_code\":{\"magic\":\"pir\"},\"program\":{\"regions\":[{\"blocks\":[{\"ops\":[]},{\"ops\":[]}]}]}}"
    for program in [Array(text.utf8), Wire.bytes(1, []) + Wire.bytes(1, [])] {
      let error = hgnetError {
        _ = try PaddleInferenceModel(program: BlobSlice(Blob(program)), parameters: BlobSlice(Blob([UInt8]())))
      }
      #expect(error?.code == .unsupported)
    }
  }
}
