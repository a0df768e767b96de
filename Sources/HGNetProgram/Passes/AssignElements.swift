import HGNetCore

/// The types of values that an engine's implementation of a layer reads and writes, the preferred one first.
package struct LayerElements: Hashable, Sendable {
  /// Of its inputs.
  package var reads: [ElementType]
  /// Of its result; a residual has the first of these.
  package var writes: [ElementType]

  /// Makes the types.
  package init(reads: [ElementType], writes: [ElementType]) {
    self.reads = reads
    self.writes = writes
  }

  /// One type for all.
  package init(_ element: ElementType) { self.init(reads: [element], writes: [element]) }
}

extension Program {
  /// The same program with a type for each result, and a layer that copies a result where one wants it in another type.
  ///
  /// Pictures are float32, and so is an output that no layer reads, where its layer can write that. A concatenation has the
  /// type of most of its channels.
  ///
  /// - Parameters:
  ///   - floatResults: results that are float32 where their layers can write that.
  ///   - roundedResults: results that are not, though no layer reads them.
  ///   - choice: the types of a layer; it is not asked for concatenations.
  /// - Throws: what `choice` throws.
  package func assigningElements(
    floatResults: Set<Int> = [], roundedResults: Set<Int> = [], _ choice: (Layer) throws(HGNetError) -> LayerElements
  ) throws(HGNetError) -> Program {
    var assignment = ElementAssignment(self, floatResults: floatResults, roundedResults: roundedResults)
    for layer in layers {
      if layer.kind == .concatenate {
        assignment.addConcatenation(layer)
      } else {
        assignment.add(layer, try choice(layer))
      }
    }
    return Program(
      graph: graph, isTraining: isTraining, layers: assignment.layers, outputs: outputs, elements: assignment.elements,
      copied: assignment.copied, mixedPrecision: mixedPrecision)
  }
}

/// A program whose results are given types from the first layer to the last.
private struct ElementAssignment {
  /// A result in a type.
  private struct Copy: Hashable {
    var source: Int
    var element: ElementType
  }

  private(set) var layers: [Layer] = []
  private(set) var elements: [ElementType]
  private(set) var copied: [Int] = []
  private let shapes: [ActivationShape]
  /// Results that are float32 where that can be: outputs that no layer reads, and those that are wanted so.
  private let floats: Set<Int>
  private var copies: [Copy: Int] = [:]

  init(_ program: Program, floatResults: Set<Int>, roundedResults: Set<Int>) {
    shapes = program.graph.nodes.map(\.shape)
    elements = [ElementType](repeating: .float32, count: shapes.count)
    var ends = Set(program.outputs.map(\.result))
    for layer in program.layers { ends.subtract(layer.inputs + [layer.residual].compactMap { $0 }) }
    floats = ends.subtracting(roundedResults).union(floatResults)
  }

  mutating func add(_ layer: Layer, _ choice: LayerElements) {
    var layer = layer
    let preferred = choice.writes.first ?? .float32
    layer.inputs = layer.inputs.map { input in
      choice.reads.contains(elements[input]) ? input : copy(of: input, as: choice.reads.first ?? .float32, layer)
    }
    layer.residual = layer.residual.map { elements[$0] == preferred ? $0 : copy(of: $0, as: preferred, layer) }
    let isFloat = floats.contains(layer.result) && choice.writes.contains(.float32)
    elements[layer.result] = isFloat ? .float32 : preferred
    layers.append(layer)
  }

  mutating func addConcatenation(_ layer: Layer) {
    var channels: [ElementType: Int] = [:]
    for input in layer.inputs { channels[elements[input], default: 0] += shapes[input].channels }
    let most = channels.values.max() ?? 0
    let element = layer.inputs.map { elements[$0] }.first { channels[$0] == most } ?? .float32
    var layer = layer
    layer.inputs = layer.inputs.map { elements[$0] == element ? $0 : copy(of: $0, as: element, layer) }
    elements[layer.result] = element
    layers.append(layer)
  }

  /// The number of a result in another type, computed by a layer of its own before the one that wants it first.
  private mutating func copy(of source: Int, as element: ElementType, _ layer: Layer) -> Int {
    if let number = copies[Copy(source: source, element: element)] { return number }
    let number = elements.count
    layers.append(
      Layer(name: "\(layer.name): input as \(element.rawValue)", kind: .copy, inputs: [source], result: number))
    elements.append(element)
    // A copy of a copy would be one of its source.
    copied.append(source < shapes.count ? source : copied[source - shapes.count])
    copies[Copy(source: source, element: element)] = number
    return number
  }
}
