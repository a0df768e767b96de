import HGNet
import HGNetCore
import HGNetPlatform
import HGNetVision

/// The logits of a teacher for the pictures of a data set, kept in a file for later epochs and runs.
///
/// The name of the file has a sum over the teacher's weights, the pictures' paths and what is done to them, so that
/// logits of something else are never taken. A row is `UInt64` XXH64 of its floats, then the floats; a row that a killed
/// process has left half written does not fit its sum and is computed again. What it cannot notice is a picture that was
/// replaced under its name; remove the folder then.
///
/// Threads: one task; several processes may share a folder.
package final class LogitsCache {
  /// The file.
  package let path: String
  private let classes: Int
  private let descriptor: Int32
  private var rowByteCount: Int { 8 + classes * 4 }

  /// Opens or makes the file of a teacher and a data set.
  ///
  /// - Parameters:
  ///   - folder: the folder; it is made if it does not exist.
  ///   - name: the teacher's name.
  ///   - parameters: its weights.
  ///   - precision: what it computes with.
  ///   - device: where; another rounds otherwise.
  ///   - classes: the number of its logits.
  ///   - data: the pictures, which must look the same in every epoch.
  /// - Throws: `HGNetError.Code.invalidConfiguration` where pictures are changed by chance, `unwritableFile`.
  package init(
    folder: String, name: String, parameters: ParameterStore, precision: Precision = .float32,
    device: Device.Kind = .cpu, classes: Int, data: TrainingData
  ) throws(HGNetError) {
    let chances = data.transforms.steps.compactMap { step in
      if case .random(let augmentation) = step { "\(augmentation)" } else { nil }
    }
    guard chances.isEmpty, data.transforms.erasing == nil, data.transforms.mixing.isEmpty else {
      throw HGNetError(
        .invalidConfiguration,
        "the logits of a teacher can be kept only for pictures that look the same in every epoch; leave the random "
          + "transforms of DataLoader.Train out, or this key", key: "Arch.teacher_logits_cache")
    }
    try CheckpointFolder.makeFolder(folder)
    var sum = XXHash64.Chain()
    sum.add(parameters)
    for path in data.dataset.paths { sum.add(path) }
    sum.add("\(data.transforms.decodingStyle) \(data.transforms.steps)")
    if precision != .float32 { sum.add(precision.rawValue) }
    if device != .cpu { sum.add(device.rawValue) }
    self.classes = classes
    path = "\(folder)/\(name)-\(sum.text).logits"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw HGNetError(
        .unwritableFile, "cannot keep the logits of the teacher here", path: path,
        cause: String(cString: strerror(errno)))
    }
  }

  deinit { close(descriptor) }

  /// The logits `[N, K]` of some pictures, nil unless all are known.
  package func logits(of samples: [Int]) -> Tensor? {
    var values: [Float] = []
    values.reserveCapacity(samples.count * classes)
    var row = [UInt8](repeating: 0, count: rowByteCount)
    for sample in samples {
      let count = row.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress, rowByteCount, off_t(sample * rowByteCount))
      }
      guard count == rowByteCount else { return nil }
      let isWhole = row.withUnsafeBytes { bytes in
        let body = UnsafeRawBufferPointer(rebasing: bytes[8...])
        guard bytes.loadUnaligned(as: UInt64.self) == XXHash64.value(of: body) else { return false }
        for index in 0..<classes { values.append(body.loadUnaligned(fromByteOffset: index * 4, as: Float.self)) }
        return true
      }
      guard isWhole else { return nil }
    }
    return Tensor(shape: [samples.count, classes], values: values)
  }

  /// Keeps the logits `[N, K]` of N pictures.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`, for example on a full disk.
  package func keep(_ logits: Tensor, of samples: [Int]) throws(HGNetError) {
    guard logits.shape == [samples.count, classes] else { return }
    for (index, sample) in samples.enumerated() {
      var row = [UInt8](repeating: 0, count: rowByteCount)
      row.withUnsafeMutableBytes { bytes in
        for column in 0..<classes {
          bytes.storeBytes(of: logits[index * classes + column], toByteOffset: 8 + column * 4, as: Float.self)
        }
        let sum = XXHash64.value(of: UnsafeRawBufferPointer(rebasing: bytes[8...]))
        bytes.storeBytes(of: sum, as: UInt64.self)
      }
      let count = row.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, rowByteCount, off_t(sample * rowByteCount)) }
      guard count == rowByteCount else {
        throw HGNetError(
          .unwritableFile, "cannot keep the logits of the teacher; is the disk full?", path: path,
          cause: String(cString: strerror(errno)))
      }
    }
  }
}
