import HGNetCore
import HGNetPlatform
import HGNetServing

/// One target on many inputs. The input of the moment lies in a file, so that it is there after a crash.
struct FuzzRun {
  let target: FuzzTarget
  let seconds: Double
  let seed: UInt64

  /// The most memory that reading an input of at most 256 KiB may take, in KiB.
  private static let memoryLimit = 1 << 20
  /// The most seconds that one input may take.
  private static let timeLimit: UInt32 = 20

  private static let folder = getenv("HGNET_FUZZ_FOLDER").map { String(cString: $0) } ?? "."
  static let scratchFile = folder + "/scratch"

  private static func put(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
  }

  static func say(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = FuzzRun.put(2, $0.baseAddress, $0.count) }
  }

  static func save(_ blob: Blob, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw HGNetError(.unwritableFile, "cannot write", path: path) }
    defer { close(descriptor) }
    blob.withUnsafeBytes { _ = FuzzRun.put(descriptor, $0.baseAddress, $0.count) }
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// The files of the seeds; those that this target was not made for do no harm.
  private func seeds() -> [[UInt8]] {
    var result: [[UInt8]] = []
    for place in target.seeds + ["Fuzz/Seeds/" + target.name] {
      var paths = [place]
      if let folder = opendir(place) {
        paths = []
        while let entry = readdir(folder) {
          let name = withUnsafeBytes(of: entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
          }
          if !name.hasPrefix(".") { paths.append(place + "/" + name) }
        }
        closedir(folder)
      }
      for path in paths.sorted() {
        guard let blob = try? Blob(mapping: path), blob.count <= 1 << 18 else { continue }
        result.append(blob.withUnsafeBytes { Array($0) })
      }
    }
    return result
  }

  /// Reads one input; false for what is no error of ours or takes too much.
  private func accepts(_ bytes: [UInt8], _ counts: inout (read: Int, refused: Int)) -> Bool {
    let blob = Blob(bytes)
    let path = "\(FuzzRun.folder)/\(target.name).input"
    do {
      try FuzzRun.save(blob, to: path)
      alarm(FuzzRun.timeLimit)
      defer { alarm(0) }
      try target.read(blob)
      counts.read += 1
    } catch is HGNetError {
      counts.refused += 1
    } catch is ServingError {
      counts.refused += 1
    } catch {
      FuzzRun.say("\(target.name): an error of another kind: \(error); the input is \(path)")
      return false
    }
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    guard Int(usage.ru_maxrss) <= FuzzRun.memoryLimit else {
      FuzzRun.say("\(target.name): \(usage.ru_maxrss) KiB of memory for \(bytes.count) bytes; the input is \(path)")
      return false
    }
    return true
  }

  /// Runs the seeds as they are, then changed ones until the time is over; or some files once.
  func run(inputs: [String]) -> Bool {
    var counts = (read: 0, refused: 0)
    let begin = FuzzRun.now()
    if !inputs.isEmpty {
      for path in inputs {
        guard let blob = try? Blob(mapping: path) else { return false }
        guard accepts(blob.withUnsafeBytes { Array($0) }, &counts) else { return false }
      }
    } else {
      let seeds = seeds()
      for seed in seeds { guard accepts(seed, &counts) else { return false } }
      if counts.read == 0 { FuzzRun.say("\(target.name): none of the \(seeds.count) seeds can be read") }
      var generator = Generator(seed: seed, seeds: seeds)
      while FuzzRun.now() - begin < seconds {
        guard accepts(generator.next(), &counts) else { return false }
      }
    }
    print("\(target.name): \(counts.read) read, \(counts.refused) refused")
    return true
  }
}
