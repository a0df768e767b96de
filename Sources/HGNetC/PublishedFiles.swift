// The names of the functions are C's, and hgnet.h documents them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

import CHGNet
import HGNetCore
import HGNetDownload
import HGNetModels

/// A file of published weights in the user's cache, the same that the tool has.
struct PublishedFile {
  private let weights: PublishedWeights

  /// The file of a name: a model, or a file.
  init(named name: String) throws(HGNetError) {
    if let model = try? Model.named(name), let best = PublishedWeights.mostAccurate(for: model) {
      weights = best
    } else {
      weights = try PublishedWeights.named(name)
    }
  }

  /// Where it lies, after fetching it if need be.
  ///
  /// - Throws: as `PublishedWeightsCache.path(for:isCancelled:report:)`; `CallFailure` when the caller cancels it.
  func path(isOffline: Bool, hooks: Hooks) throws -> String {
    do throws(HGNetError) {
      return try PublishedWeightsCache(isOffline: isOffline).path(for: weights) {
        hooks.isCancelled
      } report: { event in
        switch event {
        case .connecting(let url, let offset):
          hooks.log(.info, offset > 0 ? "continuing \(url) at \(offset) bytes" : "fetching \(url)")
        case .retrying(let reason, _): hooks.log(.info, "connection lost (\(reason)); trying again")
        case .restarting(let reason): hooks.log(.info, "starting again: \(reason)")
        case .waitingForOtherProcess: hooks.log(.info, "waiting for another process that fetches the same file")
        case .received, .checking: break
        }
      }
    } catch {
      guard !hooks.isCancelled else { throw CallFailure.cancelled }
      throw error
    }
  }
}

@c @implementation
public func hgnet_published_describe(_ index: Int, _ published: UnsafeMutablePointer<hgnet_published>?) -> hgnet_status
{
  Call.status {
    let target = try Call.required(published, "the place for the description")
    let size = try Call.structureSize(target, "hgnet_published")
    guard PublishedWeights.all.indices.contains(index) else {
      throw CallFailure.invalidArgument(
        "expected a published file of 0 to \(PublishedWeights.all.count - 1), found \(UInt(bitPattern: index))")
    }
    let weights = PublishedWeights.all[index]
    let graph = try weights.model.graph()
    var result = hgnet_published()
    result.struct_size = size
    withUnsafeMutableBytes(of: &result.file) { Call.write(weights.fileName, into: $0) }
    withUnsafeMutableBytes(of: &result.model) { Call.write(weights.model.name, into: $0) }
    withUnsafeMutableBytes(of: &result.url) { Call.write(weights.url(), into: $0) }
    result.is_inference_model = weights.form == .inferenceModel ? 1 : 0
    result.is_best = weights == PublishedWeights.mostAccurate(for: weights.model) ? 1 : 0
    result.top1 = weights.accuracy?.top1 ?? 0
    result.top5 = weights.accuracy?.top5 ?? 0
    result.parameter_count = UInt64(graph.learnedParameterCount)
    result.multiply_adds = UInt64(graph.multiplyAdds)
    result.height = Int32(graph.inputSize.height)
    result.width = Int32(graph.inputSize.width)
    Call.write(result, of: size, to: target)
  }
}

@c @implementation
public func hgnet_published_fetch(
  _ name: UnsafePointer<CChar>?, _ isOffline: Int32, _ options: UnsafePointer<hgnet_options>?,
  _ path: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> hgnet_status {
  Call.status {
    let name = try String(cString: Call.required(name, "a name"))
    let hooks = Hooks(try Call.copy(options, of: hgnet_options(), "hgnet_options") ?? hgnet_options())
    let target = try Call.target(path, capacity: capacity, "the path")
    let found = try PublishedFile(named: name).path(isOffline: isOffline != 0, hooks: hooks)
    guard found.utf8.count < target.count else {
      throw CallFailure.tooSmall(expected: found.utf8.count + 1, found: target.count, of: "bytes")
    }
    Call.write(found, into: UnsafeMutableRawBufferPointer(target))
  }
}
