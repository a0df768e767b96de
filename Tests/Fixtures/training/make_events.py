"""Writes events.bin beside itself with TensorBoard's own record writer; see events.md."""
import pathlib

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

with open(pathlib.Path(__file__).parent / "events.bin", "wb") as file:
    writer = RecordWriter(file)
    writer.write(Event(wall_time=1700000000, file_version="brain.Event:2").SerializeToString())
    writer.write(Event(wall_time=1700000001.5, step=300, summary=Summary(value=[
        Summary.Value(tag="train_loss", simple_value=0.75),
        Summary.Value(tag="lr(LinearWarmup)", simple_value=0.001)])).SerializeToString())
    writer.flush()
