import HGNetCore
import Synchronization

/// One request on its way through the gate, for the part of a protocol that answers it.
///
/// Threads: safe to share.
package final class Passage: Sendable {
  /// What was known of the request at the gate.
  package let call: ServingCall
  /// When the result is of no use any more: the client's time or the server's, whichever is sooner.
  package let deadline: ContinuousClock.Instant
  private let state: ServingState
  private let notes = Mutex(Notes())

  fileprivate struct Notes {
    var model: ServedModel?
    var refusal: ServingError.Kind?
    var byteCount = 0
  }

  fileprivate init(_ call: ServingCall, state: ServingState) {
    self.call = call
    self.state = state
    let own = call.started + state.requestTimeout
    deadline = call.clientDeadline.map { min($0, own) } ?? own
  }

  /// Finds the model that the request is for, which then counts it.
  ///
  /// - Parameters:
  ///   - name: the model; nil for the usual one.
  ///   - version: nil or empty for the highest that is ready.
  /// - Throws: as `ModelRepository.model(named:version:)` and `defaultModel()`.
  package func model(named name: String?, version: String? = nil) throws(ServingError) -> ServedModel {
    let found =
      if let name { try state.repository.model(named: name, version: version) } else {
        try state.repository.defaultModel()
      }
    notes.withLock { $0.model = found }
    return found
  }

  /// Whether there is a model of this name, ready or not.
  package func knowsModel(named name: String) -> Bool { state.repository.hasModel(named: name) }

  /// Notes how many bytes the request has.
  package func note(byteCount: Int) { notes.withLock { $0.byteCount = byteCount } }

  /// Notes that the answer is a refusal in the protocol's own words.
  package func note(refusal: ServingError.Kind) { notes.withLock { $0.refusal = refusal } }

  fileprivate var current: Notes { notes.withLock { $0 } }
}

extension ServingState {
  /// Passes a request through the gate, as every protocol does once for each: the token, the client's share, the deadline,
  /// the end of the client, the count, and the line in the log.
  ///
  /// - Parameters:
  ///   - call: what is known of the request.
  ///   - logged: what the protocol adds to the line in the log.
  ///   - body: reads the request and answers it.
  /// - Returns: what `body` has made, or why there is nothing.
  package func pass<Answer: Sendable>(
    _ call: ServingCall, logged: (Result<Answer, ServingError>) -> [(String, String)] = { _ in [] },
    _ body: @escaping @Sendable (Passage) async throws(ServingError) -> Answer
  ) async -> Result<Answer, ServingError> {
    let passage = Passage(call, state: self)
    let result: Result<Answer, ServingError>
    do throws(ServingError) {
      try admit(call)
      defer { clientLimit.leave(call.clientAddress) }
      result = .success(try await Gate.run(passage, body).get())
    } catch {
      // A transport may give up a request whose time is over before its deadline does.
      let isLate = error.kind == .cancelled && passage.deadline < .now + .milliseconds(50)
      result = .failure(isLate ? ServingError(.deadlineExceeded, "the time of the request is over") : error)
    }
    count(passage, result, logged: logged)
    return result
  }

  /// Lets a request in whose client has the token and not too many others; the caller lets it leave again.
  private func admit(_ call: ServingCall) throws(ServingError) {
    if let token, !call.isOpen, !token.matches(call.authorization) {
      throw ServingError(.unauthorized, "expected the token of this server in \"Authorization: Bearer TOKEN\"")
    }
    try clientLimit.enter(call.clientAddress)
  }

  private func count<Answer>(
    _ passage: Passage, _ result: Result<Answer, ServingError>,
    logged: (Result<Answer, ServingError>) -> [(String, String)]
  ) {
    let (call, notes) = (passage.call, passage.current)
    let duration = ContinuousClock.now - call.started
    var outcome = notes.refusal
    if case .failure(let error) = result { outcome = error.kind }
    if let model = notes.model {
      model.statistics.note(transport: call.transport, refusal: outcome, duration: duration)
    } else {
      otherRequests.note(transport: call.transport, operation: call.operation, refusal: outcome)
    }
    let level: ServingLog.Level = outcome == .internalFailure || outcome == .deadlineExceeded ? .error : .info
    guard level >= log.level else { return }
    var fields = [("request", call.id), ("protocol", call.protocolName), ("method", call.method)]
    fields += logged(result)
    fields += [
      ("bytes", "\(notes.byteCount)"), ("milliseconds", FixedPoint.text(duration.inSeconds * 1e3, digits: 3)),
    ]
    if let model = notes.model { fields.append(("model", "\(model.name)/\(model.version)")) }
    if let trace = call.traceID { fields.append(("trace", trace)) }
    fields.append(("outcome", outcome?.rawValue ?? "ok"))
    log.write(level, "request", fields)
  }
}

/// The steps of the gate that need no state.
private enum Gate {
  /// Answers a request, and gives up when the client has gone.
  static func run<Answer: Sendable>(
    _ passage: Passage, _ body: @escaping @Sendable (Passage) async throws(ServingError) -> Answer
  ) async -> Result<Answer, ServingError> {
    guard let departure = passage.call.departure else { return await attempt(passage, body) }
    let work = Task { await attempt(passage, body) }
    departure.setCancellation { work.cancel() }
    defer { departure.setCancellation(nil) }
    return await work.value
  }

  private static func attempt<Answer>(
    _ passage: Passage, _ body: @Sendable (Passage) async throws(ServingError) -> Answer
  ) async -> Result<Answer, ServingError> {
    do throws(ServingError) { return .success(try await body(passage)) } catch { return .failure(error) }
  }
}

/// How many requests of one client may be in flight.
///
/// Threads: safe to share.
final class ClientLimit: Sendable {
  private let limit: Int?
  private let counts = Mutex<[String: Int]>([:])

  /// - Parameter limit: nil for as many as come.
  init(_ limit: Int?) { self.limit = limit }

  /// Whether anything is counted.
  var isOn: Bool { limit != nil }

  /// Counts a request in.
  ///
  /// - Throws: `tooManyRequests`.
  func enter(_ address: String?) throws(ServingError) {
    guard let limit, let address else { return }
    let isTaken = counts.withLock { counts in
      let count = counts[address, default: 0]
      guard count < limit else { return false }
      counts[address] = count + 1
      return true
    }
    guard isTaken else {
      throw ServingError(
        .tooManyRequests, "\(limit) requests of this client are in flight already; wait for an answer", retryAfter: 1)
    }
  }

  /// Counts a request out.
  func leave(_ address: String?) {
    guard limit != nil, let address else { return }
    counts.withLock { counts in
      let count = counts[address, default: 0] - 1
      counts[address] = count > 0 ? count : nil
    }
  }
}
