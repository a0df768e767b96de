import HGNetCore
import HGNetFormats

/// The messages of `GeneralModelService`, which the C++ server of Paddle Serving answers.
///
/// They are read here and not by generated code: a text in them may be the bytes of a picture, which are no UTF-8.
package enum GeneralModel {
  /// The name of the service.
  package static let service = "GeneralModelService"
  /// The name with its package.
  package static let fullService = "baidu.paddle_serving.predictor.general_model.GeneralModelService"
  /// The methods, which do the same here.
  package static let methods: Set = ["inference", "debug"]

  /// The number of a type.
  package enum ElementType {
    static let int64 = 0
    static let float = 1
    static let double = 3
    static let half = 5
    static let byte = 7
    static let text = 20
  }

  /// A tensor that a client sends.
  package struct Tensor: Sendable {
    package var name = ""
    package var alias = ""
    package var elementType = 0
    package var shape: [Int] = []
    package var floats: [Float] = []
    package var doubles: [Double] = []
    /// Texts, which need not be UTF-8.
    package var texts: [BlobSlice] = []
    /// Values as bytes, little-endian.
    package var content: BlobSlice?

    /// An empty one.
    package init() {}
  }

  /// What a client asks.
  package struct Request: Sendable {
    package var tensors: [Tensor] = []
    /// The outputs that are asked for; empty for the usual one.
    package var fetched: [String] = []
    package var wantsProfile = false
    package var logID: UInt64 = 0

    /// An empty one.
    package init() {}
  }

  /// A tensor that goes back.
  package struct Output: Sendable {
    package var name: String
    package var shape: [Int]
    package var contents: OpenInferenceResponse.Contents
  }

  /// What is answered.
  package struct Response: Sendable {
    package var engine: String
    package var outputs: [Output]
    package var logID: UInt64
    /// Microseconds since 1970 at which the work began and ended.
    package var times: (began: Int, ended: Int)
    package var wantsProfile: Bool
  }
}

extension GeneralModel.Request {
  /// Reads a message.
  ///
  /// - Throws: `invalidRequest` for bytes that are none; fields that are not known are skipped.
  package init(_ message: BlobSlice) throws(ServingError) {
    self.init()
    do throws(HGNetError) {
      for field in try ProtobufField.all(in: message, maximumCount: 1 << 12) {
        switch (field.number, field.value) {
        case (1, .bytes(let bytes)): tensors.append(try GeneralModel.Tensor(bytes))
        case (2, .bytes): fetched.append(field.text)
        case (3, .number): wantsProfile = field.integer != 0
        case (4, .number): logID = UInt64(bitPattern: Int64(field.integer))
        default: break
        }
      }
    } catch { throw ServingError(.invalidRequest, "Fail to parse request message: \(error.message)") }
  }
}

extension GeneralModel.Tensor {
  fileprivate init(_ message: BlobSlice) throws(HGNetError) {
    self.init()
    for field in try ProtobufField.all(in: message, maximumCount: 1 << 20) {
      switch (field.number, field.value) {
      case (2, .bytes): floats += try field.floats()
      case (2, .word): floats.append(field.float)
      case (4, .bytes(let bytes)): doubles += try Self.doubles(bytes)
      case (4, .number): doubles.append(Double(bitPattern: UInt64(bitPattern: Int64(field.integer))))
      case (9, .bytes(let bytes)): texts.append(bytes)
      case (10, .number): elementType = Int(Int32(truncatingIfNeeded: field.integer))
      case (11, .bytes), (11, .number):
        shape += try field.integers().map { Int(Int32(truncatingIfNeeded: $0)) }
        guard shape.count <= 16 else {
          throw HGNetError(.limitExceeded, "expected a shape of at most 16 sizes, found \(shape.count)")
        }
      case (13, .bytes): name = field.text
      case (14, .bytes): alias = field.text
      case (15, .bytes(let bytes)): content = bytes
      default: break
      }
    }
  }

  private static func doubles(_ bytes: BlobSlice) throws(HGNetError) -> [Double] {
    guard bytes.count % 8 == 0 else {
      throw HGNetError(.malformedData, "expected packed numbers of eight bytes each, found \(bytes.count) bytes")
    }
    return bytes.withUnsafeBytes { all in
      stride(from: 0, to: all.count, by: 8).map {
        Double(bitPattern: UInt64(littleEndian: all.loadUnaligned(fromByteOffset: $0, as: UInt64.self)))
      }
    }
  }
}

extension GeneralModel.Response {
  /// The message.
  package var bytes: [UInt8] {
    var message = ProtobufEncoder()
    message.message(1) { output in
      for tensor in outputs { output.message(1) { tensor.encode(into: &$0) } }
      output.text(2, engine)
    }
    message.packed(2, [times.began, times.ended])
    if wantsProfile { message.integer(3, 1) }
    if logID != 0 { message.integer(4, Int(Int64(bitPattern: logID))) }
    return message.bytes
  }
}

extension GeneralModel.Output {
  var elementType: Int {
    switch contents {
    case .floats: GeneralModel.ElementType.float
    case .integers: GeneralModel.ElementType.int64
    case .texts: GeneralModel.ElementType.text
    }
  }

  fileprivate func encode(into tensor: inout ProtobufEncoder) {
    switch contents {
    case .floats: tensor.data(2, contents.raw)
    case .integers(let values): tensor.packed(1, values.map { Int($0) })
    case .texts(let texts): for text in texts { tensor.text(9, text) }
    }
    if elementType != 0 { tensor.integer(10, elementType) }
    tensor.packed(11, shape)
    tensor.text(13, name)
    tensor.text(14, name)
  }
}

extension ProtobufEncoder {
  /// Appends whole numbers in one field.
  fileprivate mutating func packed(_ field: Int, _ values: [Int]) {
    var bytes: [UInt8] = []
    for value in values {
      var rest = UInt64(bitPattern: Int64(value))
      while rest >= 0x80 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
      }
      bytes.append(UInt8(rest))
    }
    data(field, bytes)
  }
}
