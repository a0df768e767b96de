import CHGNetKernels
import HGNetCore
import HGNetPlatform

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

  /// - Parameter kept: the output positions that are wanted.
  init(_ filter: PillowFilter, from sourceCount: Int, to targetCount: Int, kept: Range<Int>) {
    let scale = Double(sourceCount) / Double(targetCount)
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    taps = min(Int(support.rounded(.up)) * 2 + 1, sourceCount)
    weights = Array(repeating: 0, count: taps * kept.count)
    windows.reserveCapacity(kept.count)
    var row = [Double](repeating: 0, count: taps)
    for target in kept {
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
        weights[(target - kept.lowerBound) * taps + tap] = Int32(weight + (weight < 0 ? -0.5 : 0.5))
      }
      windows.append(hg_resample_window(first: Int32(first), count: Int32(count)))
    }
  }

  /// The input positions that the windows look at.
  var sources: Range<Int> {
    let first = windows.map { Int($0.first) }.min() ?? 0
    return first..<max(windows.map { Int($0.first) + Int($0.count) }.max() ?? first, first)
  }

  /// The same for an input whose first positions are missing.
  mutating func shift(by count: Int) {
    for index in windows.indices { windows[index].first -= Int32(count) }
  }
}

extension Image {
  /// Pillow's resize: along rows and along columns, with bytes in between; a pass that changes nothing is left out.
  ///
  /// Only what the window needs is computed: of the first pass no more rows or columns than the second looks at.
  func resizedLikePillow(
    to size: Size, window: Augmentation.Window, interpolation: Interpolation
  ) throws(HGNetError) -> Image {
    let filter: PillowFilter
    switch interpolation {
    case .nearest:
      return try picked(
        rows: Image.pillowNearest(from: height, to: size.height, kept: window.rows),
        columns: Image.pillowNearest(from: width, to: size.width, kept: window.columns))
    case .box: filter = .box
    case .bilinear: filter = .bilinear
    case .hamming: filter = .hamming
    case .bicubic: filter = .bicubic
    case .lanczos: filter = .lanczos
    case .area: throw HGNetError(.invalidArgument, "the backend pil has no interpolation area; use box or cv2")
    }
    // Since version 13 Pillow starts with the columns where they shrink by far more pixels than the rows do.
    let startsWithColumns = size.height < height && height - size.height > 2 * (width - size.width)
    if startsWithColumns {
      let table =
        size.width == width ? nil : PillowWeights(filter, from: width, to: size.width, kept: window.columns)
      let columns = table?.sources ?? window.columns
      return try filteredColumns(filter, height: size.height, rows: window.rows, columns: columns)
        .filteredRows(table, from: columns.lowerBound, rows: 0..<window.size.height)
    }
    let table =
      size.height == height ? nil : PillowWeights(filter, from: height, to: size.height, kept: window.rows)
    let rows = table?.sources ?? window.rows
    let columns = size.width == width ? nil : PillowWeights(filter, from: width, to: size.width, kept: window.columns)
    let between =
      columns == nil
      ? try cropped(
        to: Augmentation.Window(
          top: rows.lowerBound, left: window.left, size: Size(height: rows.count, width: window.size.width)))
      : try filteredRows(columns, from: 0, rows: rows)
    return try between.filteredColumns(table, from: rows.lowerBound)
  }

  /// Some rows, with their columns filtered; without a table as they are.
  ///
  /// - Parameter first: the column that the table calls by this number is the first here.
  private func filteredRows(_ table: PillowWeights?, from first: Int, rows: Range<Int>) throws(HGNetError) -> Image {
    guard var table else { return self }
    table.shift(by: first)
    let (source, stride, newWidth) = (storage, width * 3, table.windows.count)
    return try Image(size: Size(height: rows.count, width: newWidth)) { (target) throws(HGNetError) in
      hg_resample_horizontal_u8(
        source.base + rows.lowerBound * stride, Int64(stride), target.baseAddress, Int64(newWidth), Int64(rows.count),
        table.windows, table.weights, Int64(table.taps))
    }
  }

  /// Some columns, with their rows filtered.
  private func filteredColumns(
    _ filter: PillowFilter, height newHeight: Int, rows: Range<Int>, columns: Range<Int>
  ) throws(HGNetError) -> Image {
    let table = PillowWeights(filter, from: height, to: newHeight, kept: rows)
    return try filteredColumns(table, from: 0, columns: columns)
  }

  private func filteredColumns(
    _ table: PillowWeights?, from first: Int, columns: Range<Int>? = nil
  ) throws(HGNetError) -> Image {
    guard var table else { return self }
    table.shift(by: first)
    let columns = columns ?? 0..<width
    let (source, stride, targetStride) = (storage.base + 3 * columns.lowerBound, width * 3, columns.count * 3)
    let kept = storage
    return try Image(size: Size(height: table.windows.count, width: columns.count)) { (target) throws(HGNetError) in
      withExtendedLifetime(kept) {
        table.weights.withUnsafeBufferPointer { weights in
          for (row, window) in table.windows.enumerated() {
            hg_resample_vertical_u8(
              source + Int(window.first) * stride, Int64(stride), target.baseAddress.map { $0 + row * targetStride },
              Int64(targetStride), weights.baseAddress.map { $0 + row * table.taps }, Int64(window.count))
          }
        }
      }
    }
  }

  /// The input position of each output position; the running sum is part of the definition.
  private static func pillowNearest(from sourceCount: Int, to targetCount: Int, kept: Range<Int>) -> [Int?] {
    let step = Double(sourceCount) / Double(targetCount)
    var place = step * 0.5
    for _ in 0..<kept.lowerBound { place += step }
    return kept.map { _ in
      defer { place += step }
      let index = Int(place)
      return index < sourceCount ? index : nil
    }
  }
}
