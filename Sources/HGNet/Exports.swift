// What a program needs beside this module: tensors, errors, pictures, models, configurations. `import HGNet` is enough.
@_exported import HGNetConfiguration
@_exported import HGNetCore
@_exported import HGNetModels
@_exported import HGNetVision
