import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetServing
import HGNetVision

/// A reader of bytes that come from outside.
///
/// It may refuse them with an error of ours; anything else that ends the process is a find.
struct FuzzTarget: Sendable {
  let name: String
  /// Committed files to begin with, folders or files relative to the package.
  let seeds: [String]
  let read: @Sendable (Blob) throws -> Void

  static let all: [FuzzTarget] = [
    FuzzTarget(name: "pickle", seeds: ["Tests/Fixtures/pickles"]) { _ = try PaddleParameters.contents(of: $0) },
    FuzzTarget(name: "torch", seeds: ["Tests/Fixtures/pickles"]) { try use(TorchCheckpoint.read($0)) },
    FuzzTarget(name: "safetensors", seeds: []) { try use(Safetensors.read($0).parameters) },
    FuzzTarget(name: "numpy", seeds: ["Tests/Fixtures/pickles"]) { _ = try NumpyArray.read($0) },
    FuzzTarget(name: "onnx", seeds: ["Tests/Fixtures/export"]) { try use(OnnxModel(BlobSlice($0)).graph) },
    FuzzTarget(name: "program", seeds: ["Tests/Fixtures/export/small.json", "Tests/Fixtures/export/small.pdmodel"]) {
      try use(PaddleInferenceModel(program: BlobSlice($0), parameters: BlobSlice(parameters)).graph)
    },
    FuzzTarget(name: "pdiparams", seeds: ["Tests/Fixtures/export/small.pdiparams"]) {
      try use(PaddleInferenceModel(program: BlobSlice(program), parameters: BlobSlice($0)).graph)
    },
    FuzzTarget(name: "tar", seeds: []) { try use(PaddleInferenceModel(archive: $0).graph) },
    FuzzTarget(name: "weights", seeds: ["Tests/Fixtures/pickles", "Tests/Fixtures/export"]) {
      try use(WeightsFile(decoding: $0).parameters)
    },
    FuzzTarget(name: "yaml", seeds: ["Configs", "Tests/Fixtures/tool"]) {
      let value = try ConfigurationValue(yaml: text($0))
      _ = try ConfigurationValue(yaml: value.yaml)
    },
    FuzzTarget(name: "json", seeds: ["Tests/Fixtures/export/small.json"]) { blob in
      _ = try blob.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }
    },
    FuzzTarget(name: "python", seeds: []) { _ = PythonLiteral.parse(text($0), allowingArithmetic: true) },
    FuzzTarget(name: "labels", seeds: []) { _ = try Labels(contentsOf: file(of: $0)) },
    FuzzTarget(name: "lists", seeds: []) {
      let list = try file(of: $0)
      _ = try? Dataset(multiLabelListFile: list, folder: "/nonexistent", classCount: 5)
      _ = try Dataset(listFile: list, folder: "/nonexistent", checksPictures: false)
    },
    FuzzTarget(name: "pictures", seeds: ["Tests/Fixtures/vision/pictures"]) { blob in
      for style in DecodingStyle.allCases {
        let image = try Image(decoding: blob, style: style, pixelLimit: 1 << 20)
        _ = try Transform.tensor(from: image, applying: Recipe.evaluation(shortSide: 40, crop: 32).transforms)
      }
    },
    FuzzTarget(name: "http", seeds: []) { try ProtocolReading.http($0, bodyLimit: 1 << 22) },
    FuzzTarget(name: "multipart", seeds: []) { try ProtocolReading.form($0, contentType: "multipart/form-data; boundary=b") },
    FuzzTarget(name: "inference", seeds: []) { blob in
      for length in [nil, min(blob.count, 192)] {
        let request = try OpenInferenceRequest(body: blob, headerLength: length)
        _ = try request.pictures(limit: 16, pixelLimit: 1 << 20)
      }
    },
    FuzzTarget(name: "paddle-serving", seeds: []) { try ProtocolReading.paddleServing($0) },
    FuzzTarget(name: "base64", seeds: []) { try ProtocolReading.base64(text($0)) },
    FuzzTarget(name: "inflate", seeds: []) { blob in
      // A stream of one kind is none of the other.
      if (try? Packing.gzip.unpack(blob, limit: 1 << 22)) == nil { _ = try Packing.zlib.unpack(blob, limit: 1 << 22) }
    },
    FuzzTarget(name: "brpc", seeds: []) { try ProtocolReading.brpc($0, bodyLimit: 1 << 20) },
    FuzzTarget(name: "grpc", seeds: []) { try ProtocolReading.messages($0) },
  ]

  private static let program = (try? Blob(mapping: "Tests/Fixtures/export/small.json")) ?? Blob([])
  private static let parameters = (try? Blob(mapping: "Tests/Fixtures/export/small.pdiparams")) ?? Blob([])

  private static func text(_ blob: Blob) -> String { blob.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

  /// Reads every parameter.
  private static func use(_ store: ParameterStore) throws {
    for name in store.names { _ = try store[name]?.allocatedTensor() }
  }

  /// Asks a graph what a plan would.
  private static func use(_ graph: Graph) throws {
    _ = graph.multiplyAdds
    _ = try graph.resized(to: Size(height: 64, width: 96))
  }

  /// The path of a file with the bytes, the same every time.
  private static func file(of blob: Blob) throws -> String {
    let path = FuzzRun.scratchFile
    try FuzzRun.save(blob, to: path)
    return path
  }
}
