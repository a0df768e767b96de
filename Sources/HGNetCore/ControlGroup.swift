import HGNetPlatform

/// Where Linux shows the limits of this process: the folders of its control groups, and small files of the system.
enum ControlGroup {
  /// A folder of the group of this process or of one above it, whose limits hold, too.
  struct Folder {
    let path: String
    let isVersion2: Bool
  }

  /// The folders that may limit a resource, from the own group up.
  ///
  /// Inside a container the path may be that of the host, and then only the last folder exists.
  ///
  /// - Parameters:
  ///   - controller: the name in version 1, such as `cpu` or `memory`.
  ///   - root: where `/proc` and `/sys` are looked for.
  static func folders(of controller: String, root: String) -> [Folder] {
    var folders: [Folder] = []
    for line in (text(root + "/proc/self/cgroup") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isVersion2 = fields[0] == "0" && fields[1].isEmpty
      guard isVersion2 || fields[1].split(separator: ",").contains(where: { $0 == controller }) else { continue }
      let base = root + "/sys/fs/cgroup" + (isVersion2 ? "" : "/" + controller)
      var path = String(fields[2])
      while true {
        folders.append(Folder(path: base + (path == "/" ? "" : path), isVersion2: isVersion2))
        guard let slash = path.lastIndex(of: "/"), path != "/" else { break }
        path = slash == path.startIndex ? "/" : String(path[..<slash])
      }
    }
    return folders
  }

  /// The beginning of a small file, nil where there is none.
  static func text(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = read(descriptor, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }

  /// A number that stands alone in a file; nil for `max` or no file.
  static func number(_ path: String) -> Int? {
    text(path)?.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
  }
}
