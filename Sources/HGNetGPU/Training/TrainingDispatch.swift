import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// One dispatch of a training step: a shader with what it is bound to.
struct TrainingDispatch: Sendable {
  /// What a shader is bound to.
  enum Place: Hashable, Sendable {
    /// A buffer of the arena from its start.
    case buffer(Int, byteCount: Int)
    /// Bytes of the parameters, and of their gradients.
    case values(Range<Int>)
    case gradients(Range<Int>)
    /// Pictures of the host, and the gradient of the logits.
    case upload(Int, byteCount: Int)
    /// The logits for the host.
    case download(byteCount: Int)
    /// Zeros, which stand for a bias.
    case zeros

    /// Its length; 0 where that does not matter.
    var byteCount: Int {
      switch self {
      case .buffer(_, let byteCount), .upload(_, let byteCount), .download(let byteCount): byteCount
      case .values(let range), .gradients(let range): range.count
      case .zeros: 0
      }
    }
  }

  var pipeline: PipelineKey
  /// In the order of the bindings.
  var places: [Place]
  var numbers: hgv_step
  var groups: (UInt32, UInt32, UInt32)
}

/// Where the parameters lie in a block, each at a place that can be bound.
struct ParameterLayout: Sendable {
  /// The bytes of each parameter.
  private(set) var ranges: [Range<Int>] = []
  private(set) var byteCount = 0
  private var indices: [String: Int] = [:]

  /// Places parameters one after the other.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for one that is larger than the device binds at once.
  init(_ declarations: [ParameterDeclaration], on device: GPUDescription) throws(HGNetError) {
    for (index, declaration) in declarations.enumerated() {
      let (bytes, overflow) = declaration.shape.checkedCount.multipliedReportingOverflow(by: 4)
      guard !overflow, bytes <= device.largestRange else {
        throw HGNetError(
          .limitExceeded,
          "the parameter takes \(MemoryNeed.text(overflow ? .max : bytes)), and \(device.name) binds at most "
            + "\(MemoryNeed.text(device.largestRange)) at once", key: declaration.name)
      }
      indices[declaration.name] = index
      ranges.append(byteCount..<byteCount + max(bytes, 4))
      byteCount = (byteCount + max(bytes, 4)).roundedUp(to: device.rangeAlignment)
    }
  }

  /// The place of a parameter in the declarations.
  func index(of name: String) -> Int? { indices[name] }

  /// The bytes of a parameter.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a name that there is not.
  func range(_ name: String, layer: String) throws(HGNetError) -> Range<Int> {
    guard let index = indices[name] else {
      throw HGNetError(.parameterMismatch, "the network does not declare this parameter", key: name, layer: layer)
    }
    return ranges[index]
  }

  /// The bytes from the first to the last of some parameters.
  ///
  /// - Throws: as `range(_:layer:)`.
  func span(_ names: [String], layer: String) throws(HGNetError) -> Range<Int> {
    var span: Range<Int>?
    for name in names {
      let own = try range(name, layer: layer)
      span = span.map { min($0.lowerBound, own.lowerBound)..<max($0.upperBound, own.upperBound) } ?? own
    }
    return span ?? 0..<4
  }
}

extension hgv_step {
  /// What shaders are told about a result that is read and one that is written, in values of some channels.
  init(_ input: Location, _ output: Location, batch: Int, values: Int = 1) {
    func count(_ channels: Int) -> UInt32 { UInt32(channels.divided(by: values)) }
    self.init()
    (x_offset, x_stride) = (count(input.offset), count(input.stride))
    (height, width) = (UInt32(input.shape.height), UInt32(input.shape.width))
    channels = count(input.shape.channels)
    (y_offset, y_stride) = (count(output.offset), count(output.stride))
    (out_height, out_width) = (UInt32(output.shape.height), UInt32(output.shape.width))
    columns = count(output.shape.channels)
    rows = UInt32(batch * output.pixels)
    (kernel_height, kernel_width) = (1, 1)
    (stride_height, stride_width) = (1, 1)
  }

  /// Names what is read beside the first.
  mutating func setOther(_ location: Location, values: Int = 1) {
    (r_offset, r_stride) = (UInt32(location.offset / values), UInt32(location.stride / values))
  }
}
