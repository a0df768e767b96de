import ArgumentParser
import HGNet
import HGNetCore
import HGNetPlatform

/// The command-line tool.
///
/// Results go to standard output, everything else to standard error; the exit status follows `sysexits.h`.
@main
struct Tool: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hgnet", abstract: "PP-HGNetV2 image classifiers: classify, inspect, measure.",
    discussion: """
      Results go to standard output, progress and warnings to standard error. Exit status: 0 success, 64 wrong usage, \
      65 bad data (also when some pictures could not be read), 66 missing input, 69 network failure or a part that was not \
      built in, 70 internal error, \
      73 output cannot be written, 78 wrong configuration, 128 + N stopped by the signal N.
      """,
    version: PackageVersion.text,
    subcommands: [
      Train.self, Evaluate.self, Export.self, Convert.self, Quantize.self,
      Predict.self, Infer.self, Embed.self, ModelsCommand.self, Run.self, Preprocess.self, Summary.self, Bench.self,
      Devices.self, DatasetCommand.self, Demo.self,
      Serve.self,
    ])

  static func main() async {
    holdStandardStreams()
    let commands = configuration.subcommands.compactMap { $0.configuration.commandName ?? $0._commandName }
    if let line = CommandHint.line(for: Array(CommandLine.arguments.dropFirst()), commands: commands) {
      StandardError.write("hgnet: error: \(line)\nhgnet --help lists the commands")
      end(with: .usage)
    }
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try requireThreads()
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let error as HGNetError {
      StandardError.write("hgnet: error: \(error)")
      end(with: ExitStatus(error.code))
    } catch let status as ExitStatus {
      end(with: status)
    } catch {
      exit(withError: error)
    }
  }
}

/// A command may end with a status alone, after it has said why.
extension ExitStatus: Error {}

/// Swift's runtime waits for ever, without a word, where the system does not give it the three threads that it takes.
private func requireThreads() throws(HGNetError) {
  // The threads wait for the end of what nobody writes, so that there are three at once.
  var ends: [Int32] = [-1, -1]
  guard pipe(&ends) == 0 else { return }
  let reading = ends[0]
  let threads = (0..<3).map { _ in
    SystemThread {
      var byte: UInt8 = 0
      _ = read(reading, &byte, 1)
    }
  }
  close(ends[1])
  for thread in threads { thread?.join() }
  close(reading)
  guard !threads.contains(where: { $0 == nil }) else { throw SystemThread.refusal }
}

/// Fills standard streams that the caller has closed; else the next file would get their number and their text.
private func holdStandardStreams() {
  while true {
    // Read-only, so that a result that nobody can take stays an error.
    let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    if descriptor > 2 {
      close(descriptor)
      return
    }
  }
}

private func end(with status: ExitStatus) -> Never { exit(status.rawValue) }

/// Lines for people, which are not results.
enum StandardError {
  static func write(_ line: String, terminator: String = "\n") {
    let bytes = Array((line + terminator).utf8)
    _ = bytes.withUnsafeBytes { writeAll(2, $0) }
  }

  /// Something that was decided or passed over, and that somebody may not expect.
  static func note(_ text: String) { write("hgnet: note: \(text)") }
}

/// Results.
enum StandardOutput {
  /// Writes a line at once, so that somebody who reads along sees it.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile` when nobody can take it, for example on a full disk.
  static func write(_ text: String, terminator: String = "\n") throws(HGNetError) {
    let bytes = Array((text + terminator).utf8)
    guard bytes.withUnsafeBytes({ writeAll(1, $0) }) else {
      throw HGNetError(
        .unwritableFile, "cannot write to standard output", cause: String(cString: strerror(errno)))
    }
  }
}

/// Writes all bytes to a descriptor; false on failure.
func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Bool {
  var rest = bytes[...]
  while !rest.isEmpty {
    let written = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
    if written < 0 {
      if errno == EINTR { continue }
      return false
    }
    rest = rest[(rest.startIndex + written)...]
  }
  return true
}
