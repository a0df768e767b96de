import HGNetConfiguration
import HGNetCore
import HGNetModels
import Testing

@Suite("The section of the ML-Decoder") struct MLDecoderTests {
  private static let arch = "Arch: {name: PPHGNetV2_B0, class_num: 80, use_ml_decoder: True"

  // PaddleClas' own configurations have the first form, with in_channels.
  @Test(
    "Beside Arch, inside it, both alike, none",
    arguments: [
      ("\(arch)}\nMLDecoder: {query_num: 80, in_channels: 2048}\n", MLDecoder()),
      ("\(arch)}\nMLDecoder: {query_num: 40, embed_dim: 64}\n", MLDecoder(queryCount: 40, features: 64)),
      ("\(arch), MLDecoder: {num_heads: 4}}\n", MLDecoder(heads: 4)),
      ("\(arch), MLDecoder: {num_heads: 4}}\nMLDecoder: {num_heads: 4}\n", MLDecoder(heads: 4)),
      ("\(arch)}\n", MLDecoder()), ("\(arch)}\nMLDecoder:\n", MLDecoder()),
    ])
  func places(yaml: String, expected: MLDecoder) throws {
    let configuration = try ConfigurationTests.configuration(yaml)
    #expect(try configuration.model()?.options.decoder == expected)
    #expect(configuration.notice == nil)
  }

  @Test("Two sections that differ, and values of another decoder, are errors")
  func mistakes() throws {
    let cases: [(String, HGNetError.Code, String)] = [
      (
        "\(Self.arch), MLDecoder: {num_heads: 4}}\nMLDecoder: {num_heads: 8}\n", .invalidConfiguration, "Arch.MLDecoder"
      ),
      ("\(Self.arch)}\nMLDecoder: {depth: 2}\n", .unsupported, "MLDecoder.depth"),
      ("\(Self.arch)}\nMLDecoder: {in_channels: 1024}\n", .unsupported, "MLDecoder.in_channels"),
      ("\(Self.arch)}\nMLDecoder: {query_num: 0}\n", .invalidConfiguration, "MLDecoder.query_num"),
    ]
    for (yaml, code, key) in cases {
      let error = #expect(throws: HGNetError.self) { try ConfigurationTests.configuration(yaml).model() }
      #expect(error?.code == code && error?.context.key == key, "\(error?.description ?? "")")
    }
  }

  @Test("A section that no network asks for is named")
  func unused() throws {
    let configuration = try ConfigurationTests.configuration(
      "Arch: {name: PPHGNetV2_B0, MLDecoder: {num_heads: 4}}\nMLDecoder: {num_heads: 8}\n")
    #expect(try configuration.model()?.options.decoder == nil)
    #expect(configuration.notice == "these keys have no effect here: Arch.MLDecoder, MLDecoder")
  }
}
