import HGNetCore
import HGNetFormats

/// A request of the Open Inference Protocol, version 2, whatever it came by.
package struct OpenInferenceRequest: Sendable {
  /// A tensor that the client sends.
  package struct Input: Sendable {
    package var name: String
    package var datatype: String
    package var shape: [Int]
    package var contents: Contents
    /// What the client calls it, in refusals, where that is not the name.
    package var title: String?

    package init(name: String, datatype: String, shape: [Int], contents: Contents) {
      self.name = name
      self.datatype = datatype
      self.shape = shape
      self.contents = contents
    }
  }

  /// The values of a tensor.
  package enum Contents: Sendable {
    /// As the binary extension lays them out: little-endian, each element of `BYTES` after its length in four bytes.
    case raw(BlobSlice)
    /// Numbers of any type.
    case numbers([Double])
    /// 32-bit floating point.
    case floats([Float])
    /// Elements of `BYTES`.
    case elements([BlobSlice])
    /// Elements of `BYTES` as JSON holds them: in base64, since pictures are no text.
    case base64([String])
  }

  /// A tensor that the client asks for.
  package struct Output: Sendable {
    package var name: String
    /// Classes of the classification extension; 0 for the tensor itself.
    package var classCount = 0
    /// Whether the values come after the JSON; nil for what the request says for all.
    package var isBinary: Bool?

    package init(name: String, classCount: Int = 0, isBinary: Bool? = nil) {
      self.name = name
      self.classCount = classCount
      self.isBinary = isBinary
    }
  }

  package var id = ""
  /// What the client says beside the tensors, in its order.
  package var parameters: [JSON.Member] = []
  package var inputs: [Input] = []
  /// Empty for all outputs.
  package var outputs: [Output] = []

  package init() {}

  /// Whether outputs that say nothing about it come in binary.
  package var wantsBinary: Bool { parameters.first { $0.key == "binary_data_output" }?.value == .bool(true) }

  /// The time that the client allows, in microseconds, as Triton counts it; nil for none.
  package var timeout: Duration? {
    guard let value = parameters.first(where: { $0.key == "timeout" })?.value else { return nil }
    let microseconds: Int? =
      switch value {
      case .integer(let value): value
      case .string(let text): Int(text)
      default: nil
      }
    guard let microseconds, microseconds > 0 else { return nil }
    return .microseconds(microseconds)
  }

  /// What goes back with the response: all but what is meant for the server.
  package var echoedParameters: [JSON.Member] {
    let own: Set = [
      "binary_data_output", "timeout", "priority", "sequence_id", "sequence_start", "sequence_end",
    ]
    return parameters.filter { !own.contains($0.key) }
  }
}

/// A response of the Open Inference Protocol, version 2.
package struct OpenInferenceResponse: Sendable {
  /// A tensor that goes back.
  package struct Output: Sendable {
    package var name: String
    package var datatype: String
    package var shape: [Int]
    package var contents: Contents
    package var isBinary: Bool
  }

  /// The values of a tensor.
  package enum Contents: Sendable {
    case floats([Float])
    case integers([Int64])
    case texts([String])
  }

  package var modelName: String
  package var modelVersion: String
  package var id: String
  package var parameters: [JSON.Member]
  package var outputs: [Output]
}

extension OpenInferenceResponse.Contents {
  /// The values as the binary extension lays them out.
  package var raw: [UInt8] {
    var bytes: [UInt8] = []
    switch self {
    case .floats(let values):
      bytes.reserveCapacity(values.count * 4)
      for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
    case .integers(let values):
      bytes.reserveCapacity(values.count * 8)
      for value in values { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    case .texts(let texts):
      for text in texts {
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: text.utf8.count).littleEndian) { bytes += $0 }
        bytes += text.utf8
      }
    }
    return bytes
  }

  /// The values as JSON.
  package var json: JSONText {
    switch self {
    case .floats(let values): .list(values.map { .number(Double("\($0)") ?? Double($0)) })
    case .integers(let values): .list(values.map { .integer(Int($0)) })
    case .texts(let texts): .list(texts.map { .text($0) })
    }
  }
}
