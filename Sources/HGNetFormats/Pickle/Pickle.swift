import HGNetCore

/// A reader of Python pickles that never runs code.
///
/// Pickle is a language for a small stack machine which may call any function by name. This reader knows the few names
/// that weights files need (NumPy arrays, PyTorch tensors, ordered dictionaries) and builds plain values for them; any
/// other name is an error.
///
/// Source: the opcodes of Python's `pickletools`, protocols 2 … 5 without out-of-band buffers.
package enum Pickle {
  /// The largest number of objects that a pickle may make, and of values that its result may hold.
  package static let maximumValueCount = 1 << 20
  /// The deepest nesting of containers in a result.
  package static let maximumDepth = 64

  /// Reads the pickle at the start of a slice.
  ///
  /// Large byte strings stay slices of the blob; byte strings hidden in Latin-1 text, as protocol 2 writes them, are
  /// decoded into memory of their own, at most as much as the slice holds.
  ///
  /// - Returns: The value, and the number of bytes that the pickle took.
  /// - Throws: `HGNetError.Code.malformedData` for a truncated or damaged pickle, `unsafeContent` for a global that is
  ///   not on the list, `unsupported` for other protocols and objects, `limitExceeded` beyond the limits above.
  package static func read(_ slice: BlobSlice) throws(HGNetError) -> (value: PickleValue, byteCount: Int) {
    try slice.blob.withUnsafeBytes { (all) throws(HGNetError) in
      var machine = PickleMachine(blob: slice.blob, bytes: all, range: slice.range)
      let root = try machine.run()
      return (try machine.value(of: root), machine.position - slice.range.lowerBound)
    }
  }
}

/// What a pickle holds: a tree of plain values.
///
/// Threads: safe to share. Byte strings, arrays and storages may refer to a mapped file, which they keep alive.
package enum PickleValue: Sendable {
  /// Python's `None`.
  case none
  /// A truth value.
  case bool(Bool)
  /// An integer that fits 64 bits.
  case integer(Int)
  /// A floating-point number.
  case double(Double)
  /// A text.
  case text(String)
  /// A byte string.
  case bytes(BlobSlice)
  /// A tuple, or a `torch.Size`.
  case tuple([PickleValue])
  /// A list or a set.
  case list([PickleValue])
  /// A dictionary in the order of the file.
  case dictionary(PickleDictionary)
  /// A NumPy array.
  case array(PickleArray)
  /// A PyTorch tensor, whose elements are outside the pickle.
  case tensor(PickleTensor)
  /// A PyTorch storage, whose elements are outside the pickle.
  case storage(PickleStorage)

  /// What kind of value it is, for messages.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a truth value"
    case .integer: "an integer"
    case .double: "a number"
    case .text: "a text"
    case .bytes: "a byte string"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .array: "an array"
    case .tensor: "a tensor"
    case .storage: "a storage"
    }
  }
}

/// A dictionary whose pairs keep the order of the file.
package struct PickleDictionary: Sendable {
  /// One entry.
  package struct Pair: Sendable {
    /// The key, mostly a text.
    package var key: PickleValue
    /// The value.
    package var value: PickleValue

    /// Makes an entry.
    package init(key: PickleValue, value: PickleValue) {
      self.key = key
      self.value = value
    }
  }

  /// The entries in order; a key that occurs twice counts with its last value.
  package var pairs: [Pair]

  /// Makes a dictionary from entries.
  package init(_ pairs: [Pair] = []) { self.pairs = pairs }

  /// The value of a text key; assigning adds a pair at the end.
  ///
  /// Cost: O(pairs).
  package subscript(name: String) -> PickleValue? {
    get {
      pairs.last {
        if case .text(name) = $0.key { true } else { false }
      }?.value
    }
    set {
      pairs.removeAll {
        if case .text(name) = $0.key { true } else { false }
      }
      if let newValue { pairs.append(Pair(key: .text(name), value: newValue)) }
    }
  }
}

/// A NumPy array as it stands in a pickle.
package struct PickleArray: Sendable {
  /// The extents, outermost axis first, any number of them.
  package var shape: [Int]
  /// NumPy's letter for the kind of element and its size in bytes, as `f4`.
  package var typeCode: String
  /// Whether the elements are stored most significant byte first.
  package var isBigEndian = false
  /// Whether the first axis is the fastest one (Fortran order) rather than the last.
  package var isColumnMajor = false
  /// The encoded elements.
  package var bytes: BlobSlice

  /// Makes a little-endian array in C order.
  package init(shape: [Int], typeCode: String, bytes: BlobSlice) {
    self.shape = shape
    self.typeCode = typeCode
    self.bytes = bytes
  }

  /// Makes an array from a parameter, without a copy; bfloat16 becomes `u2`, as PaddlePaddle stores it.
  package init(_ parameter: Parameter) {
    self.init(
      shape: parameter.shape.dimensions, typeCode: parameter.elementType.numpyTypeCode, bytes: parameter.bytes)
  }
}

/// The elements of one or more PyTorch tensors, by their key in the checkpoint.
package struct PickleStorage: Hashable, Sendable {
  /// The name under which the checkpoint keeps the bytes.
  package var key: String
  /// How the elements are encoded.
  package var elementType: ElementType
  /// The number of elements.
  package var count: Int
  /// The element of the storage named by `key` at which this one begins; 0 but for views in old files.
  package var start = 0
}

/// A PyTorch tensor: a strided view of a storage.
package struct PickleTensor: Hashable, Sendable {
  /// Where the elements are.
  package var storage: PickleStorage
  /// The element of the storage that comes first.
  package var offset: Int
  /// The extents, outermost axis first.
  package var shape: [Int]
  /// The distance in elements between neighbours along each axis.
  package var strides: [Int]
}

extension ElementType {
  /// The element type of a NumPy type code, `u2` being what NumPy says it is: an unsigned integer.
  init?(numpyTypeCode code: String) {
    switch code {
    case "f8": self = .float64
    case "f4": self = .float32
    case "f2": self = .float16
    case "i8": self = .int64
    case "i4": self = .int32
    case "i2": self = .int16
    case "i1": self = .int8
    case "u2": self = .uint16
    case "u1": self = .uint8
    case "b1": self = .bool
    default: return nil
    }
  }

  /// NumPy's type code, which has none for bfloat16 and then names the integer of the same size.
  var numpyTypeCode: String {
    switch self {
    case .float64: "f8"
    case .float32: "f4"
    case .float16: "f2"
    case .bfloat16, .uint16: "u2"
    case .int64: "i8"
    case .int32: "i4"
    case .int16: "i2"
    case .int8: "i1"
    case .uint8: "u1"
    case .bool: "b1"
    }
  }
}
