import CHGNetKernels
import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A filter of Pillow's resize: a weight for each distance, zero beyond the support.
///
/// Source: Pillow, `src/libImaging/Resample.c`.
private enum PillowFilter {
  case box, bilinear, hamming, bicubic, lanczos

  var support: Double {
    switch self {
    case .box: 0.5
    case .bilinear, .hamming: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  func weight(at distance: Double) -> Double {
    var x = abs(distance)
    switch self {
    case .box:
      return distance > -0.5 && distance <= 0.5 ? 1 : 0
    case .bilinear:
      return x < 1 ? 1 - x : 0
    case .hamming:
      if x == 0 { return 1 }
      if x >= 1 { return 0 }
      x *= .pi
      // The constants are single precision there.
      return sin(x) / x * (Double(0.54 as Float) + Double(0.46 as Float) * cos(x))
    case .bicubic:
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    case .lanczos:
      return distance >= -3 && distance < 3 ? PillowFilter.sinc(distance) * PillowFilter.sinc(distance / 3) : 0
    }
  }

  private static func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * .pi) / (x * .pi)
  }
}

/// For each output position of one axis: where it looks and the weights, with 22 fractional bits.
private struct PillowWeights {
  private(set) var windows: [hg_resample_window] = []
  private(set) var weights: [Int32]
  let taps: Int

  init(_ filter: PillowFilter, from sourceCount: Int, to targetCount: Int) {
    let scale = Double(sourceCount) / Double(targetCount)
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    taps = Int(support.rounded(.up)) * 2 + 1
    weights = Array(repeating: 0, count: taps * targetCount)
    windows.reserveCapacity(targetCount)
    var row = [Double](repeating: 0, count: taps)
    for target in 0..<targetCount {
      let center = (Double(target) + 0.5) * scale
      let first = max(Int(center - support + 0.5), 0)
      let count = min(Int(center + support + 0.5), sourceCount) - first
      var sum = 0.0
      for tap in 0..<count {
        row[tap] = filter.weight(at: (Double(tap + first) - center + 0.5) * (1 / filterScale))
        sum += row[tap]
      }
      for tap in 0..<count {
        let weight = (sum == 0 ? row[tap] : row[tap] / sum) * Double(1 << 22)
        // Toward zero after half a unit is added: half away from zero.
        weights[target * taps + tap] = Int32(weight + (weight < 0 ? -0.5 : 0.5))
      }
      windows.append(hg_resample_window(first: Int32(first), count: Int32(count)))
    }
  }
}

extension Image {
  /// Pillow's resize: along rows and along columns, with bytes in between; a pass that changes nothing is left out.
  func resizedLikePillow(to size: Size, interpolation: Interpolation) throws(HGNetError) -> Image {
    let filter: PillowFilter
    switch interpolation {
    case .nearest:
      return try picked(
        rows: Image.pillowNearest(from: height, to: size.height),
        columns: Image.pillowNearest(from: width, to: size.width))
    case .box: filter = .box
    case .bilinear: filter = .bilinear
    case .hamming: filter = .hamming
    case .bicubic: filter = .bicubic
    case .lanczos: filter = .lanczos
    case .area: throw HGNetError(.invalidArgument, "the backend pil has no interpolation area; use box or cv2")
    }
    // Since version 13 Pillow starts with the columns where they shrink by far more pixels than the rows do.
    let startsWithColumns = size.height < height && height - size.height > 2 * (width - size.width)
    return startsWithColumns
      ? try filteredColumns(filter, height: size.height).filteredRows(filter, width: size.width)
      : try filteredRows(filter, width: size.width).filteredColumns(filter, height: size.height)
  }

  private func filteredRows(_ filter: PillowFilter, width newWidth: Int) throws(HGNetError) -> Image {
    if newWidth == width { return self }
    let table = PillowWeights(filter, from: width, to: newWidth)
    let (source, stride, rows) = (storage, width * 3, height)
    return try Image(size: Size(height: height, width: newWidth)) { (target) throws(HGNetError) in
      hg_resample_horizontal_u8(
        source.base, Int64(stride), target.baseAddress, Int64(newWidth), Int64(rows), table.windows, table.weights,
        Int64(table.taps))
    }
  }

  private func filteredColumns(_ filter: PillowFilter, height newHeight: Int) throws(HGNetError) -> Image {
    if newHeight == height { return self }
    let table = PillowWeights(filter, from: height, to: newHeight)
    let (source, stride) = (storage, width * 3)
    return try Image(size: Size(height: newHeight, width: width)) { (target) throws(HGNetError) in
      table.weights.withUnsafeBufferPointer { weights in
        for (row, window) in table.windows.enumerated() {
          hg_resample_vertical_u8(
            source.base + Int(window.first) * stride, Int64(stride), target.baseAddress.map { $0 + row * stride },
            Int64(stride), weights.baseAddress.map { $0 + row * table.taps }, Int64(window.count))
        }
      }
    }
  }

  /// The input position of each output position; the running sum is part of the definition.
  private static func pillowNearest(from sourceCount: Int, to targetCount: Int) -> [Int?] {
    let step = Double(sourceCount) / Double(targetCount)
    var place = step * 0.5
    return (0..<targetCount).map { _ in
      defer { place += step }
      let index = Int(place)
      return index < sourceCount ? index : nil
    }
  }
}
