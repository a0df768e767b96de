#if Serving
  import Foundation
  import GRPCCore
  import HGNetCore
  import HGNetFormats

  extension OpenInferenceRequest {
    /// Reads the message of an inference request over gRPC.
    ///
    /// - Throws: `invalidRequest` saying what does not fit.
    init(_ message: Inference_ModelInferRequest) throws(ServingError) {
      self.init()
      id = message.id
      parameters = message.parameters.sorted { $0.key < $1.key }.map { JSON.Member(key: $0.key, value: $0.value.json) }
      let hasRaw = !message.rawInputContents.isEmpty
      guard !hasRaw || message.rawInputContents.count == message.inputs.count else {
        throw ServingError(
          .invalidRequest,
          "raw_input_contents: expected one for each of \(message.inputs.count) inputs, found \(message.rawInputContents.count)"
        )
      }
      for (index, input) in message.inputs.enumerated() {
        guard input.parameters["shared_memory_region"] == nil else {
          throw ServingError(
            .unsupported, "input \"\(input.name)\": shared memory is not supported; send the data in the request")
        }
        let contents: Contents
        if hasRaw {
          contents = .raw(BlobSlice(Blob(data: message.rawInputContents[index])))
        } else {
          contents = Contents(input.contents)
        }
        inputs.append(
          Input(
            name: input.name, datatype: input.datatype, shape: input.shape.map { Int(clamping: $0) }, contents: contents
          ))
      }
      for output in message.outputs {
        var wanted = Output(name: output.name)
        if let parameter = output.parameters["classification"] {
          guard let count = parameter.json.integer, count >= 0 else {
            throw ServingError(
              .invalidRequest, "output \"\(output.name)\": classification: expected a number of classes")
          }
          wanted.classCount = count
        }
        outputs.append(wanted)
      }
    }
  }

  extension OpenInferenceRequest.Contents {
    /// The values of a tensor that is not raw.
    fileprivate init(_ contents: Inference_InferTensorContents) {
      if !contents.bytesContents.isEmpty {
        self = .elements(contents.bytesContents.map { BlobSlice(Blob(data: $0)) })
      } else if !contents.fp32Contents.isEmpty {
        self = .floats(contents.fp32Contents)
      } else if !contents.uintContents.isEmpty {
        self = .numbers(contents.uintContents.map { Double($0) })
      } else if !contents.intContents.isEmpty {
        self = .numbers(contents.intContents.map { Double($0) })
      } else {
        self = .numbers(contents.fp64Contents)
      }
    }
  }

  extension Blob {
    /// Copies bytes at once.
    convenience init(data: Data) {
      self.init(count: data.count) { target in _ = data.copyBytes(to: target) }
    }
  }

  extension Inference_InferParameter {
    /// The value, whatever the protocol.
    fileprivate var json: JSON {
      switch parameterChoice {
      case .boolParam(let value): .bool(value)
      case .int64Param(let value): .integer(Int(value))
      case .stringParam(let value): .string(value)
      case .doubleParam(let value): .number(value)
      case .uint64Param(let value): Int(exactly: value).map { .integer($0) } ?? .number(Double(value))
      case nil: .null
      }
    }

    /// The parameter of a value; nil for one that is no parameter.
    fileprivate init?(_ json: JSON) {
      self.init()
      switch json {
      case .bool(let value): boolParam = value
      case .integer(let value): int64Param = Int64(value)
      case .string(let value): stringParam = value
      case .number(let value): doubleParam = value
      case .null, .array, .object: return nil
      }
    }
  }

  extension OpenInferenceResponse {
    /// The message over gRPC; all tensors are raw.
    var message: Inference_ModelInferResponse {
      .with { message in
        message.modelName = modelName
        message.modelVersion = modelVersion
        message.id = id
        for parameter in parameters { message.parameters[parameter.key] = Inference_InferParameter(parameter.value) }
        for output in outputs {
          message.outputs.append(
            .with {
              $0.name = output.name
              $0.datatype = output.datatype
              $0.shape = output.shape.map { Int64($0) }
            })
          message.rawOutputContents.append(Data(output.contents.raw))
        }
      }
    }
  }
#endif
