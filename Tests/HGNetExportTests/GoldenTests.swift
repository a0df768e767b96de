import Foundation
import HGNet
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetVision
import TemporaryFolders
import Testing

/// The files of a small network, which the systems that they are for have read; see the note beside them.
@Suite("Exported files letter by letter")
struct GoldenTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/export").path

  let folder = TemporaryFolder()

  private func compare(_ names: [String]) throws {
    for name in names {
      let golden = "\(GoldenTests.fixtures)/\(name)"
      if ProcessInfo.processInfo.environment["HGNET_RECORD_EXPORT"] != nil {
        try Data(FileManager.default.bytes(folder.file(name))).write(to: URL(fileURLWithPath: golden))
      }
      let found = FileManager.default.bytes(folder.file(name))
      #expect(!found.isEmpty)
      // Both texts of bytes in a message would fill screens.
      let isSame = found == FileManager.default.bytes(golden)
      #expect(isSame, "\(name)")
    }
  }

  @Test("Paddle programs", arguments: PaddleExport.Encoding.allCases)
  func paddle(encoding: PaddleExport.Encoding) throws {
    try PaddleExport.write(SmallNetwork.make(), as: encoding, to: folder.file("small"))
    try compare(PaddleExport.suffixes(of: encoding).map { "small\($0)" })
  }

  @Test("What Paddle Serving reads about a program, as its own converter writes it")
  func paddleServing() throws {
    let files = try PaddleServingFolders.write(SmallNetwork.make(), into: folder.file("model"))
    #expect(files.count == 4)
    // paddle_serving_client.convert 0.9.0 on an export of hgnet; names and extents are those of this network.
    let expected = """
      feed_var {
        name: "x"
        alias_name: "x"
        is_lod_tensor: false
        feed_type: 1
        shape: 3
        shape: 8
        shape: 10
      }
      fetch_var {
        name: "softmax_0.tmp_0"
        alias_name: "softmax_0.tmp_0"
        is_lod_tensor: false
        fetch_type: 1
        shape: 5
      }

      """
    // Its other form: protobuf 3.20.3's SerializeToString of that text as a GeneralModelConfig.
    let message =
      "0a100a01781201781800200128032808280a12280a0f736f66746d61785f302e746d705f30120f736f66746d61785f302e746d705f30"
      + "180020012805"
    for file in files {
      let found = FileManager.default.bytes(file)
      if file.hasSuffix(".stream.prototxt") {
        #expect(found.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() == message)
      } else {
        #expect(String(decoding: found, as: UTF8.self) == expected)
      }
    }
  }

  @Test("ONNX, folded and not")
  func onnx() throws {
    try OnnxExport.write(SmallNetwork.make(), to: folder.file("small.onnx"))
    try OnnxExport.write(
      SmallNetwork.make(.none), options: OnnxExport.Options(operatorSet: 11, foldsNormalization: false),
      to: folder.file("small-plain.onnx"))
    try compare(["small.onnx", "small-plain.onnx"])
  }

  @Test("ONNX with preprocessing")
  func preprocessing() throws {
    let transforms: [Transform] = [
      .resizeShort(12, interpolation: .bicubic, backend: .pillow), .centerCrop(Size(height: 8, width: 10)),
      .normalize(scale: 1.0 / 255, mean: [0.5, 0.25, 0.5], standardDeviation: [0.25, 0.5, 0.25]),
    ]
    let options = OnnxExport.Options(preprocessing: transforms, metadata: [("model", "small"), ("labels", "[\"é\"]")])
    #expect(options.operatorSet == 17)
    try OnnxExport.write(SmallNetwork.make(), options: options, to: folder.file("small-preprocessing.onnx"))
    let likeOpenCV: [Transform] = [
      .resizeShort(9), .centerCrop(Size(height: 8, width: 9)), .resize(Size(height: 8, width: 10)),
    ]
    try OnnxExport.write(
      SmallNetwork.make(), options: OnnxExport.Options(operatorSet: 11, preprocessing: likeOpenCV),
      to: folder.file("small-preprocessing-cv2.onnx"))
    try compare(["small-preprocessing.onnx", "small-preprocessing-cv2.onnx"])
    let model = try OnnxModel(contentsOf: folder.file("small-preprocessing.onnx"))
    #expect(model.metadata == ["model": "small", "labels": "[\"é\"]"])
    #expect(model.inputName == "x" && model.graph.inputSize == Size(height: 8, width: 10))
  }

  @Test(
    "What is read back is the same network",
    arguments: [
      "small.pdmodel", "small.json", "small.onnx", "small-plain.onnx", "small-preprocessing.onnx",
      "small-preprocessing-cv2.onnx",
    ])
  func readBack(name: String) throws {
    let file = try WeightsFile(contentsOf: "\(GoldenTests.fixtures)/\(name)")
    let network = try SmallNetwork.make()
    let isPlain = name.contains("plain")
    #expect(file.activation == (isPlain ? Activation.none : .softmax))
    #expect(file.graph.classCount == 5)
    let input = Tensor(shape: [2, 8, 10, 3], values: (0..<480).map { Float($0 % 37) / 16 - 1 })
    func logits(_ graph: Graph, _ parameters: ParameterStore) throws -> [Float] {
      var session = try InferenceModel(graph: graph, parameters: parameters, device: .cpu(threads: 1))
        .session(batch: 2, inputSize: Size(height: 8, width: 10))
      return try session.run(input)[0].values
    }
    let expected = try logits(network.graph, network.parameters)
    let found = try logits(file.graph, file.parameters)
    // Folding rounds each weight once more.
    let bound: Float = name.hasPrefix("small.p") || name.hasSuffix("json") || isPlain ? 0 : 1e-5
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= bound }, "\(found) \(expected)")
  }
}
