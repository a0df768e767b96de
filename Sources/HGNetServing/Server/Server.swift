#if Serving
  import Foundation
  import HGNetCore
  import Logging
  import ServiceLifecycle

  /// Serves models until it is told to stop.
  package struct Server: Sendable {
    private let state: ServingState
    private let configuration: ServingConfiguration

    /// Puts the parts together; nothing is loaded or listened on yet.
    package init(state: ServingState, configuration: ServingConfiguration) {
      self.state = state
      self.configuration = configuration
    }

    /// Listens, loads the models, answers, and returns after `stops` has told to stop and the last request has ended.
    ///
    /// - Parameters:
    ///   - mustLoadAll: whether a model that cannot be loaded at first ends the server.
    ///   - stops: an element asks the server to end.
    /// - Throws: `HGNetError` for a port that cannot be listened on, a certificate that cannot be used, or a model that
    ///   cannot be loaded.
    package func run(mustLoadAll: Bool, stops: AsyncStream<Void>) async throws(HGNetError) {
      let log = state.log
      let (state, configuration) = (state, configuration)
      let environment = ProcessInfo.processInfo.environment
      let supervisor = ServiceSupervisor(environment)
      let listeners = Listeners(
        inherited: try InheritedSockets(environment, protocols: ServingProtocols.all.map { $0.protocolName })
          .descriptors)
      var protocols: [any ServingProtocol] = []
      for kind in ServingProtocols.all {
        if let made = try kind.make(state, configuration, listeners) { protocols.append(made) }
      }
      let all = protocols
      state.metrics.registry.readings("hgnet_connections", help: "Open connections.") {
        all.map { ([PrometheusLabel("protocol", $0.name)], Double($0.connectionCount)) }
      }
      // When one ends by itself, it has failed.
      let services = all.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) }
      var settings = ServiceGroupConfiguration(
        services: services, logger: Logger(label: "services") { _ in ServingLogHandler(log: log) })
      settings.maximumGracefulShutdownDuration = .seconds(configuration.drainSeconds)
      let group = ServiceGroup(configuration: settings)
      let work = Task {
        await load(mustLoadAll: mustLoadAll, group: group, listeners: listeners, supervisor: supervisor)
      }
      let watching = Task { await watch(supervisor) }
      let stopping = Task {
        for await _ in stops { return await drain(all, group: group, supervisor: supervisor) }
      }
      var failure: HGNetError?
      do { try await group.run() } catch {
        failure = HGNetError(
          .invalidArgument,
          "cannot serve at \(configuration.host):\(configuration.port); check the address and whether the port is free",
          cause: "\(error)")
      }
      stopping.cancel()
      watching.cancel()
      work.cancel()
      let loading = await work.value
      failure = failure ?? loading
      if let failure { throw failure }
      log.write(.info, "ended")
    }

    /// Loads the models, and then looks for changed ones until it is cancelled.
    ///
    /// - Returns: the model that could not be loaded, where one ends the server.
    private func load(
      mustLoadAll: Bool, group: ServiceGroup, listeners: Listeners, supervisor: ServiceSupervisor?
    ) async -> HGNetError? {
      let failures = await state.repository.refresh()
      if mustLoadAll, let failure = failures.first {
        await group.triggerGracefulShutdown()
        return failure
      }
      listeners.open()
      if state.isReady { state.log.write(.info, "ready") }
      supervisor?.tell("READY=1")
      guard let seconds = configuration.pollSeconds else { return nil }
      while !Task.isCancelled {
        do { try await Task.sleep(for: .seconds(seconds)) } catch { break }
        await state.repository.refresh(isSettling: true)
      }
      return nil
    }

    /// Tells that the server lives, as often as that is wanted.
    private func watch(_ supervisor: ServiceSupervisor?) async {
      guard let supervisor, let interval = supervisor.interval else { return }
      while !Task.isCancelled {
        // What answers requests answers this, too: the models' lock is free.
        _ = state.isReady
        supervisor.tell("WATCHDOG=1")
        do { try await Task.sleep(for: interval) } catch { break }
      }
    }

    /// Ends the server so that no request is lost.
    private func drain(
      _ protocols: [any ServingProtocol], group: ServiceGroup, supervisor: ServiceSupervisor?
    ) async {
      state.log.write(.info, "draining")
      state.drain()
      supervisor?.tell("STOPPING=1")
      try? await Task.sleep(for: .seconds(configuration.drainDelaySeconds))
      for one in protocols { await one.refuseConnections() }
      // What has begun is taken meanwhile.
      try? await Task.sleep(for: .milliseconds(100))
      for one in protocols { await one.announceEnd() }
      try? await Task.sleep(for: .milliseconds(300))
      await group.triggerGracefulShutdown()
    }
  }
#endif
