import HGNetCore
import HGNetModels
import Testing

@Suite("Parts of networks") struct NetworkPartTests {
  @Test(
    "Every parameter has its part, and the names of the head are those of its family",
    arguments: PPHGNetV2.family.models + PPHGNet.family.models)
  func parts(_ model: Model) throws {
    for options in [ModelOptions(), ModelOptions(useLastConvolution: false), ModelOptions(decoder: MLDecoder())] {
      let graph = try model.graph(options: options)
      #expect(graph.stages.map(\.role) == (0..<4).map { .stage($0) })
      for parameter in graph.parameters {
        let first = parameter.name.split(separator: ".")
        let expected: NetworkPart =
          switch first[0] {
          case "stem": .stem
          case "stages": .stage(Int(first[1]) ?? -1)
          case "last_conv", "lab": .embedding
          default: .classifier
          }
        #expect(parameter.part == expected, "\(parameter.name)")
        #expect(model.family.headPart(ofParameter: parameter.name) == (expected.isHead ? expected : nil))
      }
    }
  }

  @Test("At most one network is built to recognise any of the families", arguments: Model.all)
  func candidates(_ model: Model) throws {
    let found = FoundParameters(try model.graph().parameters.map { ($0.name, $0.shape) })
    #expect(Model.all.filter { $0.fitsLandmarks(of: found) } == [model])
  }
}
