import FoundationEssentials
import HGNetCore
import HGNetPlatform
import HGNetVision
import Synchronization

/// The pictures of the demonstration as a folder that any training tool reads: `train/CLASS/*.jpg`, `val/CLASS/*.jpg`.
///
/// The same seed gives the same pictures, for any number of threads and however many are drawn.
struct DemoDataset {
  /// What a picture is drawn for: to learn from, to measure with, to be shown at the end.
  enum Part: String, CaseIterable {
    case training = "train"
    case evaluation = "val"
    case fresh = "new"
  }

  /// The folder.
  let folder: String
  /// Which pictures are drawn.
  let seed: UInt64
  /// The pictures of each part, spread evenly over the classes.
  let counts: [Part: Int]

  /// Pixels of a row and of a column.
  static let side = 96

  /// All pictures.
  var count: Int { counts.values.reduce(0, +) }

  /// Draws all pictures and writes them; those of an earlier, larger set are removed.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  func write(pool: ThreadPool) throws(HGNetError) {
    for part in Part.allCases { try prepare(part) }
    let pictures = Part.allCases.flatMap { part in (0..<(counts[part] ?? 0)).map { (part, $0) } }
    let failure = Mutex<HGNetError?>(nil)
    pool.forEach(pictures.count) { index in
      guard failure.withLock({ $0 == nil }) else { return }
      let (part, number) = pictures[index]
      do throws(HGNetError) {
        try write(image(part, number), to: path(part, number))
      } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// The pictures of a part, in the order of their numbers.
  func paths(of part: Part) -> [String] { (0..<(counts[part] ?? 0)).map { path(part, $0) } }

  /// What a picture shows: the classes take turns.
  static func shape(_ number: Int) -> DemoShape { DemoShape.allCases[number % DemoShape.allCases.count] }

  private func path(_ part: Part, _ number: Int) -> String {
    let shape = DemoDataset.shape(number).rawValue
    return part == .fresh
      ? "\(folder)/new/\("\(number + 1)".padded(to: 2, with: "0"))-\(shape).jpg"
      : "\(folder)/\(part.rawValue)/\(shape)/\("\(number / DemoShape.allCases.count + 1)".padded(to: 3, with: "0")).jpg"
  }

  private func image(_ part: Part, _ number: Int) throws(HGNetError) -> Image {
    var random = RandomGenerator(seed: seed, stream: "\(part.rawValue) \(number)")
    return try DemoPicture(of: DemoDataset.shape(number), side: DemoDataset.side, random: &random).image()
  }

  /// Writes a file in place: thousands of files that can be drawn again need not wait for the disk one by one.
  private func write(_ image: Image, to path: String) throws(HGNetError) {
    let bytes = try image.encoded(as: .jpeg(quality: 90))
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path))
    } catch {
      throw HGNetError(
        .unwritableFile, "cannot write the picture; choose another folder with --output", path: path, cause: "\(error)")
    }
  }

  /// Makes the folders of a part and removes the pictures that are not drawn this time.
  ///
  /// Only files with names such as this type gives are touched.
  private func prepare(_ part: Part) throws(HGNetError) {
    let wanted = Set(paths(of: part))
    let base = "\(folder)/\(part.rawValue)"
    let folders = part == .fresh ? [base] : DemoShape.allCases.map { "\(base)/\($0.rawValue)" }
    for folder in folders {
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
          let isOwn = name.hasSuffix(".jpg") && name.utf8.prefix(2).allSatisfy { (48...57).contains($0) }
          if isOwn, !wanted.contains("\(folder)/\(name)") {
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
          }
        }
      } catch {
        throw HGNetError(
          .unwritableFile, "cannot make the folder; choose another with --output", path: folder, cause: "\(error)")
      }
    }
  }
}

extension String {
  /// The text, filled on the left to a width.
  func padded(to width: Int, with character: Character = " ") -> String {
    String(repeating: character, count: max(0, width - count)) + self
  }
}
